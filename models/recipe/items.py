"""Questions with ranked evidence, in the form that serving will show it: the items that training draws from."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from assets.prompting import Embed, Evidence, Passage, evidence, statements, support
from assets.prompting.evidence import shown

RETRIEVED = 5  # passages that a question is shown with, as in serving
KEPT = 6  # evidence statements of an item; training shows one to five of them


@dataclass(slots=True)
class Asked:
    """A question about passage `at` of a corpus (None: unanswerable). `sentence` is where the answer `span` stands."""

    question: str
    at: int | None = None
    sentence: str = ""
    span: str = ""
    banned: tuple[int, ...] = ()  # passages that may not be shown, since they hold the answer


@dataclass(slots=True)
class Item:
    """`gold`: index of the right statement in `shown` (None: unanswerable); `span`: the short answer or ""."""

    source: str
    question: str
    shown: list[Evidence]
    gold: int | None
    span: str = ""
    held_out: bool = False


def build(
    source: str,
    passages: Sequence[tuple[str, str]],
    asked: Sequence[Asked],
    embed: Embed,
    rng: random.Random,
    *,
    held_out: bool = False,
) -> Iterator[Item]:
    """Items of one corpus of (heading, body) passages: the nearest passages are retrieved, as serving will do.

    An answerable question always gets its own passage, at a random place; items whose gold statement does not come
    among the best KEPT are left out.
    """
    bodies = [statements(body) for _, body in passages]
    embed([shown(head, s) for (head, _), cut in zip(passages, bodies, strict=True) for s in cut])
    whole = np.stack([_center(embed, head, cut) for (head, _), cut in zip(passages, bodies, strict=True)])
    vectors = embed([a.question for a in asked]) if asked else np.zeros((0, whole.shape[1]))
    for one, vector in zip(asked, vectors, strict=True):
        order = [int(i) for i in np.argsort(-(whole @ vector), kind="stable") if i not in one.banned]
        picked = _picked(order, one, rng)
        numbers = _numbers(len(picked), rng)
        prompt = [Passage(n, passages[i][0], passages[i][1]) for n, i in zip(numbers, picked, strict=True)]
        ranked = evidence(one.question, prompt, embed, KEPT)
        gold = None
        if one.at is not None:
            gold = _gold(ranked, numbers[picked.index(one.at)], one)
            if gold is None:
                continue
        if ranked:
            yield Item(source, one.question, ranked, gold, one.span, held_out)


def _center(embed: Embed, heading: str, cut: Sequence[str]) -> np.ndarray:
    """A passage's vector for retrieval: the mean of its statements', which are embedded anyway."""
    vectors = embed([shown(heading, s) for s in cut])
    mean = vectors.mean(0) + 0.5 * vectors.max(0)  # long passages are found by their best part too
    return mean / (np.linalg.norm(mean) + 1e-9)


def _picked(order: list[int], one: Asked, rng: random.Random) -> list[int]:
    near = order[: RETRIEVED + 2]
    count = rng.choice((2, 3, 4, 5, 5))
    chosen = near[:count] if rng.random() < 0.75 else rng.sample(near, min(count, len(near)))
    if one.at is not None and one.at not in chosen:
        chosen[-1] = one.at
    rng.shuffle(chosen)
    return chosen


def _numbers(count: int, rng: random.Random) -> list[int]:
    return list(range(1, count + 1)) if rng.random() < 0.7 else rng.sample(range(1, 10), count)


def _gold(ranked: Sequence[Evidence], number: int, one: Asked) -> int | None:
    fits = [
        i for i, e in enumerate(ranked) if e.number == number and one.sentence in e.sentence and one.span in e.sentence
    ]
    exact = [i for i in fits if ranked[i].sentence == one.sentence]
    if one.sentence.startswith("It ") or " it" in one.sentence.split(".")[0][-12:]:
        exact = []  # a leaning sentence is right with the one before it
    best = exact or fits
    return min(best) if best else None


def write(items: Iterable[Item], file: Path) -> int:
    """JSON lines; returns how many."""
    count = 0
    with file.open("w", encoding="utf-8") as out:
        for item in items:
            out.write(json.dumps(asdict(item), ensure_ascii=False) + "\n")
            count += 1
    return count


def read(file: Path) -> list[Item]:
    """The items of a file of JSON lines, with the support words of the thresholds as they are now."""
    found = []
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            row["shown"] = [Evidence(**e | {"support": support(e["score"])}) for e in row["shown"]]
            found.append(Item(**row))
    return found
