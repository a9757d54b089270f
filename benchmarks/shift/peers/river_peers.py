"""river's change detectors: ADWIN, DDM and Page-Hinkley, fed one labelled interaction after the other.

They see the reference first, without being asked. The fairest rivals (`residual`) get what our test gets: attributed
failures only, less the rate of the topic in the reference; topics without one abstain, and only rises count.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.shift.peers.base import NotInstalled, Rows, Watcher, rows
from benchmarks.shift.streams import Stream

try:
    from river import drift
    from river.drift import binary
except ImportError as error:  # pragma: no cover
    raise NotInstalled(f"{error}; pip install -e '.[bench]'") from error

_fed: weakref.WeakKeyDictionary[Stream, Rows] = weakref.WeakKeyDictionary()


def _rows(stream: Stream) -> Rows:
    if stream not in _fed:
        _fed[stream] = rows(stream)
    return _fed[stream]


class _OneByOne(Watcher):
    """A detector that is updated with every row; `make` builds it for a setting."""

    residual = True
    rises_only = False

    def make(self, setting: float) -> Any:
        raise NotImplementedError

    def firsts(self, stream: Stream, settings: Sequence[float]) -> list[int | None]:
        fed = _rows(stream)
        if self.residual:
            seen = ~(fed.residual != fed.residual)
            days, values = fed.day[seen].tolist(), fed.residual[seen].tolist()
        else:
            days, values = fed.day.tolist(), fed.down.astype(int).tolist()
        return [self._first(self.make(setting), days, values, stream.reference) for setting in settings]

    def _first(self, detector: Any, days: list[int], values: list[float], reference: int) -> int | None:
        update: Callable[[float], Any] = detector.update
        mean = 0.0
        for day, value in zip(days, values, strict=True):
            if self.rises_only:
                mean = detector.estimation
            update(value)
            if detector.drift_detected and day >= reference and (not self.rises_only or detector.estimation > mean):
                return day - reference
        return None


class AdwinThumbs(_OneByOne):
    """ADWIN on the share of labelled answers that are down, for any reason."""

    name = "ADWIN, thumbs"
    default = 0.002
    grid = (0.5, 0.2, 0.05, 0.02, 0.01, 0.005, 0.002, 5e-4, 1e-4, 1e-5, 1e-7, 1e-10, 1e-14)
    residual = False

    def make(self, setting: float) -> Any:
        return drift.ADWIN(delta=setting)


class AdwinResidual(AdwinThumbs):
    """ADWIN on attributed failure minus the topic's rate in the reference: the fairest rival."""

    name = "ADWIN, residual"
    residual = True
    rises_only = True


class Ddm(_OneByOne):
    """DDM on thumbs; its setting is how many standard deviations are a drift."""

    name = "DDM, thumbs"
    default = 3.0
    grid = (2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 10.0, 14.0)
    residual = False

    def make(self, setting: float) -> Any:
        return binary.DDM(drift_threshold=setting, warning_threshold=min(2.0, setting))


class PageHinkley(_OneByOne):
    """Page-Hinkley on the residual, as it comes (both directions)."""

    name = "Page-Hinkley, residual"
    default = 50.0
    mode = "both"

    def make(self, setting: float) -> Any:
        return drift.PageHinkley(threshold=setting, mode=self.mode)


class PageHinkleyUp(PageHinkley):
    """Page-Hinkley on the residual for rises alone: a fairer one to tune."""

    name = "Page-Hinkley up, residual"
    default = None
    grid = (5.0, 8.0, 12.0, 16.0, 20.0, 25.0, 30.0, 40.0, 50.0, 65.0, 80.0, 100.0, 130.0, 200.0, 400.0)
    mode = "up"
