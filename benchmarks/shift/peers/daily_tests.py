"""Textbook tests, every day anew: chi2 and Kolmogorov-Smirnov of the day against the reference, event by event.

Both get attribution and topics: chi2 (with Yates' correction, where at least one event is expected) compares a day's
count with what its topics' rates in the reference make expected, their uncertainty included; KS compares the
distribution of outcome minus topic rate with that of the reference at the day's mix of topics. The setting is the
p-value that fires; 0.05 without a correction, 0.05 over all tests of a year with Bonferroni's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from benchmarks.shift.peers.base import Watcher, baselines, crossings
from benchmarks.shift.streams import MONITORED, Array, Stream

EVENTS = ("fail", "schema_bad", "style")  # the others are too rare on a day for such tests
ALPHA = 0.05
GRID = tuple(10.0**-x for x in (1.3, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 10, 14, 20, 40))


class _Daily(Watcher):
    def surprise(self, stream: Stream, event: str) -> Array:
        """-log10 of the p-value of each monitored day."""
        raise NotImplementedError

    def firsts(self, stream: Stream, settings: Sequence[float]) -> list[int | None]:
        least = np.max([self.surprise(stream, event) for event in EVENTS if event in stream.counts], axis=0)
        return crossings(least, [-np.log10(p) for p in settings])


class Chi2(_Daily):
    """Chi2 on each event's count, p < .05."""

    name = "chi2 daily"
    default = ALPHA

    def surprise(self, stream: Stream, event: str) -> Array:
        n, s = (table[stream.reference :] for table in stream.counts[event])
        rate, known = baselines(stream, event)
        n, s = n[:, known], s[:, known]
        rows, rate = stream.counts[event].n[: stream.reference, known].sum(0), rate[known]
        variance = (n * rate * (1 - rate) * (1 + n / rows)).sum(1)
        expected, rest = (n * rate).sum(1), (n * (1 - rate)).sum(1)
        off = np.maximum(np.abs(s.sum(1) - expected) - 0.5, 0)
        score = np.where(np.minimum(expected, rest) >= 1, off**2 / np.maximum(variance, 1e-12), 0.0)
        return -stats.chi2.logsf(score, 1) / np.log(10)


class Chi2Bonferroni(Chi2):
    """Chi2 with .05 shared out over all events and days of a year."""

    name = "chi2 daily, Bonferroni"
    default = ALPHA / len(EVENTS) / MONITORED
    grid = GRID


class Ks(_Daily):
    """Kolmogorov-Smirnov on residuals, p < .05."""

    name = "KS daily"
    default = ALPHA

    def surprise(self, stream: Stream, event: str) -> Array:
        n, s = stream.counts[event]
        rate, known = baselines(stream, event)
        n, s, rate = n[:, known], s[:, known], rate[known]
        values = np.concatenate([1 - rate, -rate])
        n, s = n[stream.reference :], s[stream.reference :]
        excess = np.hstack([s - n * rate, n * rate - s])[:, np.argsort(values)]
        size, before = n.sum(1), stream.counts[event].n[: stream.reference, known].sum()
        far = np.abs(np.cumsum(excess, 1) / np.maximum(size, 1)[:, None]).max(1)
        scale = np.sqrt(size * before / np.maximum(size + before, 1))
        return -stats.kstwobign.logsf(np.where(size > 0, far * scale, 0.0)) / np.log(10)


class KsBonferroni(Ks):
    """Kolmogorov-Smirnov with .05 shared out over all events and days of a year."""

    name = "KS daily, Bonferroni"
    default = ALPHA / len(EVENTS) / MONITORED
    grid = GRID
