"""Schedules, which look at nothing: every so many days, every so many examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.shift.streams import Stream


class _Schedule:
    name = ""
    default: float | None = None
    grid: Sequence[float] = ()

    def firsts(self, stream: Stream, settings: Sequence[float]) -> list[int | None]:
        return [next(iter(self.triggers(stream, setting)), None) for setting in settings]

    def triggers(self, stream: Stream, setting: float) -> list[int]:
        raise NotImplementedError


class Weekly(_Schedule):
    """Every seventh day; the setting is the number of days."""

    name = "weekly"
    default = 7.0

    def triggers(self, stream: Stream, setting: float) -> list[int]:
        return list(range(int(setting) - 1, stream.days, int(setting)))


class EveryExamples(_Schedule):
    """Whenever another 1,000 labelled interactions are there (once a day at most); the setting is their number."""

    name = "every 1,000 examples"
    default = 1_000.0

    def triggers(self, stream: Stream, setting: float) -> list[int]:
        rows = np.cumsum(stream.counts["fail"].n[stream.reference :].sum(1)) // setting
        return np.flatnonzero(np.diff(rows, prepend=0) > 0).tolist()
