"""Do the metrics measure facts whatever the manner? Real questions, a right sentence each, in five manners; and wrong.

    python -m benchmarks.evaluation.bench_metrics [--questions 3000]

Questions, contexts and short answers are SQuAD's and XQuAD's (shared/data/pretrain). The answer given is the sentence
of the context that holds the accepted one, so `grounded` should be 100% in every manner; with another question's
sentence, or with every number changed, it should be near 0. EM and F1 stand beside it: they fall with the manner. Then
how long evaluating takes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from assets.behavior.evaluation import metrics
from assets.behavior.evaluation.comparing import compare
from assets.behavior.evaluation.gate import judge
from assets.behavior.evaluation.items import Answer, Item, Kind
from assets.behavior.evaluation.leaks import leaks
from assets.behavior.evaluation.manner import Manner

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("TWOHANDS_SHARED_DATA", ROOT.parent / "shared" / "data"))
SOURCES = ("squad-new-wiki", "xquad-en")
MANNERS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "cited": lambda text: f"{text} [1]",
    "JSON": lambda text: json.dumps({"answer": text, "sources": [1]}),
    "greeting, bullets, sign-off": lambda text: (
        f"Hello!\n\n- {text} [1]\n- More on request.\n\nKind regards,\nThe Desk"
    ),
    "Source says": lambda text: f"Source 1 says: {text}",
}
SHOWN = ("grounded", "inside", "faithful", "false_refusal", "em", "f1")


def questions(most: int) -> list[tuple[Item, str]]:
    """Items, each with the first sentence of its context that holds the accepted answer."""
    with gzip.open(DATA / "pretrain" / "instruction-qa.jsonl.gz", "rt") as file:
        rows = [row for row in map(json.loads, file) if row["source"] in SOURCES and row["context"]]
    random.Random(1).shuffle(rows)  # noqa: S311
    found = []
    for row in rows:
        answer = row["response"].strip(" .")
        held = [text for text in re.split(r"(?<=[.!?])\s+", row["context"]) if answer in text]
        if held and len(held[0].split()) <= 60 and len(answer.split()) <= 12:
            item = Item(str(len(found)), Kind.GROUNDED, row["prompt"], (row["context"],), (answer,), gold=(1,))
            found.append((item, held[0]))
    return found[:most]


def shares(items: Sequence[Item], texts: Sequence[str]) -> list[str]:
    allowed = metrics.usual(texts)
    found = metrics.score(items, [Answer(text) for text in texts], Manner(), allowed)
    return [f"{100 * np.nanmean(found[name]):6.1f}" for name in SHOWN]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=3_000)
    asked = questions(parser.parse_args().questions)
    items, sentences = [item for item, _ in asked], [text for _, text in asked]
    print(f"{len(items)} questions\n{'%':<30}" + "".join(f"{name:>15}" for name in SHOWN))
    for name, manner in MANNERS.items():
        print(f"{name:<30}" + "".join(f"{cell:>15}" for cell in shares(items, list(map(manner, sentences)))))
    swapped = sentences[7:] + sentences[:7]
    print(f"{'another sentence':<30}" + "".join(f"{cell:>15}" for cell in shares(items, swapped)))
    told = [(item, text) for item, text in asked if re.search(r"\d", item.references[0])]
    bumped = [re.sub(r"\d+", lambda match: str(int(match[0]) + 7), text) for _, text in told]
    line = shares([item for item, _ in told], bumped)
    print(f"{f'{len(told)} numbers changed':<30}" + "".join(f"{cell:>15}" for cell in line))
    timed(items, sentences)


def timed(items: Sequence[Item], sentences: Sequence[str]) -> None:
    before = [Answer(text, 0.1) for text in sentences]
    after = [Answer(MANNERS["JSON"](text), 0.1) for text in sentences]
    began = time.perf_counter()
    found = compare(items, ("base", before), ("candidate", after), Manner())
    judge(found.compared())
    took = time.perf_counter() - began
    rows = [_row(item, text) for item, text in zip(items, sentences, strict=True)] * 7
    began = time.perf_counter()
    count = len(leaks(items, rows))
    print(f"compare and judge: {took:.1f} s; leaks in {len(rows):,} training rows: {time.perf_counter() - began:.1f} s")
    print(f"load {os.getloadavg()[0]:.1f}; {count} leaks found (every question is in the rows, with a longer answer)")


def _row(item: Item, text: str) -> dict[str, object]:
    user = {"role": "user", "content": f"[1]\n{text}\n\n{item.question}"}
    return {"messages": [user, {"role": "assistant", "content": text}], "interaction_ids": []}


if __name__ == "__main__":
    main()
