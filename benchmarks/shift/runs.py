"""One stream through all systems; many streams through two processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from benchmarks.shift import real_streams, systems
from benchmarks.shift.peers.base import Peer
from benchmarks.shift.peers.oracle import Oracle
from benchmarks.shift.regret import spoiled
from benchmarks.shift.streams import Stream, make

TUNING, REPORT = 1_000_000, 20_000_000  # first seeds: no stream is both tuned on and reported
QUIET_ON = ("none", "topic_mix", "new_topic", "stale_documents", "index_outage", "seasonality")  # the pool of the goal


@dataclass(frozen=True)
class Job:
    """One stream and what to do with it. `curves`: first triggers over every peer's grid; `slow`: slow peers too."""

    kind: str
    seed: int
    per_day: float = 100
    tuned: dict[str, float] = field(default_factory=dict)
    curves: bool = False
    slow: bool = False
    only: tuple[str, ...] = ()  # names of peers; empty for all
    stored: Stream | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one stream. `firsts`: peer -> first trigger at each setting of its grid; `triggers`: system ->
    trigger days; `harm`: expected events a day that the change brought about."""

    kind: str
    seed: int
    per_day: float
    days: int
    change: int | None
    triggers: dict[str, list[int]]
    firsts: dict[str, list[int | None]]
    harm: list[float]


@lru_cache(maxsize=1)
def _peers() -> list[Peer]:
    return systems.peers()[0]


def stream(job: Job) -> Stream:
    """The stream of a job."""
    if job.stored is not None:
        return job.stored
    if job.kind.startswith(real_streams.PREFIX):
        return real_streams.make(job.kind.removeprefix(real_streams.PREFIX), job.seed, per_day=job.per_day)
    return make(job.kind, job.seed, per_day=job.per_day)


def run(job: Job) -> Outcome:
    """Runs one job."""
    one = stream(job)
    chosen = [
        peer
        for peer in _peers()
        if (job.slow or not peer.name.startswith(systems.SLOW))
        and (not job.only or peer.name in job.only)
        and (not isinstance(peer, Oracle) or one.law)
    ]
    firsts = {peer.name: peer.firsts(one, peer.grid) for peer in chosen if job.curves and peer.grid}
    triggers = {
        system.label: system.peer.triggers(one, system.setting) for system in systems.systems(chosen, job.tuned)
    }
    harm = spoiled(one).tolist() if one.law and one.change is not None else []
    return Outcome(job.kind, job.seed, one.per_day, one.days, one.change, triggers, firsts, harm)


def run_all(jobs: Sequence[Job], processes: int, progress: Any = None) -> list[Outcome]:
    """All jobs, in their order, at low priority."""
    if processes < 2:
        return list(_counted(map(run, jobs), len(jobs), progress))
    found: dict[int, Outcome] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_humble) as pool:
        futures = {pool.submit(run, job): place for place, job in enumerate(jobs)}
        for done in _counted(as_completed(futures), len(jobs), progress):
            found[futures[done]] = done.result()
    return [found[place] for place in range(len(jobs))]


def _humble() -> None:
    os.nice(10)


def _counted(items: Iterable[Any], total: int, progress: Any) -> Iterator[Any]:
    for number, item in enumerate(items, start=1):
        if progress is not None:
            progress(number, total)
        yield item
