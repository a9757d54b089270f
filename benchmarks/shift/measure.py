"""Numbers from trigger days: rates with their exact one-sided 95% bounds, delays, curves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

NEVER = float("inf")
WITHIN = 90  # days


@dataclass(frozen=True, slots=True)
class Quiet:
    """Streams without a change of behavior. `rate` is re-fine-tunes per stream-year, `share` streams with any."""

    streams: int
    fired: int
    share: float
    share_upper: float
    rate: float
    rate_upper: float


@dataclass(frozen=True, slots=True)
class Delays:
    """Streams with a change. Days are days of changed data that it took, infinite where it was not found."""

    streams: int
    median: float
    lower: float
    upper: float
    within: float
    early: float  # streams with a trigger before the change


def quiet(triggers: Iterable[Sequence[int]], years: float) -> Quiet:
    """`years` is the length of one stream."""
    found = [len(days) for days in triggers]
    n, fired, total = len(found), sum(count > 0 for count in found), sum(found)
    time = n * years
    return Quiet(
        n,
        fired,
        fired / n if n else 0.0,
        clopper_pearson(fired, n),
        total / time if time else 0.0,
        float(stats.chi2.ppf(0.95, 2 * (total + 1)) / 2 / time) if time else NEVER,
    )


def clopper_pearson(fired: int, n: int, level: float = 0.95) -> float:
    """One-sided upper bound of a share."""
    return 1.0 if fired >= n else float(stats.beta.ppf(level, fired + 1, n - fired))


def delay(triggers: Sequence[int], change: int) -> float:
    """Days of changed data until the first trigger on or after the change."""
    return next((float(day - change + 1) for day in triggers if day >= change), NEVER)


def delays(triggers: Sequence[Sequence[int]], changes: Sequence[int]) -> Delays:
    """Of several streams."""
    found = np.array([delay(days, change) for days, change in zip(triggers, changes, strict=True)])
    early = np.mean([any(day < change for day in days) for days, change in zip(triggers, changes, strict=True)])
    low, middle, high = (quantile(found, q) for q in (0.25, 0.5, 0.75))
    return Delays(len(found), middle, low, high, float(np.mean(found <= WITHIN)), float(early))


def quantile(found: np.ndarray, q: float) -> float:
    """Quantile of numbers some of which are infinite."""
    ordered, at = np.sort(found), q * (len(found) - 1)
    low, high = ordered[int(np.floor(at))], ordered[int(np.ceil(at))]
    return float(low if low == high else low + (high - low) * (at % 1))


def conditional(firsts: Sequence[int | None], changes: Sequence[int]) -> tuple[float, int]:
    """(median delay, streams) of those that were quiet until the change: a point of a curve."""
    held = [
        NEVER if day is None else float(day - change + 1)
        for day, change in zip(firsts, changes, strict=True)
        if day is None or day >= change
    ]
    return (quantile(np.array(held), 0.5), len(held)) if held else (NEVER, 0)
