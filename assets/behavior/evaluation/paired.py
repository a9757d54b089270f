"""How sure a change is: bootstrap intervals of paired differences, by group.

Two models answered the same items; an item's difference is the candidate's score minus the released one's. Items of
one group (a document, a user) resemble each other, so whole groups are drawn with replacement and the mean is taken
over the items of those drawn (the cluster bootstrap: Davison and Hinkley 1997, 3.8). Bounds are bias-corrected and
accelerated (BCa: Efron 1987): where a loss is rare, plain percentiles are too sure of themselves.

A plain bootstrap of ten equal differences says that nothing can change: its bounds are the value itself. So the bounds
are drawn from the sample and two more groups of average size, one that changed by +`span` and one by -`span` (for
yes/no scores Agresti and Min's adjustment for paired shares, 2005). A few items can then prove nothing, and of
hundreds the bounds move by a fraction of a point. The mean is the sample's own.

The order of items says nothing, the seed everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from assets.errors import Final

CONFIDENCE = 0.95
RESAMPLES = 10_000
_CELLS = 2_000_000  # drawn at once: 16 MB


class NotPaired(Final):
    """Scores that do not belong to the same items."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean difference. `lower` and `upper` are one-sided bounds (each holds with 95%), `low` and `high` the ends of
    the two-sided interval. All are in units of the score; `items` and `groups` say of how many."""

    items: int
    groups: int
    mean: float
    lower: float
    upper: float
    low: float
    high: float
    before: float = 0.0
    after: float = 0.0


def change(
    before: Sequence[float] | np.ndarray,
    after: Sequence[float] | np.ndarray,
    groups: Sequence[str],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
    span: float = 1.0,
) -> Interval:
    """The interval of mean(after) - mean(before) over paired items; `groups` names each item's group.

    `span` is the largest change that one item can show, or 0 where there is no largest (seconds, words). NotPaired
    where the lengths differ, nothing was measured or a score is not a number.
    """
    old, new = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if not len(old) == len(new) == len(groups) or not len(old):
        raise NotPaired(
            f"{len(old)} scores before, {len(new)} after, {len(groups)} groups",
            expected="one score of each model and one group for each item, and at least one item",
            next_step="evaluate both models on the same frozen set",
        )
    if not (np.isfinite(old).all() and np.isfinite(new).all()):
        raise NotPaired(
            "a score is not a finite number", expected="a number for every item", next_step="mend the check"
        )
    sums, sizes = _by_group(new - old, groups)
    mean, count, average = float(sums.sum() / sizes.sum()), len(sums), sizes.mean()
    if span:
        sums, sizes = np.r_[sums, span * average, -span * average], np.r_[sizes, average, average]
    means = _resampled(sums, sizes, resamples, seed)
    tail = 1 - confidence
    lower, upper, low, high = np.quantile(
        means, _corrected(means, sums, sizes, [tail, 1 - tail, tail / 2, 1 - tail / 2])
    )
    return Interval(
        len(old),
        count,
        mean,
        float(lower),
        float(upper),
        float(low),
        float(high),
        float(old.mean()),
        float(new.mean()),
    )


def smallest(bound: float) -> int:
    """How many independent items it takes to show that nothing fell by more than `bound`, when nothing changed.

    Of n equal items the one-sided 95% bound is -2 / (n + 2): in one draw of twenty, the added loss comes at least twice
    more often than the added gain.
    """
    return int(np.ceil(2 / bound))


def _by_group(differences: np.ndarray, groups: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Summed differences and number of items of each group; groups and items in an order of their own."""
    order = sorted(range(len(groups)), key=lambda row: (groups[row], differences[row]))
    names = np.asarray([groups[row] for row in order])
    starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]])
    sizes = np.diff(np.r_[starts, len(names)]).astype(np.float64)
    return np.add.reduceat(differences[order], starts), sizes


def _resampled(sums: np.ndarray, sizes: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Means of `resamples` draws of as many groups as there are."""
    draw, means, count = np.random.default_rng(seed), np.empty(resamples), len(sums)
    step = max(_CELLS // count, 1)
    for start in range(0, resamples, step):
        rows = draw.integers(0, count, (min(step, resamples - start), count))
        means[start : start + len(rows)] = sums[rows].sum(axis=1) / sizes[rows].sum(axis=1)
    return means


def _corrected(means: np.ndarray, sums: np.ndarray, sizes: np.ndarray, levels: list[float]) -> list[float]:
    """The levels at which BCa reads the resampled means (Efron and Tibshirani 1993, 14.10): `bias` from where the
    sample's own mean lies among them, `speed` from what leaving out each group does to it."""
    if len(sums) < 2:
        return levels
    normal, mean = NormalDist(), sums.sum() / sizes.sum()
    below = ((means < mean).mean() + (means <= mean).mean()) / 2
    bias = normal.inv_cdf(min(max(float(below), 0.01), 0.99))
    without = (sums.sum() - sums) / (sizes.sum() - sizes)
    pulls = without.mean() - without
    spread = float((pulls**2).sum())
    speed = float((pulls**3).sum() / (6 * spread**1.5)) if spread else 0.0

    def level(of: float) -> float:
        z = bias + normal.inv_cdf(of)
        return normal.cdf(bias + z / (1 - speed * z))

    return [level(of) for of in levels]
