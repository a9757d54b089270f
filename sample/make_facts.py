"""Held-out questions of facts for the sample: `python sample/make_facts.py` writes sample/facts.jsonl for the gate, and
other ones, sample/declining.jsonl, by which an adapter goes on declining where its base does.

They are asked about made-up handbooks whose names the bundled base never saw, with the passages that the encoder finds
for each, so that a gate measures one thing: whether a model still reads what it is shown. The same seed gives the same
file. Your own questions about your own documents are better: evaluation.facts and adapter.declining in twohands.toml.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

SAMPLE = Path(__file__).resolve().parent
sys.path.insert(0, str(SAMPLE.parent))  # so that it runs from any folder

PAGES, SHOWN = 45, 3
FILES = (("facts", "handbook", 2026, 1_280), ("declining", "manual", 2027, 320))  # name, groups, seed, of either kind


def main() -> None:
    """Writes the files and says what is in them."""
    from orchestration.engines.encoders import load_encoder

    encoder = load_encoder()
    for name, books, seed, count in FILES:
        rows = facts(encoder, books, seed, count)
        target = SAMPLE / f"{name}.jsonl"
        target.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        print(f"{len(rows)} questions, {sum(bool(row['answers']) for row in rows)} with an answer: {target}")


def facts(encoder: Any, books: str, seed: int, count: int) -> list[dict[str, Any]]:
    """Rows as evaluation.facts takes them: question, answers, passages, gold, group; `count` with an answer, as many
    without one."""
    from models.recipe.handbook import Handbook

    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    told: list[dict[str, Any]] = []
    untold: list[dict[str, Any]] = []
    number = 0
    while len(told) < count or len(untold) < count:
        number += 1
        for row in _of_book(Handbook(rng, True, PAGES), f"{books}-{number}", encoder, rng):
            (told if row["answers"] else untold).append(row)
    rows = [*told[:count], *untold[:count]]
    return sorted(
        {row["question"] + row["group"]: row for row in rows}.values(), key=lambda r: (r["group"], r["question"])
    )


def _of_book(book: Any, name: str, encoder: Any, rng: random.Random) -> Iterator[dict[str, Any]]:
    texts = [f"{book.title} > {page.heading}\n\n{page.body}" for page in book.passages]
    vectors = encoder.encode(texts)
    asked = [(fact.ask(), at, fact.value) for at, page in enumerate(book.passages) for fact in page.facts[:2]]
    asked += [(question, None, "") for page in book.passages for question in page.near[:2]]
    asked += [(question, None, "") for question in rng.sample(book.unanswered(), min(8, len(book.unanswered())))]
    found = encoder.encode_queries([question for question, _, _ in asked])
    for (question, at, value), vector in zip(asked, found, strict=True):
        near = [int(i) for i in np.argsort(-(vectors @ vector), kind="stable")[:SHOWN]]
        if at is not None and at not in near:
            near[-1] = at
        rng.shuffle(near)
        yield {
            "question": question,
            "answers": [value] if value else [],
            "passages": [texts[i] for i in near],
            "gold": [near.index(at) + 1] if at is not None else [],
            "group": f"{name}/{near[0] if at is None else at}",
        }


if __name__ == "__main__":
    main()
