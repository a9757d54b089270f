"""Settings at which each peer is as quiet as our test, found on streams that are not reported."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.shift.runs import Outcome
from benchmarks.shift.systems import OURS


def shares(outcomes: Sequence[Outcome], peer: str) -> np.ndarray:
    """Share of streams with any trigger, for each setting of the peer's grid."""
    found = [outcome.firsts[peer] for outcome in outcomes if peer in outcome.firsts]
    return np.mean([[day is not None for day in row] for row in found], axis=0)


def target(outcomes: Sequence[Outcome], default: float, grid: Sequence[float]) -> float:
    """Our own share at our default, and never less than one stream in all."""
    ours = shares(outcomes, OURS)[list(grid).index(default)]
    return max(float(ours), 1 / len(outcomes))


def tune(outcomes: Sequence[Outcome], grids: dict[str, Sequence[float]], most: float) -> dict[str, float]:
    """The most sensitive setting of each peer that, like all after it, fires on at most a share `most` of the streams.

    A peer that fires on more at every setting gets its least sensitive one.
    """
    found = {}
    for peer, grid in grids.items():
        if not any(peer in outcome.firsts for outcome in outcomes):
            continue
        loud = np.flatnonzero(shares(outcomes, peer) > most + 1e-12)
        place = int(loud[-1]) + 1 if len(loud) else 0
        found[peer] = float(grid[min(place, len(grid) - 1)])
    return found
