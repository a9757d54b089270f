"""The hand-written questions over the sample handbook, with the evidence that the real index retrieves for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from assets.ports import Hit
from assets.prompting import Embed, Evidence, VectorCache, evidence, passage, statements
from assets.prompting.evidence import shown
from models.recipe.evaluation import HAND_WRITTEN, Case

Search = Callable[[str], Sequence[Hit]]
KEPT = 5


def cases(search: Search, embed: Embed, file: Path = HAND_WRITTEN) -> tuple[list[Case], list[Evidence]]:
    """The cases, and the encoder's first sentence for each (the baseline: cosine alone).

    search: question -> the published passages, best first; embed: texts -> unit vectors.
    """
    found: list[Case] = []
    firsts: list[Evidence] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        hits = search(row["question"])
        shown_passages = [passage(n, h.passage.headings, h.passage.text) for n, h in enumerate(hits, 1)]
        right = frozenset(n for n, h in enumerate(hits, 1) if h.passage.doc_id == row["doc"])
        ranked = evidence(row["question"], shown_passages, embed, KEPT)
        found.append(Case(row["question"], ranked, tuple(row["answers"]), right, near=bool(row.get("near"))))
        firsts.append(_first(row["question"], shown_passages, embed))
    return found, firsts


def _first(question: str, passages: Sequence, embed: Embed) -> Evidence:
    pairs = [(p, s) for p in passages for s in statements(p.text)]
    cosines = embed([shown(p.heading, s) for p, s in pairs]) @ embed([question])[0]
    best = int(cosines.argmax())
    p, sentence = pairs[best]
    return Evidence(p.number, p.heading, sentence, "", float(cosines[best]))


def retrieve(config: Path, home: Path) -> tuple[list[Case], list[Evidence]]:
    """The cases over the sample handbook, synced into `home` by the real fast hand with the settings of `config`."""
    from orchestration.assembly import fast_hand
    from orchestration.config import load

    hand = fast_hand(load(str(config), home=str(home)))
    hand.sync("handbook")
    questions = [json.loads(line)["question"] for line in HAND_WRITTEN.read_text(encoding="utf-8").splitlines()]
    hits = dict(zip(questions, hand.search(questions, k=5, where={}), strict=True))
    return cases(lambda question: hits[question], VectorCache(hand.encoder.encode))
