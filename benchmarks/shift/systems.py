"""Which systems run, and how: as they come, or tuned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.shift.ours import Ours, OursProposed
from benchmarks.shift.peers import daily_tests, modyn_like, schedules
from benchmarks.shift.peers.base import NotInstalled, Peer
from benchmarks.shift.peers.oracle import NAME as ORACLE
from benchmarks.shift.peers.oracle import Oracle

OURS = Ours.name
PROPOSED = OursProposed.name
TUNED = ", tuned"
SLOW = "Evidently"  # names that begin so run on a part of the streams
__all__ = ["ORACLE", "OURS", "PROPOSED", "SLOW", "TUNED", "System", "peers", "systems"]


def peers() -> tuple[list[Peer], list[str]]:
    """Those that can be imported here, ours first, and why others cannot."""
    found: list[Peer] = [
        Ours(), OursProposed(), Oracle(), daily_tests.Chi2(), daily_tests.Chi2Bonferroni(), daily_tests.Ks(),
        daily_tests.KsBonferroni(), modyn_like.ModynQuantile(), modyn_like.ModynAverage(), schedules.Weekly(),
        schedules.EveryExamples(),
    ]  # fmt: skip
    missing = []
    for add in (_river, _evidently):
        try:
            found += add()
        except NotInstalled as error:
            missing.append(str(error))
    return found, missing


def _river() -> list[Peer]:
    from benchmarks.shift.peers import river_peers as river

    return [river.AdwinThumbs(), river.AdwinResidual(), river.Ddm(), river.PageHinkley(), river.PageHinkleyUp()]


def _evidently() -> list[Peer]:
    from benchmarks.shift.peers.evidently_peer import EvidentlyBehavior, EvidentlyPreset

    made: Sequence[Callable[[int], Peer]] = (EvidentlyPreset, EvidentlyBehavior)
    return [make(days) for make in made for days in (1, 7)]


@dataclass(frozen=True)
class System:
    """A row of the tables: a peer at a setting."""

    label: str
    peer: Peer
    setting: float


def systems(found: Sequence[Peer], tuned: dict[str, float]) -> list[System]:
    """Each at its default, and at its tuned setting where there is one. Names say which."""
    rows = []
    for peer in found:
        if peer.default is not None:
            rows.append(System(peer.name, peer, peer.default))
        if peer.name in tuned:
            rows.append(System(peer.name + TUNED, peer, tuned[peer.name]))
    return rows
