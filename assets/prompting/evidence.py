"""Passages and a question -> the best evidence statements, each with a calibrated word for its support.

Score of a statement s of a passage with heading h for the question q, measured in cosine units:

    score = cos(q, "h: s") + OVERLAP * share of q's content words found in s (those of h count half)
            + KIND * (1 where s holds the kind of thing q asks for, -1 where not, 0 where q does not tell)

The cosine leads. The overlap brings what a small encoder blurs: names, numbers and product words. Both constants were
chosen on three hand-written sets and 2,000 SQuAD-style questions (models/recipe/README.md has the table); none of
them is among the evaluation questions of the bundled base.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from assets.prompting import cues
from assets.prompting.sentences import statements

Embed = Callable[[Sequence[str]], np.ndarray]  # texts -> float32 [n, dim], unit length, in order

OVERLAP, KIND, HEADING = 0.2, 0.03, 0.5
SUPPORT: tuple[tuple[float, str], ...] = ((0.38, "none"), (0.50, "weak"), (0.60, "fair"), (0.75, "good"))
STRONGEST = "strong"
CACHED = 50_000  # vectors that VectorCache keeps: 77 MB at 384 dimensions


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage as a prompt shows it: its number, its heading path (may be empty) and its body."""

    number: int
    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """A statement of a passage; `score` in cosine units, `support` the word for it."""

    number: int
    heading: str
    sentence: str
    support: str
    score: float


def passage(number: int, headings: Sequence[str], text: str) -> Passage:
    """A published chunk as a prompt's passage: the heading path that its text starts with is taken off the body."""
    heading = " > ".join(headings)
    return Passage(number, heading, text.removeprefix(heading).lstrip("\n") if heading else text)


def support(score: float) -> str:
    """The word for a score: none, weak, fair, good or strong."""
    return next((word for limit, word in SUPPORT if score < limit), STRONGEST)


def evidence(
    question: str,
    passages: Sequence[Passage],
    embed: Embed,
    k: int = 3,
    *,
    embed_question: Embed | None = None,
) -> list[Evidence]:
    """The best k statements of the passages, best first; ties keep the passages' order.

    embed_question: for encoders that prompt questions differently. A statement that a better one of the same passage
    contains is left out, and so is one that was said before.
    """
    found = [(p, s) for p in passages for s in dict.fromkeys(statements(p.text))]
    if not found:
        return []
    asked = (embed_question or embed)([question])[0]
    cosines = embed([shown(p.heading, s) for p, s in found]) @ asked
    total = scores(question, [(p.heading, s) for p, s in found], cosines)
    chosen: list[Evidence] = []
    for at in np.argsort(-total, kind="stable"):
        p, sentence = found[at]
        if any(sentence in e.sentence and (e.number == p.number or sentence == e.sentence) for e in chosen):
            continue
        chosen.append(Evidence(p.number, p.heading, sentence, support(float(total[at])), float(total[at])))
        if len(chosen) == k:
            break
    return chosen


def shown(heading: str, sentence: str) -> str:
    """What the encoder reads of a statement."""
    return f"{heading}: {sentence}" if heading else sentence


def scores(question: str, found: Sequence[tuple[str, str]], cosines: np.ndarray) -> np.ndarray:
    """float [n] for (heading, statement) pairs and their cosines [n]: the formula at the top."""
    asked = cues.stems(question)
    bodies = [set(cues.stems(sentence)) for _, sentence in found]
    heads = [set(cues.stems(heading)) for heading, _ in found]
    weight = cues.weights(asked, [body | head for body, head in zip(bodies, heads, strict=True)])
    overlap = [_share(weight, body, head) for body, head in zip(bodies, heads, strict=True)]
    kind = [cues.kind_match(question, sentence) for _, sentence in found]
    return np.asarray(cosines, dtype=float) + OVERLAP * np.array(overlap) + KIND * np.array(kind)


def _share(weight: Mapping[str, float], body: set[str], head: set[str]) -> float:
    return sum(value * (1.0 if stem in body else HEADING if stem in head else 0.0) for stem, value in weight.items())


class VectorCache:
    """An Embed that remembers vectors by the sha256 of their text; the least recently used go first."""

    def __init__(self, embed: Embed, capacity: int = CACHED) -> None:
        self._embed = embed
        self._capacity = capacity
        self._held: OrderedDict[bytes, np.ndarray] = OrderedDict()

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """The vectors of the texts, in order; only those never seen, or forgotten, are embedded."""
        names = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
        new = {name: text for name, text in zip(names, texts, strict=True) if name not in self._held}
        fresh = dict(zip(new, self._embed(list(new.values())), strict=True)) if new else {}
        vectors = [fresh[name] if name in fresh else self._held[name] for name in names]
        for name, vector in zip(names, vectors, strict=True):
            self._held[name] = vector
            self._held.move_to_end(name)
        while len(self._held) > self._capacity:
            self._held.popitem(last=False)
        return np.stack(vectors) if vectors else np.zeros((0, 0), np.float32)
