"""What the benchmark asks of a system: when does it call for a fine-tune?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from benchmarks.shift.streams import Array, Stream

LIMIT = 300  # labelled rows of a day that systems are fed which read one row after the other
KNOWN = 5  # labelled rows of the reference below which a topic has no rate
PSEUDO = 4.0  # rows that a topic's rate borrows from all topics


class NotInstalled(Exception):
    """The system cannot be imported here. The message says how to install it."""


class Peer(Protocol):
    """A system with one setting."""

    @property
    def name(self) -> str: ...

    @property
    def default(self) -> float | None:
        """The setting it comes with; None where it is only there to be tuned."""
        ...

    @property
    def grid(self) -> Sequence[float]:
        """Settings to tune over, the most sensitive first; empty where it cannot be tuned."""
        ...

    def firsts(self, stream: Stream, settings: Sequence[float]) -> list[int | None]:
        """The first monitored day on which each setting asks for a fine-tune; None where it never does."""
        ...

    def triggers(self, stream: Stream, setting: float) -> list[int]:
        """All monitored days on which this setting asks for one, when each is granted."""
        ...


class Watcher:
    """Base of systems that hold a reference: after a trigger the next 28 days are the reference anew."""

    name = ""
    default: float | None = None
    grid: Sequence[float] = ()

    def firsts(self, stream: Stream, settings: Sequence[float]) -> list[int | None]:
        raise NotImplementedError

    def triggers(self, stream: Stream, setting: float) -> list[int]:
        return restarted(self, stream, setting)


def restarted(peer: Peer | Watcher, stream: Stream, setting: float) -> list[int]:
    """Trigger days, each followed by a new reference of 28 days and evidence from nothing."""
    found: list[int] = []
    start, rest = 0, stream
    while rest.days > 0:
        (day,) = peer.firsts(rest, [setting])
        if day is None:
            break
        found.append(start + day)
        start += stream.reference + day + 1
        rest = stream.since(start)
    return found


def crossings(series: Array, limits: Sequence[float]) -> list[int | None]:
    """The first day on which the series reaches each limit."""
    top = np.maximum.accumulate(np.nan_to_num(series, nan=-np.inf))
    days = np.searchsorted(top, np.asarray(limits, float), side="left")
    return [int(day) if day < len(top) else None for day in days]


def baselines(stream: Stream, event: str) -> tuple[Array, np.ndarray]:
    """Rates of the reference by topic, drawn to that of all topics; and which topics have enough rows for one."""
    n, s = (table[: stream.reference].sum(0) for table in stream.counts[event])
    mean = (s.sum() + 0.5) / (n.sum() + 1)
    return (s + PSEUDO * mean) / (n + PSEUDO), n >= KNOWN


class Rows(NamedTuple):
    """Labelled rows one after the other, in random order within a day. `residual` is nan where a topic has no rate."""

    day: np.ndarray
    down: np.ndarray  # failed for any reason: what a thumb tells
    residual: Array  # failed in manner, less the topic's rate in the reference


def rows(stream: Stream, limit: int = LIMIT) -> Rows:
    """The labelled interactions behind the counts; of a day with more than `limit` a random part."""
    rng = np.random.default_rng([stream.seed, 7, stream.days])
    n, fail = stream.counts["fail"]
    know = np.minimum(stream.counts["know"].S, n - fail) if "know" in stream.counts else np.zeros_like(n)
    cells = np.stack([fail, know, n - fail - know], axis=-1).astype(int)  # [days, topics, outcomes]
    for day in np.flatnonzero(n.sum(1) > limit):
        flat = cells[day].ravel()
        cells[day] = rng.multivariate_hypergeometric(flat, limit, method="marginals").reshape(cells[day].shape)
    index = np.repeat(np.arange(cells.size), cells.ravel())
    day, topic, outcome = np.unravel_index(index, cells.shape)
    order = np.argsort(day + rng.random(len(day)))
    day, topic, outcome = day[order], topic[order], outcome[order]
    rate, known = baselines(stream, "fail")
    residual = np.where(known[topic], (outcome == 0) - rate[topic], np.nan)
    return Rows(day, outcome < 2, residual)
