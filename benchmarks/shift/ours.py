"""Our test (assets.decision.shift) as the benchmark asks for it; the one place that knows its interface."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np

from assets.decision import shift
from assets.decision.baselines import Contract, freeze
from assets.decision.config import LABELED_EVENTS, ShiftConfig
from assets.decision.counts import DailyCounts
from benchmarks.shift.peers.base import Watcher, crossings
from benchmarks.shift.streams import Array, Stream

FIRST_DAY = date(2024, 1, 1)
CONFIG = ShiftConfig()


class Trajectory(NamedTuple):
    """M of every monitored day, the part of it that may spend (see `spendable`), and the threshold."""

    M: Array
    spendable: Array
    threshold: float


_seen: weakref.WeakKeyDictionary[Stream, Trajectory] = weakref.WeakKeyDictionary()


def counts(stream: Stream) -> DailyCounts:
    """The stream as the decision reads it."""
    width = stream.counts["fail"].n.shape[1]
    return DailyCounts(
        FIRST_DAY,
        tuple(f"topic {number:04}" for number in range(width)),
        {event: table.n for event, table in stream.counts.items()},
        {event: table.S for event, table in stream.counts.items()},
    )


def prepared(stream: Stream) -> tuple[DailyCounts, Contract]:
    """Counts, and the contract of their first 28 days."""
    daily = counts(stream)
    return daily, freeze(daily.between(FIRST_DAY, FIRST_DAY + timedelta(days=stream.reference - 1)), CONFIG)


def trajectory(stream: Stream) -> Trajectory:
    """The whole test on one stream."""
    if stream not in _seen:
        found = shift.evidence(*prepared(stream), CONFIG)
        _seen[stream] = Trajectory(found.total, spendable(found), found.threshold)
    return _seen[stream]


def spendable(found: shift.Evidence) -> Array:
    """M without the events that see labelled rows only, from the day on which the label watch fired: those may propose
    a fine-tune then and not start one."""
    fired = np.maximum.accumulate(found.label_watch) >= found.threshold
    guarded = sum((part for event, part in found.by_event.items() if event in LABELED_EVENTS), np.zeros(len(fired)))
    return np.where(fired, found.total - guarded, found.total)


def tick(daily: DailyCounts, contract: Contract) -> float:
    """M of the last day alone."""
    return shift.today(daily, contract, CONFIG)[0]


class Ours(Watcher):
    """Our test with its policy's guard: what would be fine-tuned. The setting is alpha."""

    name = "this test"
    default = CONFIG.alpha
    grid = (0.9, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.001, 1e-4)

    def series(self, stream: Stream) -> Array:
        return trajectory(stream).spendable

    def firsts(self, stream: Stream, settings: Sequence[float]) -> list[int | None]:
        limit = trajectory(stream).threshold * CONFIG.alpha
        return crossings(self.series(stream), [limit / alpha for alpha in settings])


class OursProposed(Ours):
    """Every day on which the evidence reaches the threshold, whether or not it may spend."""

    name = "this test, proposals"
    grid = ()

    def series(self, stream: Stream) -> Array:
        return trajectory(stream).M
