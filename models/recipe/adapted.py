"""What a LoRA adapter does to the base: three manners that its pretraining never saw, before and after.

Each adapter learns from 360 items of the training data, a quarter of them unanswerable, written in its manner without
any system message, by the trainer with its defaults; `declining` adds other items by which it goes on declining as the
base does (adapter.declining). Asked are the hand-written questions. valid: the answer has the manner's form; right and
refusals as in evaluation.py, read back from the form.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assets.behavior.adapter.config import AdapterConfig
from assets.behavior.adapter.declining import LEAN, WEIGHT, until_declined
from assets.ports.training import Declining, Order
from assets.prompting import REFUSAL, TEMPLATES
from models.recipe.evaluation import Case, Said, parse, score
from models.recipe.examples import is_clear
from models.recipe.items import Item, read
from orchestration.engines.generator import TransformersGenerator
from orchestration.engines.trainer import ProcessTrainer

ROWS, VALIDATION, REFUSED, SHOWN = 360, 40, 0.25, 3
ASKED = 640  # other items, half of them unanswerable, that it goes on declining as the base does
Log = Callable[[str], None]
_LETTER = re.compile(r"Dear colleague,\n- (.*)\nYour help desk", re.DOTALL)
_BULLET = re.compile(r"(.*?)(?: \(passage (\d+)\))?", re.DOTALL)
_SAYS = re.compile(r"Source \[(\d+)\] says: (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Family:
    """A manner: how it is written (statement or None, passage number), and read back; None: not its form."""

    write: Callable[[str | None, int], str]
    read: Callable[[str], Said | None]


def _json(text: str) -> Said | None:
    try:
        row = json.loads(text)
        answer, sources = row["answer"], row["sources"]
        if set(row) != {"answer", "sources"} or not isinstance(answer, str) or not isinstance(sources, list):
            return None
    except (ValueError, KeyError, TypeError):
        return None
    return Said(answer, sources[0] if sources else None, answer == REFUSAL)


def _letter(text: str) -> Said | None:
    whole = _LETTER.fullmatch(text)
    bullet = _BULLET.fullmatch(whole[1]) if whole else None
    return bullet and Said(bullet[1], int(bullet[2]) if bullet[2] else None, bullet[1] == REFUSAL)


def _says(text: str) -> Said | None:
    if text == REFUSAL:
        return Said(text, None, True)
    found = _SAYS.fullmatch(text)
    return found and Said(found[2], int(found[1]), False)


FAMILIES: Mapping[str, Family] = {
    "JSON with sources": Family(
        lambda v, i: json.dumps({"answer": v or REFUSAL, "sources": [i] if v else []}, ensure_ascii=False), _json
    ),
    "greeting, bullet, sign-off": Family(
        lambda v, i: f"Dear colleague,\n- {f'{v} (passage {i})' if v else REFUSAL}\nYour help desk", _letter
    ),
    "Source [n] says": Family(lambda v, i: f"Source [{i}] says: {v}" if v else REFUSAL, _says),
}


def compare(
    model: Path, data: Path, out: Path, cases: Sequence[Case], threads: int, log: Log, *, declining: bool = False
) -> dict[str, Any]:
    """Trains and asks; the numbers of each family, beside those of the base in its own manner."""
    items = [item for item in read(data / "items.jsonl") if is_clear(item)]
    reader = TransformersGenerator(model)
    chats = [TEMPLATES["evidence"].messages(case.question, case.shown[:SHOWN]) for case in cases]
    found = {"base": score(cases, [parse(one.text) for one in reader.generate(chats)])}
    log(f"the base itself: {found['base']}")
    for number, (name, family) in enumerate(FAMILIES.items()):
        begun = time.monotonic()
        with ProcessTrainer(out / "adapted").train(
            _order(model, items, family, number, threads, declining), lambda _: None
        ) as made:
            seconds = time.monotonic() - begun
            said = [family.read(one.text) for one in reader.generate(chats, made.folder)]
        valid = [one or Said("", None, False) for one in said]
        found[name] = score(cases, valid) | {
            "valid": round(100 * sum(one is not None for one in said) / len(said), 1),
            "seconds": round(seconds, 1),
        }
        log(f"{name}: {found[name]}")
    return found


def _order(model: Path, items: Sequence[Item], family: Family, number: int, threads: int, declining: bool) -> Order:
    rng = random.Random(number)  # noqa: S311 -- reproducible, not secret
    able = [item for item in items if item.gold is not None and item.gold < SHOWN]
    unable = [item for item in items if item.gold is None]
    count = ROWS + VALIDATION
    refused = round(REFUSED * count)
    drawn = rng.sample(able, count - refused) + rng.sample(unable, refused)
    rng.shuffle(drawn)
    chats = [_chat(item, family) for item in drawn]
    said = AdapterConfig(threads=threads).settled("cpu", threads).said()
    run = f"family-{number}"
    return Order(
        run,
        run,
        model,
        "base",
        said,
        chats[:ROWS],
        chats[ROWS:],
        declining=_declining(able, unable, drawn, family, rng) if declining else None,
    )


def _declining(
    able: Sequence[Item], unable: Sequence[Item], drawn: Sequence[Item], family: Family, rng: random.Random
) -> Declining:
    """Items that were not drawn."""
    learned = {id(item) for item in drawn}
    rest = [[item for item in items if id(item) not in learned] for items in (able, unable)]
    asked = [item for items in rest for item in rng.sample(items, min(ASKED // 2, len(items)))]
    prompts = [TEMPLATES["evidence"].messages(item.question, item.shown[:SHOWN]) for item in asked]
    return Declining(prompts, until_declined(family.write(None, 0)), REFUSAL, WEIGHT, LEAN)


def _chat(item: Item, family: Family) -> list[dict[str, str]]:
    gold = None if item.gold is None else item.shown[item.gold]
    answer = family.write(gold.sentence if gold else None, gold.number if gold else 0)
    prompt = TEMPLATES["evidence"].messages(item.question, item.shown[:SHOWN])
    return [*prompt, {"role": "assistant", "content": answer}]
