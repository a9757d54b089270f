"""Where held-out items come from: the test rows of a dataset, and files of questions with their answers.

A dataset's row becomes an item of the manner; one whose answer declines also tells whether the model still declines.
Facts are asked by people's own questions, as JSON lines:

    {"question": "...", "answers": ["4 euros", "four euros"], "passages": ["..."], "gold": [1], "group": "a.md"}

Without answers, the passages do not say it. Without passages, they are retrieved when the set is frozen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from assets.behavior.dataset.passages import embedded
from assets.behavior.evaluation.items import Item, Kind
from assets.errors import ConfigError
from assets.fingerprints import digest

_KEYS = {"question", "answers", "passages", "gold", "group", "topic"}


def of_rows(rows: Iterable[Mapping[str, Any]], split: str = "test") -> list[Item]:
    """Items of a dataset's rows of one split. A row has prompt, completion, passages, kind, topic, group and
    interaction_ids (dataset/rows.py); its passages keep their headings: the prompt is the row's again. Rehearsal rows
    are left out: they are of earlier manners, which have sets."""
    found = []
    for row in rows:
        if row["split"] != split or row["kind"] == "rehearsal":
            continue
        passages = tuple(embedded(passage["heading"], passage["text"]) for passage in row["passages"])
        lineage = tuple(map(str, row["interaction_ids"]))
        item = Item(
            f"row-{digest([row['prompt'], row['completion'], *lineage])[:16]}",
            Kind.BEHAVIOR,
            row["prompt"],
            passages,
            (row["completion"],),
            row["group"],
            row["topic"],
            interactions=lineage,
        )
        found.append(item)
        if row["kind"] == "refusal":
            found.append(replace(item, id=f"{item.id}-declines", kind=Kind.REFUSAL))
    return sorted({item.id: item for item in found}.values(), key=lambda item: item.id)


def of_lines(text: str, where: str) -> list[Item]:
    """Items of JSON lines; `where` is the key of the settings that names the file. ConfigError names the line."""
    found: dict[str, Item] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            item = _item(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(
                f"{where}: line {number} is no question ({error}): {line[:120]!r}",
                expected='{"question": "...", "answers": ["..."]}, and perhaps passages, gold, group, topic',
                next_step="correct that line",
            ) from error
        found.setdefault(item.id, item)
    return list(found.values())


def shown(items: Sequence[Item], retrieve: Callable[[str], Sequence[str]]) -> list[Item]:
    """The items with passages: those without any get what `retrieve` finds for their question. `gold` is then where an
    accepted answer stands, in so many words."""
    return [item if item.passages else _with(item, tuple(retrieve(item.question))) for item in items]


def _with(item: Item, passages: tuple[str, ...]) -> Item:
    from assets.behavior.evaluation.metrics import normalized

    texts = [f" {' '.join(normalized(text))} " for text in passages]
    wanted = [f" {' '.join(normalized(answer))} " for answer in item.references]
    gold = tuple(n for n, text in enumerate(texts, start=1) if any(answer in text for answer in wanted))
    return replace(item, passages=passages, gold=gold)


def _item(row: Mapping[str, Any]) -> Item:
    unknown = sorted(row.keys() - _KEYS)
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}")
    question, group = row["question"], row.get("group", "")
    answers, passages = tuple(row.get("answers") or ()), tuple(row.get("passages") or ())
    gold = tuple(row.get("gold") or ())
    if not all(isinstance(text, str) and text.strip() for text in (question, *answers, *passages)):
        raise ValueError("question, answers and passages are texts, and none of them is empty")
    if not all(isinstance(number, int) and 1 <= number <= len(passages) for number in gold):
        raise ValueError(f"gold {list(gold)} of {len(passages)} passages")
    kind = Kind.GROUNDED if answers else Kind.REFUSAL
    id = f"{kind}-{digest([question, *answers])[:16]}"
    return Item(id, kind, question, passages, answers, str(group), str(row.get("topic", "")), gold)
