"""A history of daily counts, walked through day by day as production would have: what was said on each day, and why.

Nothing is told of a later day, so the first days of a longer history read the same. How it differs from production:

a contract   is frozen from the first reference days, and again from those after a fine-tune: what it releases is new;
             where a horizon ends, the next one begins, unless a shift was shown and waits (as in production)
examples     are estimated from the counts: of a day and topic, failures of behavior that can have been corrected
spend        is that of the replay's own fine-tunes, each at its expected cost; each has ended and is released at once
approvals    are not given, deploys not known, and history is not restated: a day is as the file says it
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import numpy as np

from assets.decision import shift
from assets.decision.baselines import Contract, freeze
from assets.decision.config import ShiftConfig
from assets.decision.counts import DailyCounts
from assets.decision.judging import excess, knowledge, traffic
from assets.decision.policy import Action, Rules, Situation, Verdict, decide
from assets.decision.store import rounded

_SPAN, _GROWTH = 122, 3  # monitored days that are computed at first, and by how much that grows when they are used up


@dataclass(frozen=True, slots=True)
class Day:
    """What was said on a day. `fired` is the first day on which the evidence at hand had reached the threshold."""

    day: date
    evidence: float
    threshold: float
    fired: date | None
    changed: date | None
    shares: Mapping[str, float]
    verdict: Verdict

    def row(self) -> dict[str, Any]:
        """As `twohands replay` prints it."""
        return {
            "day": self.day.isoformat(),
            "M": self.evidence,
            "threshold": self.threshold,
            "fired": self.fired is not None,
            "verdict": str(self.verdict.action),
            "reason": self.verdict.sentence,
        }


def replay(counts: DailyCounts, config: ShiftConfig, rules: Rules) -> Iterator[Day]:
    """What was said on each day of a variant's history."""
    return History(counts, config).days(rules)


class History:
    """Daily counts and their trajectories, each computed once: several policies may be tried on them."""

    def __init__(self, counts: DailyCounts, config: ShiftConfig) -> None:
        self.counts, self.config = counts, config
        self._epochs: dict[int, _Epoch] = {}

    @cached_property
    def examples(self) -> np.ndarray:
        """Corrected examples of each day, as far as counts tell: failures, no more than were edited."""
        n, s = self.counts.n, self.counts.S
        found = s["fail"] if "fail" in s else np.zeros((self.counts.days, 1))
        edited = [n[event] for event in ("edit", "format") if event in n]
        return (np.minimum(found, np.max(edited, axis=0)) if edited else found).sum(1)

    def days(self, rules: Rules, threshold: float | None = None) -> Iterator[Day]:
        """What was said on each day under these rules; at another threshold than the settings' where one is given."""
        limit = self.config.threshold if threshold is None else threshold
        start, length, finetunes = 0, self.config.reference_days, list[date]()
        stands = False  # a shift that was shown and waits keeps its contract
        for number in range(self.counts.days):
            if number - start - length >= self.config.horizon_days and not stands:
                start += self.config.horizon_days  # its last days are the next contract's reference
            now = self._situation(start, number, limit, finetunes, rules)
            verdict = decide(now, rules)
            yield Day(now.day, now.evidence, limit, now.fired, now.changed, now.shares, verdict)
            stands = now.fired is not None
            if verdict.action is Action.FINETUNE:
                finetunes.append(now.day)
                start, stands = number + 1, False

    def _situation(self, start: int, number: int, limit: float, finetunes: list[date], rules: Rules) -> Situation:
        length, day = self.config.reference_days, self.day(number)
        in_month = sum(1 for done in finetunes if (done.year, done.month) == (day.year, day.month))
        spent, hours = in_month * rules.cost, in_month * rules.finetune_hours
        if number - start + 1 < length:
            learning = length - (number - start + 1)
            return Situation(
                day, learning, length, threshold=limit, spent=spent, gpu_hours=hours, last_finetune=_last(finetunes)
            )
        epoch, seen = self._epoch(start), self.until(number)
        at = number - start - length  # of the monitored days; -1 on the last one of the reference
        reading = epoch.reading(at, limit)
        since = reading.changed or epoch.since
        recent = self.counts.between(since, day) if reading.fired else None
        return Situation(
            day=day,
            reference_days=length,
            evidence=reading.evidence,
            highest=reading.highest,
            threshold=limit,
            fired=reading.fired,
            changed=reading.changed,
            shares=reading.shares,
            labels_moved=reading.labels_moved,
            examples=int(self.examples[self.number(since) : number + 1].sum()) if recent else 0,
            excess=excess(recent, epoch.contract, since) if recent else 0.0,
            traffic=traffic(seen),
            knowledge=knowledge(seen, epoch.contract),
            spent=spent,
            gpu_hours=hours,
            last_finetune=_last(finetunes),
        )

    def _epoch(self, start: int) -> _Epoch:
        if start not in self._epochs:
            last = start + self.config.reference_days - 1
            reference = self.until(last).seen().between(self.day(start), self.day(last))
            self._epochs[start] = _Epoch(self.counts, freeze(reference, self.config), self.config)
        return self._epochs[start]

    def day(self, number: int) -> date:
        """The day with this number, from 0."""
        return self.counts.first_day + timedelta(days=number)

    def number(self, day: date) -> int:
        """The number of a day."""
        return (day - self.counts.first_day).days

    def until(self, number: int) -> DailyCounts:
        """The counts as they were known when this day was the newest; shares memory with the whole."""
        n, s = ({e: t[: number + 1] for e, t in part.items()} for part in (self.counts.n, self.counts.S))
        return DailyCounts(self.counts.first_day, self.counts.topics, n, s)


@dataclass(frozen=True, slots=True)
class _Reading:
    """Evidence as one day knew it."""

    evidence: float
    highest: float
    fired: date | None
    changed: date | None
    shares: Mapping[str, float]
    labels_moved: bool


class _Epoch:
    """The days that one contract is compared with, computed some at a time: most end with a fine-tune early."""

    def __init__(self, counts: DailyCounts, contract: Contract, config: ShiftConfig) -> None:
        self.contract, self.since = contract, contract.last_day + timedelta(days=1)
        self._counts, self._config = counts, config
        self._most = (counts.last_day - contract.last_day).days
        self._have = 0
        self._total = self._labels = np.zeros(0)
        self._by_event: Mapping[str, np.ndarray] = {}
        self._changes: list[date | None] | None = None

    def reading(self, at: int, limit: float) -> _Reading:
        """What the monitored day of this number (from 0) knew; no evidence before the first."""
        if at < 0:
            return _Reading(0.0, 0.0, None, None, {}, False)
        if at >= self._have:
            self._compute(at)
        total, moved = self._total[: at + 1], bool((self._labels[: at + 1] >= limit).any())
        reached = np.flatnonzero(total >= limit)
        fired = self.since + timedelta(days=int(reached[0])) if len(reached) else None
        whole = sum(part[at] for part in self._by_event.values())
        shares = {event: rounded(part[at] / whole) if whole else 0.0 for event, part in self._by_event.items()}
        changed = self._changed(at) if fired else None
        return _Reading(float(total[-1]), float(total.max()), fired, changed, shares, moved)

    def _compute(self, at: int) -> None:
        self._have = max(self._have, _SPAN)
        while self._have <= at:
            self._have *= _GROWTH
        self._have = min(self._have, self._most)
        found = shift.evidence(self._window(), self.contract, self._config)
        self._total, self._labels = (np.array([rounded(x) for x in part]) for part in (found.total, found.label_watch))
        self._by_event, self._changes = found.by_event, None

    def _changed(self, at: int) -> date | None:
        if self._changes is None:
            self._changes = shift.changes(self._window(), self.contract, self._config)
        return self._changes[at]

    def _window(self) -> DailyCounts:
        return self._counts.between(self._counts.first_day, self.since + timedelta(days=self._have - 1))


def _last(finetunes: list[date]) -> date | None:
    return finetunes[-1] if finetunes else None
