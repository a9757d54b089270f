"""Two models on the same items: every metric before and after, and what the gate reads of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from assets.behavior.evaluation import gate, metrics
from assets.behavior.evaluation.items import Answer, Item, Kind
from assets.behavior.evaluation.manner import Manner
from assets.behavior.evaluation.metrics import Scores
from assets.behavior.evaluation.paired import Interval, change

KEPT = "kept"  # of an earlier set: how much like its own references the answers are
LOWER_IS_BETTER = ("false_refusal", "seconds", "words")
_SPANS = {"seconds": 0.0, "words": 0.0}  # not shares: no change of a known size is added to their sample


@dataclass(frozen=True, slots=True)
class Side:
    """What one model answered, in the order of the items, and its scores."""

    name: str
    answers: Sequence[Answer]
    scores: Scores


@dataclass(frozen=True)
class Comparison:
    """Items with the answers of both models; each metric's change; the same on each earlier set."""

    items: Sequence[Item]
    before: Side
    after: Side
    changes: Mapping[str, Interval]
    earlier: Mapping[str, Interval] = field(default_factory=dict)

    def compared(self, leaks: Sequence[str] = ()) -> gate.Compared:
        """What the gate reads."""
        return gate.Compared(
            self.changes.get("manner"),
            self.changes.get("grounded"),
            self.changes.get("refused"),
            self.changes.get("false_refusal"),
            self.earlier,
            leaks,
        )


def compare(
    items: Sequence[Item],
    before: tuple[str, Sequence[Answer]],
    after: tuple[str, Sequence[Answer]],
    manner: Manner,
    *,
    earlier: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
    resamples: int = 10_000,
) -> Comparison:
    """Scores and changes. `before` and `after` are a name and its answers in the order of `items`; `earlier` gives the
    ids of the items of each earlier set, which are held against their own references and nothing else."""
    own = {id: name for name, ids in (earlier or {}).items() for id in ids}
    current = [row for row, item in enumerate(items) if item.id not in own]
    sides = [_side(items, current, name, answers, manner) for name, answers in (before, after)]
    groups = [item.group or item.id for item in items]

    def measured(name: str, row: int) -> bool:
        return all(np.isfinite(side.scores[name][row]) for side in sides)

    def interval(name: str, rows: np.ndarray) -> Interval:
        old, new = (side.scores[name][rows] for side in sides)
        return change(
            old, new, [groups[row] for row in rows], seed=seed, resamples=resamples, span=_SPANS.get(name, 1.0)
        )

    changes = {}
    for name in sides[0].scores.keys() & sides[1].scores.keys():
        rows = np.array([row for row in current if measured(name, row)], dtype=int)
        if len(rows):
            changes[name] = interval(name, rows)
    former = {}
    for name in sorted(set(own.values())):
        rows = np.array([r for r, i in enumerate(items) if own.get(i.id) == name and measured(KEPT, r)], dtype=int)
        if len(rows):
            former[name] = interval(KEPT, rows)
    return Comparison(items, sides[0], sides[1], dict(sorted(changes.items())), former)


def _side(items: Sequence[Item], current: Sequence[int], name: str, answers: Sequence[Answer], manner: Manner) -> Side:
    wanted = [items[row].references[0] for row in current if items[row].kind is Kind.BEHAVIOR and items[row].references]
    scores = metrics.score(items, answers, manner, metrics.usual(wanted))
    held = set(current)
    kept = [
        np.mean(list(metrics.by_reference(answer.text, item).values()))
        if row not in held and item.kind is Kind.BEHAVIOR and item.references
        else np.nan
        for row, (item, answer) in enumerate(zip(items, answers, strict=True))
    ]
    return Side(name, answers, scores | {KEPT: np.array(kept)})
