"""Triggers after Modyn's drift policies: today's distance from the reference against the distances seen before.

The distance is the length of the vector of the events' residual rates (observed minus expected from the topics), each
in units of one standard deviation of a single row. Modyn's default policy fires when a distance lies beyond the 95%
quantile of the last ten; its other one when it exceeds the rolling average by a share, which can be tuned.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.shift.peers.base import Watcher, baselines, crossings
from benchmarks.shift.peers.daily_tests import EVENTS
from benchmarks.shift.streams import Array, Stream

WINDOW = 10


def distances(stream: Stream) -> Array:
    """Of every day, the reference's included."""
    total = np.zeros(len(stream.counts["fail"].n))
    for event in EVENTS:
        if event not in stream.counts:
            continue
        n, s = stream.counts[event]
        rate, known = baselines(stream, event)
        n, s, rate = n[:, known], s[:, known], rate[known]
        spread = np.sqrt(np.maximum((n * rate * (1 - rate)).sum(1), 1e-9) * np.maximum(n.sum(1), 1))
        total += ((s - n * rate).sum(1) / spread) ** 2
    return np.sqrt(total)


def _before(far: Array, reference: int, window: int) -> Array:
    """The distances of the `window` days before each monitored day, [days, window]."""
    views = np.lib.stride_tricks.sliding_window_view(far, window)
    return views[reference - window : len(far) - window]


class ModynQuantile(Watcher):
    """DynamicQuantileThreshold with its defaults: window 10, quantile .05."""

    name = "Modyn-like quantile"
    default = 0.05

    def firsts(self, stream: Stream, settings: Sequence[float]) -> list[int | None]:
        far = distances(stream)
        past = np.sort(_before(far, stream.reference, WINDOW), axis=1)
        found: list[int | None] = []
        for quantile in settings:
            place = min(max(0, round(WINDOW * (1 - quantile)) - 1), WINDOW - 1)
            hits = np.flatnonzero(far[stream.reference :] > past[:, place])
            found.append(int(hits[0]) if len(hits) else None)
        return found


class ModynAverage(Watcher):
    """DynamicRollingAverageThreshold over the last 28 days; the setting is the relative deviation that fires."""

    name = "Modyn-like average"
    default = 0.05
    grid = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0, 12.0, 20.0)

    def firsts(self, stream: Stream, settings: Sequence[float]) -> list[int | None]:
        far = distances(stream)
        mean = _before(far, stream.reference, 28).mean(1)
        return crossings(far[stream.reference :] / np.maximum(mean, 1e-12) - 1, settings)
