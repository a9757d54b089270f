"""CUSUM of somebody who knows both laws: topic baselines, weekdays, the course of knowledge failures, and the law after
the change with its topics. Only the day of the change is unknown to it, and day effects: it takes days as independent.

Its threshold is set by simulation: 5% of the twins without the change, which no other part of the benchmark sees, reach
it within a year.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from benchmarks.shift import real_streams
from benchmarks.shift.streams import Array, Stream, make

NAME = "oracle CUSUM"
SIMULATIONS = 400
SEED = 50_000_000  # of the simulated twins


class Oracle:
    """The oracle of one kind of stream at one volume."""

    name = NAME
    default = 0.05
    grid: Sequence[float] = ()

    def firsts(self, stream: Stream, settings: Sequence[float]) -> list[int | None]:
        return [next(iter(self.triggers(stream, setting)), None) for setting in settings]

    def triggers(self, stream: Stream, setting: float) -> list[int]:
        """Trigger days; after one it starts from nothing at once, and after the change's it is done."""
        if not stream.law:
            return []
        limit = threshold(stream.kind, stream.per_day, setting)
        found, height = [], 0.0
        for day, gain in enumerate(gains(stream)):
            height = max(0.0, height + gain)
            if height >= limit:
                found.append(day)
                height = 0.0
                if stream.change is not None and day >= stream.change:
                    break
        return found


def gains(stream: Stream) -> Array:
    """Log-likelihood ratio of each monitored day, the law after the change over that before it."""
    total = np.zeros(stream.days)
    for event, (before, after, _) in stream.law.items():
        n, s = (table[stream.reference :] for table in stream.counts[event])
        p, q = before[stream.reference :], after[stream.reference :]
        total += (s * np.log(q / p) + (n - s) * np.log((1 - q) / (1 - p))).sum(1)
    return total


@lru_cache(maxsize=256)
def threshold(kind: str, per_day: float, alpha: float) -> float:
    """The height that a share alpha of twins without the change reaches within the year."""
    tops = np.zeros(SIMULATIONS)
    for number in range(SIMULATIONS):
        height = 0.0
        twin = _twin(kind, SEED + number, per_day)
        for gain in gains(twin):
            height = max(0.0, height + gain)
            tops[number] = max(tops[number], height)
    return float(np.quantile(tops, 1 - alpha))


def _twin(kind: str, seed: int, per_day: float) -> Stream:
    if kind.startswith(real_streams.PREFIX):
        return real_streams.make(kind.removeprefix(real_streams.PREFIX), seed, per_day=per_day, shifted=False)
    return make(kind, seed, per_day=per_day, shifted=False)
