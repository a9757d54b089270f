"""Has behavior shifted? A sequential test over daily yes/no counts that may be read every day.

Input, per event f, day d and topic z: n interactions that could have the event, S that had it. The contract
(baselines.py) holds each topic's rate in the reference days of a release. The evidence of day t is

    M_t = sum_f w_f sum_h sum_{j <= t} 2 B_{f,h,j}(t) + w_new M_new,t        j every second day, h a size (logit)
    B   = sum_q a_q prod_z [(1-q) + q BF_z]  (and the mean over z of BF_z: exactly one topic)

with BF_z the Bayes factor "topic z moved by h from day j on" against "it did not" (bayes.py). The test fires when
M_t >= c = horizon/alpha.

GUARANTEE. If nothing but chance, weekdays and the uncertainty of the baselines is at work (tau = 1), then
P(M_t >= c on any day of the horizon) <= alpha, however often it is read. Sketch: (1) BF_z is a ratio of marginal
likelihoods, the lower one being the true law, so it is a non-negative martingale of mean 1. (2) So are products over
topics, which are independent given their baselines, the mixtures (1-q) + q BF, the mean over topics, and weighted means
over sizes and events. (3) Let every start that has not begun count 1: the sum of all is a martingale that begins at
`horizon`, and Ville's inequality gives the bound. (4) For knowledge failures booked as behavior, and for labels that
follow the outcome, the evidence must hold without and with the largest rise they explain: the smaller one counts.

LEAK. Knowledge failures may be booked as behavior at any rate up to `leak`. x = rise of the topic's knowledge-failure
rate above its reference, beyond `dead_zone`, over 14 days, or over 5, 2 or 1 where it rose by more than chance (1, 1.5
and 2 standard errors): an index outage raises it in a day. The null rate p becomes p + k (1-p), k = x leak/(1-leak).
Divide by all labelled rows, never by those without a knowledge failure: that conditions on the outcome.

LABELS. If failures become likelier to be labelled, their share rises without any shift. When the labelled share rises
by the factor 1 + D, at most D/(1+D) of the labelled rows are extra failures: the null rate becomes (p + D)/(1 + D).
D is the rise beyond what chance and day effects explain (labels.py). A second test with an alpha of its own,
`label_watch`, watches the labelled share itself; when it has fired, events that see only labelled rows may propose and
not spend.

LIMITS, to be said wherever the guarantee is.
* alpha is an average over the uncertainty of the baselines (normal on the logit scale, weekday offsets plugged in), not
  a bound for every single contract. It holds for one contract; a new release, or a fine-tune, begins another.
* Day effects make tau < 1: with baselines integrated that is a quasi-likelihood, exact in the limit of normal sums of
  days, and its variance is learnt from 28 days. This part rests on simulation (docs/shift-benchmark.md).
* A day effect that stays (another audience within a topic) is a shift; nothing in the counts can tell them apart.
* Leak rates between 0 and `leak` are covered by monotonicity, not by proof; the dead zone lets through a rise of the
  failure rate of at most dead_zone x leak/(1-leak) = 0.5 points. Falls of the labelled share are left to the watch.
* Restatements after corrections add alpha/2 at most (config.restated).

Sources: Ville 1939; Shiryaev 1963 and Roberts 1966 for sums over starts; Robbins and Siegmund 1970, and Ramdas et al.
2023 ("Game-theoretic statistics and safe anytime-valid inference") for mixtures; docs/decisions/0009.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from assets.decision import bayes, labels
from assets.decision.baselines import Baseline, Contract, day_weights, sigmoid
from assets.decision.config import LABEL_WATCH, EventTest, ShiftConfig
from assets.decision.counts import BadCounts, DailyCounts

NEW_TASK = "new_task"  # the event of topics without a baseline
_THREADS = 2
_LONGEST = 14  # days over which the rate of knowledge failures is measured
_WINDOWS = {_LONGEST: 0.0, 5: 1.0, 2: 1.5, 1: 2.0}  # days: standard errors that are left to chance
_PRIOR_ROWS = 40.0  # that a topic's rate of knowledge failures borrows from all topics
_HUGE = 1e200


@dataclass(frozen=True, slots=True)
class Evidence:
    """The test on every monitored day: M [days], its parts by event (they add up to M), the label watch [days], the
    threshold c of an unrevised history."""

    first_day: date
    total: np.ndarray
    by_event: Mapping[str, np.ndarray]
    label_watch: np.ndarray
    threshold: float

    @property
    def last_day(self) -> date:
        """The newest day; the day before the first where none is monitored."""
        return self.first_day + timedelta(days=len(self.total) - 1)

    def fired(self, threshold: float | None = None) -> date | None:
        """The first day on which M reached the threshold."""
        days = np.flatnonzero(self.total >= (threshold or self.threshold))
        return self.first_day + timedelta(days=int(days[0])) if len(days) else None


@dataclass(frozen=True, slots=True)
class Reading:
    """What the last day says beyond M: shares of events, the likeliest day of change, and log10 Bayes factors by topic
    of the event and start that carry most of the evidence."""

    shares: Mapping[str, float]
    changed: date | None
    event: str | None
    size: float
    topics: Mapping[str, float]


def evidence(counts: DailyCounts, contract: Contract, config: ShiftConfig, *, since: date | None = None) -> Evidence:
    """The whole trajectory. Days are monitored from `since`, or from the day after the reference.

    A pure function: the same counts, contract and settings give the same bits. BadCounts when the contract was frozen
    under other settings.
    """
    view = _View(counts, contract, config, since)
    parts = view.each(view.daily)
    parts[NEW_TASK] = config.new_task * view.new_task()
    watch = view.daily("labelled", LABEL_WATCH) if view.has("labelled") else np.zeros(view.days)
    total = np.sum(list(parts.values()), axis=0)
    return Evidence(view.first_day, total, parts, watch, config.threshold)


def today(
    counts: DailyCounts, contract: Contract, config: ShiftConfig, *, since: date | None = None
) -> tuple[float, Reading]:
    """M of the last day alone, and what it says; a fraction of the trajectory's cost."""
    view = _View(counts, contract, config, since)
    starts = view.each(view.today)
    fresh = view.new_task()
    parts = {event: float(found.sum()) for event, found in starts.items()}
    parts[NEW_TASK] = float(config.new_task * fresh[-1]) if len(fresh) else 0.0
    total = sum(parts.values())
    shares = {event: value / total if total else 0.0 for event, value in parts.items()}
    return total, view.reading(starts, shares)


def changes(
    counts: DailyCounts, contract: Contract, config: ShiftConfig, *, since: date | None = None
) -> list[date | None]:
    """The likeliest day of change as it looked on each monitored day (`Reading.changed`), at a trajectory's cost."""
    view = _View(counts, contract, config, since)
    together = sum(view.each(view.by_start).values(), view.nothing())
    half = together.sum(1, keepdims=True) / 2
    middle = np.argmax(np.cumsum(together, axis=1) >= half, axis=1) if view.days else ()
    return [view.day(int(at)) if half[day] > 0 else None for day, at in enumerate(middle)]


class _View:
    """Counts as a contract sees them: its topics first, monitored days only."""

    def __init__(self, counts: DailyCounts, contract: Contract, config: ShiftConfig, since: date | None) -> None:
        if contract.config != config.digest:
            raise BadCounts(
                f"the contract of variant {contract.variant!r}, release {contract.release!r} was frozen under other "
                f"settings ({contract.config[:12]}) than these ({config.digest[:12]})",
                expected="the settings that it was frozen under",
                next_step="take [decision] back to them, or freeze a new one (`twohands shift --freeze --why TEXT`)",
            )
        self.contract, self.config = contract, config
        self.first_day = max(since or date.min, contract.last_day + timedelta(days=1))
        self.days = max((counts.last_day - self.first_day).days + 1, 0) if counts.days else 0
        aligned = counts.ordered(contract.topics)
        self.topics, self._all = aligned.topics, aligned
        self._monitored = aligned.between(self.first_day, self.first_day + timedelta(days=self.days - 1))
        self.weekday = (self.first_day - contract.first_day).days % 7
        self.starts = np.arange(0, self.days, config.step)
        self._weights: dict[str, np.ndarray] = {}
        self._rise: list[np.ndarray | None] = []

    def has(self, event: str) -> bool:
        """Whether an event was counted both in the reference and later."""
        return event in self.contract.events and event in self._monitored.n

    def tests(self) -> Iterator[tuple[str, EventTest]]:
        """Events that can be tested; the others abstain."""
        return ((event, test) for event, test in self.config.events.items() if self.has(event))

    def each(self, work: Callable[[str, EventTest], np.ndarray]) -> dict[str, np.ndarray]:
        """What every event's test finds, weighted; two events at a time, since numpy lets other threads run."""
        self._raised()  # shared by all, computed once
        tests = dict(self.tests())
        with ThreadPoolExecutor(_THREADS) as pool:
            found = pool.map(lambda event: tests[event].weight * work(event, tests[event]), tests)
            return dict(zip(tests, found, strict=True))

    def daily(self, event: str, test: EventTest) -> np.ndarray:
        """Evidence of one event on every day, unweighted."""
        if self._untestable(event):
            return np.zeros(self.days)
        found, raised = self._daily(event, test, None), self._raised() if event == "fail" else None
        return found if raised is None else np.minimum(found, self._daily(event, test, raised))

    def today(self, event: str, test: EventTest) -> np.ndarray:
        """Evidence of one event on the last day by start [starts], unweighted."""
        if self._untestable(event):
            return np.zeros(len(self.starts))
        found, raised = self._today(event, test, None), self._raised() if event == "fail" else None
        bounded = found if raised is None else self._today(event, test, raised)
        return bounded if bounded.sum() < found.sum() else found

    def by_start(self, event: str, test: EventTest) -> np.ndarray:
        """Evidence of one event on every day by start [days, starts], unweighted."""
        if self._untestable(event):
            return self.nothing()
        found, raised = self._by_start(event, test, None), self._raised() if event == "fail" else None
        if raised is None:
            return found
        bounded = self._by_start(event, test, raised)
        return np.where(bounded.sum(1, keepdims=True) < found.sum(1, keepdims=True), bounded, found)

    def nothing(self) -> np.ndarray:
        """No evidence [days, starts]."""
        return np.zeros((self.days, len(self.starts)))

    def day(self, start: int) -> date:
        """The day of a start, by its number."""
        return self.first_day + timedelta(days=int(self.starts[min(start, len(self.starts) - 1)]))

    def _untestable(self, event: str) -> bool:
        return not self.days or not self.contract.events[event].known.any()

    def _parts(self, event: str, raised: np.ndarray | None) -> Iterator[bayes.Rows]:
        base, n, s = self._table(event)
        if event not in self._weights:
            self._weights[event] = day_weights(base, n, s, self.weekday, self.config)
        tau = self._weights[event]
        weekday = base.offsets[(self.weekday + np.arange(self.days)) % 7]
        known = np.flatnonzero(base.known)
        for group in bayes.topic_groups(len(known)):
            topics = known[group]
            yield bayes.Rows(
                base.logit[topics],
                base.se[topics],
                weekday,
                (tau[:, None] * n[:, topics]).T,
                (tau[:, None] * s[:, topics]).T,
                None if raised is None else raised[topics],
            )

    def _table(self, event: str) -> tuple[Baseline, np.ndarray, np.ndarray]:
        """Baseline of an event, its n and S over the contract's topics."""
        width = len(self.contract.topics)
        return self.contract.events[event], self._monitored.n[event][:, :width], self._monitored.S[event][:, :width]

    def _daily(self, event: str, test: EventTest, raised: np.ndarray | None) -> np.ndarray:
        topics = int(self.contract.events[event].known.sum())
        parts = self._parts(event, raised)
        return self.config.step * bayes.evidence_daily(parts, self.starts, self.days, test, self.config, topics)

    def _by_start(self, event: str, test: EventTest, raised: np.ndarray | None) -> np.ndarray:
        topics, found = int(self.contract.events[event].known.sum()), self.nothing()
        parts = self._parts(event, raised)
        for chunk, part in bayes.evidence_by_start(parts, self.starts, self.days, test, self.config, topics):
            found[chunk[0] :, chunk // self.config.step] = self.config.step * part
        return found

    def _today(self, event: str, test: EventTest, raised: np.ndarray | None) -> np.ndarray:
        topics = int(self.contract.events[event].known.sum())
        parts = self._parts(event, raised)
        return self.config.step * bayes.evidence_today(parts, self.starts, test, self.config, topics)

    def _raised(self) -> np.ndarray | None:
        """By how much leaks and labels may have raised the odds of `fail`, [topics, days, 2]; None for not at all."""
        if not self._rise:
            leak, rise = self._leak(), self._selection()
            k = self.config.leak / (1 - self.config.leak) * leak
            odds = np.stack([(1 + rise) / (1 - k), (1 + rise) * k / (1 - k) + rise], axis=-1)
            self._rise.append(odds if leak.any() or rise.any() else None)
        return self._rise[0]

    def _leak(self) -> np.ndarray:
        """Rise of the knowledge-failure rate beyond the dead zone, [topics, days]."""
        if not self.has("know") or not self.config.leak:
            return np.zeros((len(self.contract.topics), self.days))
        base, width = self.contract.events["know"], len(self.contract.topics)
        before = self._all.between(self.first_day - timedelta(days=_LONGEST - 1), self._monitored.last_day)
        n, s = (table["know"][:, :width] for table in (before.n, before.S))
        usual = (base.S + _PRIOR_ROWS * base.S.sum() / max(base.n.sum(), 1)) / (base.n + _PRIOR_ROWS)
        largest = np.zeros((len(n), width))
        for days, margin in _WINDOWS.items() if self.config.sudden else [(_LONGEST, 0.0)]:
            rows, known = _window(n, days), _window(s, days)
            overall = (known.sum(1, keepdims=True) + 0.5) / (rows.sum(1, keepdims=True) + 10)
            rate = (known + _PRIOR_ROWS * overall) / (rows + _PRIOR_ROWS)
            chance = margin * np.sqrt(rate * (1 - rate) / (rows + _PRIOR_ROWS)) if margin else 0.0
            largest = np.maximum(largest, rate - usual - chance - self.config.dead_zone)
        return largest[len(n) - self.days :].T

    def _selection(self) -> np.ndarray:
        """Rise of the labelled share beyond chance, [days]."""
        if not self.has("labelled") or not self.config.selection:
            return np.zeros(self.days)
        return labels.rise(*self._table("labelled"), self.weekday)

    def new_task(self) -> np.ndarray:
        """Topics without a baseline: a Shiryaev-Roberts test of "their failure rate is at most the ceiling" [days]."""
        if "fail" not in self._monitored.n:
            return np.zeros(self.days)
        known = np.zeros(len(self.topics), bool)
        if "fail" in self.contract.events:
            known[: len(self.contract.topics)] = self.contract.events["fail"].known
        failed, rows = self._monitored.S["fail"][:, ~known].sum(1), self._monitored.n["fail"][:, ~known].sum(1)
        ceiling = self.config.ceiling
        worse = sigmoid(np.log(ceiling / (1 - ceiling)) + np.array([0.5, 1.0]))
        factors = np.exp(
            np.outer(failed, np.log(worse / ceiling)) + np.outer(rows - failed, np.log((1 - worse) / (1 - ceiling)))
        )
        total, found = np.zeros(2), np.zeros(self.days)
        for day, factor in enumerate(factors):
            total = np.minimum((total + 1) * factor, _HUGE)
            found[day] = total.mean()
        return found

    def reading(self, starts: Mapping[str, np.ndarray], shares: Mapping[str, float]) -> Reading:
        """The likeliest day of change by all events, and who moved in the strongest one."""
        together = np.sum(list(starts.values()), axis=0) if starts else np.zeros(0)
        if not len(together) or not together.sum() > 0:
            return Reading(shares, None, None, 0.0, {})
        changed = self.day(int(np.searchsorted(np.cumsum(together), together.sum() / 2)))
        event = max(starts, key=lambda name: float(starts[name].sum()))
        best = self.starts[[int(np.argmax(starts[event]))]]
        test, raised = self.config.events[event], self._raised() if event == "fail" else None
        with ThreadPoolExecutor(_THREADS) as pool:
            last = pool.map(
                lambda part: list(bayes.last_day(bayes.last_profile(part, test.sizes, self.config.nodes, best))),
                list(self._parts(event, raised)),
            )
            found = list(last)
        sizes = [np.concatenate([part[number][:, 0] for part in found]) for number in range(len(test.sizes))]
        size = int(np.argmax([part.sum() for part in sizes]))
        known = np.flatnonzero(self.contract.events[event].known)
        topics = {self.contract.topics[z]: float(sizes[size][i] / np.log(10)) for i, z in enumerate(known)}
        return Reading(shares, changed, event, test.sizes[size], topics)


def _window(table: np.ndarray, days: int) -> np.ndarray:
    """Sums over the last days, fewer at the beginning."""
    sums = np.vstack([np.zeros((1, table.shape[1])), np.cumsum(table, axis=0)])
    return sums[1:] - sums[np.maximum(np.arange(1, len(sums)) - days, 0)]
