"""The data card: what a reviewer has to see of a dataset before trusting it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from assets.behavior.dataset.building import Dataset, Report
from assets.behavior.dataset.config import DatasetConfig
from assets.behavior.dataset.rows import ADDED, SAID, SPLITS, Example, Reason
from assets.behavior.dataset.store import Manifest
from assets.rendering import CHARACTERS, Markdown, Metadata, block, code, picture, table

EXAMPLES = 3  # rows of each kind
BINS = 24
Card = dict[str, Any]


def card_of(dataset: Dataset, config: DatasetConfig, tokens_by: str) -> Card:
    """The card as JSON: counts at every filter, parts before and after balance, lengths, examples, settings."""
    rows = dataset.examples
    return {
        **of_report(dataset.report),
        "redacted_rows": dataset.report.redacted,
        "splits": {split: dataset.count(split) for split in SPLITS},
        "groups": {split: len({row.group for row in rows if row.split == split}) for split in SPLITS},
        "kinds": dict(Counter(row.kind for row in rows)),
        "topics": _crossed(rows, lambda row: row.topic),
        "events": _crossed(rows, lambda row: row.event),
        "with_distractors": sum(not all(one.shown for one in row.passages) for row in rows),
        "tokens": {**_summary([row.tokens for row in rows]), "by": tokens_by, "limit": config.max_tokens},
        "answer_words": _summary([len(row.completion.split()) for row in rows]),
        "pairs": len(dataset.pairs),
        "examples": [_example(row) for row in _shown(rows)],
        "settings": _settings(config),
    }


def of_report(report: Report) -> Card:
    """What became of the candidates; also where there is no dataset."""
    return {
        "funnel": [[name, left] for name, left in report.funnel()],
        "left_out": {str(reason): n for reason in Reason if (n := report.reasons[reason])},
        "clean": [[*part, n] for part, n in sorted(report.clean.items())],
        "chosen": [[*part, n] for part, n in sorted(report.chosen.items())],
        "refused": [
            {"id": one.id, "reason": str(one.reason), "detail": one.detail, "prompt": one.prompt}
            for one in report.refused
        ],
    }


def metadata(manifest: Manifest, dataset: Dataset) -> Metadata:
    """The card in the UI."""
    card = manifest.card
    shown: Metadata = {
        "dagster/row_count": len(dataset.examples),
        "dataset": manifest.digest[:16],
        "number": manifest.number,
        "stored_as": manifest.name,
        "made_of": manifest.frozen,
        "pairs": manifest.pairs,
        "redacted_rows": int(card["redacted_rows"]),
        "with_distractors": int(card["with_distractors"]),
        "tokens_counted_by": str(card["tokens"]["by"]),
    }
    shown |= {f"{split}_rows": n for split, n in card["splits"].items()}
    shown |= {f"{split}_groups": n for split, n in card["groups"].items()}
    shown |= {f"{kind}_rows": card["kinds"][kind] for kind in ADDED if card["kinds"].get(kind)}
    shown |= refusals(card)
    shown["rows"] = _crosstable("topic", card["topics"])
    shown["events"] = _crosstable("event", card["events"])
    shown["examples"] = Markdown("\n\n".join(map(_example_text, card["examples"])))
    shown["lengths"] = lengths([row.tokens for row in dataset.examples], int(card["tokens"]["limit"]))
    shown["by_topic"] = by_topic(card["topics"])
    return shown


def refusals(card: Mapping[str, Any]) -> Metadata:
    """Where the candidates went: what every filter left, and examples of what it left out."""
    rows = [("candidates", f"{card['funnel'][0][1]:,}", "", "")]
    for (reason, left), before in zip(card["funnel"][1:], card["funnel"], strict=False):
        if left != before[1]:
            rows.append((reason, f"{left:,}", f"{before[1] - left:,}", SAID[Reason(reason)]))
    found: Metadata = {"filters": table(("filter", "left", "left out", "because"), rows, len(rows))}
    if card["refused"]:
        refused = [(one["reason"], one["id"], one["detail"], one["prompt"]) for one in card["refused"]]
        found["left_out_examples"] = table(("filter", "interaction", "what it found", "question"), refused, 20)
    return found


def lengths(tokens: Sequence[int], limit: int) -> Markdown:
    """A histogram of the rows' tokens."""

    def draw(axes) -> None:  # noqa: ANN001 - matplotlib's
        axes.hist(np.asarray(tokens), bins=BINS, color="tab:blue", alpha=0.8)
        if tokens and limit <= 2 * max(tokens):
            axes.axvline(limit, color="tab:red", linewidth=1, linestyle="--")
        axes.set_xlabel("tokens", fontsize=7)
        axes.set_ylabel("rows", fontsize=7)
        axes.tick_params(labelsize=6)

    return picture("length of rows", draw)


def by_topic(topics: Mapping[str, Mapping[str, int]], most: int = 12) -> Markdown:
    """Rows of the largest topics, by split."""
    names = sorted(topics, key=lambda name: (-sum(topics[name].values()), name))[:most][::-1]

    def draw(axes) -> None:  # noqa: ANN001 - matplotlib's
        left = np.zeros(len(names))
        for split, color in zip(SPLITS, ("tab:blue", "tab:orange", "tab:green"), strict=True):
            widths = np.array([topics[name].get(split, 0) for name in names], float)
            axes.barh(range(len(names)), widths, left=left, color=color, label=split)
            left += widths
        axes.set_yticks(range(len(names)), [name[:20] for name in names])
        axes.tick_params(labelsize=6)
        axes.legend(fontsize=6)

    return picture("rows by topic", draw)


def _shown(rows: Sequence[Example]) -> list[Example]:
    """Some rows of each kind, spread over the days."""
    found = []
    for kind in ("correction", "refusal", "accepted", *ADDED):
        of_kind = [row for row in rows if row.kind == kind]
        found += of_kind[:: max(len(of_kind) // EXAMPLES, 1)][:EXAMPLES]
    return found


def _example(row: Example) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "event": row.event,
        "topic": row.topic,
        "split": row.split,
        "interaction_ids": list(row.interaction_ids),
        "messages": list(row.messages),
    }


def _example_text(example: Mapping[str, Any]) -> str:
    head = f"**{example['kind']}** {code(example['event'])} {code(example['topic'])} {code(example['split'])} "
    texts = (f"{code(one['role'])}\n\n{block(_excerpt(one['content']))}" for one in example["messages"])
    return head + code(", ".join(example["interaction_ids"])) + "\n\n" + "\n\n".join(texts)


def _excerpt(text: str) -> str:
    """Begin and end of a text: a prompt ends with its question."""
    half = CHARACTERS // 2 - 4
    return text if len(text) <= CHARACTERS else f"{text[:half]} ... {text[-half:]}"


def _crossed(rows: Sequence[Example], key: Any) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    for row in rows:
        found.setdefault(key(row), Counter())[row.split] += 1
    return {name: dict(found[name]) for name in sorted(found)}


def _crosstable(head: str, counts: Mapping[str, Mapping[str, int]]) -> Markdown:
    ordered = sorted(counts.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    return table((head, *SPLITS), [(name, *(str(n.get(split, 0)) for split in SPLITS)) for name, n in ordered])


def _summary(values: Sequence[int]) -> dict[str, float]:
    if not values:
        return {}
    low, half, high = np.percentile(values, [5, 50, 95])
    return {"p5": float(low), "p50": float(half), "p95": float(high), "max": float(max(values))}


def _settings(config: DatasetConfig) -> dict[str, Any]:
    """The settings, but for the key of the split."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name in config.__slots__
        if name not in ("split_key", "pii") and (value := getattr(config, name)) is not None
    } | {"pii_kinds": list(config.pii.kinds), "pii_patterns": sorted(config.pii.patterns)}
