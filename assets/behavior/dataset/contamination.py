"""Whether a row stands in what is held out: by whose it is, and by what it says.

    the row's                                                                       contaminated
    ------------------------------------------------------------------------------  ------------
    interaction is one of a held-out item                                           yes
    group is one of a held-out item                                                 yes
    question and answer hold `max_overlap` of the n-grams of one item's, or the
    item's hold as many of the row's                                                yes
    question or answer alone is an item's                                           no, where the other one is as long

N-grams are of words without case, punctuation and articles, as evaluation compares answers; fewer words are one
n-gram. With n = 5 and less than 0.8 the rule is stricter than evaluation/leaks.py, which looks again before a release.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from assets.behavior.evaluation.metrics import normalized

COMMON = 500  # held-out items that share an n-gram: it belongs to the manner, and tells none of them


class Held(NamedTuple):
    """A held-out item: a question, the answers that are right, its group and interactions."""

    question: str
    answers: Sequence[str]
    group: str = ""
    interactions: Sequence[str] = ()


def ngrams(question: str, answer: str, n: int) -> set[str]:
    """The n-grams of a question and of its answer, each by itself: none goes from one to the other."""
    return _of(question, n) | _of(answer, n)


class HeldOut:
    """Items that nothing may be learnt from."""

    def __init__(self, items: Iterable[Held], n: int) -> None:
        self.n = n
        self._groups: set[str] = set()
        self._interactions: set[str] = set()
        self._sizes: list[int] = []
        self._holding: dict[str, list[int]] = defaultdict(list)
        for item in items:
            self._groups.add(item.group)
            self._interactions.update(item.interactions)
            for answer in item.answers or ("",):
                grams = ngrams(item.question, answer, n)
                for gram in grams:
                    self._holding[gram].append(len(self._sizes))
                self._sizes.append(len(grams))
        self._groups.discard("")

    def holds(
        self, question: str, answer: str, max_overlap: float, *, group: str = "", interactions: Collection[str] = ()
    ) -> bool:
        """Whether a row is contaminated."""
        if not self._sizes:
            return False
        if group in self._groups or not self._interactions.isdisjoint(interactions):
            return True
        grams = ngrams(question, answer, self.n)
        shared: Counter[int] = Counter()
        for gram in grams:
            items = self._holding.get(gram, ())
            shared.update(items if len(items) <= COMMON else ())
        return any(n >= max_overlap * min(self._sizes[item], len(grams)) for item, n in shared.items())


def _of(text: str, n: int) -> set[str]:
    words = normalized(text)
    if len(words) <= n:
        return {" ".join(words)} if words else set()
    return {" ".join(words[start : start + n]) for start in range(len(words) - n + 1)}
