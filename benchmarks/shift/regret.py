"""What a system's decisions cost, in the currency of the budget.

An interaction that an unattended shift spoils (an event that would not have happened before the change) costs
`failure`; a fine-tune costs its GPU hours. A shift is attended from the first fine-tune on or after the change on; what
was spoiled until the end of that day is paid for, and where nobody acts, all until the end of the stream. Every
fine-tune is paid for, needed or not.

    regret = cost - cost of one fine-tune on the very day of the change (or of none, where nothing changes)

Assumed: a fine-tune mends the whole shift at once, and one for nothing does no harm beyond its price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assets.decision.policy import Rules
from benchmarks.shift.streams import Array, Stream

RULES = Rules()


@dataclass(frozen=True, slots=True)
class Prices:
    """Those of the default [decision]. Only how many spoiled answers a fine-tune is worth decides who wins."""

    gpu_hour: float = RULES.per_gpu_hour
    gpu_hours: float = RULES.finetune_hours
    failure: float = RULES.value_per_failure

    @property
    def fine_tune(self) -> float:
        """Price of one fine-tune."""
        return self.gpu_hour * self.gpu_hours


PRICES = Prices()


def spoiled(stream: Stream) -> Array:
    """Expected events of each monitored day that the change alone brought about, over all interactions.

    Labelled or not: the labels are a sample. Events that only corrections can show are not counted a second time.
    """
    every = stream.counts["labelled"].n
    total = np.zeros(len(every))
    for event in ("fail", "schema_bad", "style"):
        if event in stream.law:
            total += (every * np.abs(stream.law[event].now - stream.law[event].before)).sum(1)
    return total[stream.reference :]


def regret(
    triggers: Sequence[int], change: int | None, harm: Sequence[float], prices: Prices = PRICES
) -> tuple[float, float]:
    """(paid for fine-tunes beyond the one that was needed, paid for answers that the shift spoiled)."""
    if change is None:
        return prices.fine_tune * len(triggers), 0.0
    acted = next((day for day in triggers if day >= change), None)
    until = len(harm) if acted is None else acted + 1
    return prices.fine_tune * (len(triggers) - 1), prices.failure * float(np.sum(harm[change:until]))


def ideal_on_quiet(alpha: float, prices: Prices = PRICES) -> float:
    """What the oracle pays for a year in which nothing changes: its false rate, by construction."""
    return alpha * prices.fine_tune
