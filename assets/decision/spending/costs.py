"""What the ledger's entries add up to: a month, what a fine-tune costs, and what a weekly schedule would have cost.

Days and months are UTC's. Amounts are summed by currency: those of another one than is asked for are not converted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate

from assets.decision.ledger import Entry, Finished, Kind, Spend, What

WEEK = 7
SHOWN_DAYS = 1_096  # of a plot: three years


@dataclass(frozen=True, slots=True)
class Prices:
    """What an hour of a device costs. An encoder's hours cost what a CPU's do."""

    currency: str = "EUR"
    per_gpu_hour: float = 4.0
    per_cpu_hour: float = 0.0

    def amount(self, what: What, seconds: float) -> float:
        """What these seconds cost."""
        return seconds / 3_600 * (self.per_gpu_hour if what == "gpu" else self.per_cpu_hour)

    def spend(self, what: What, seconds: float, *, by: str, run: str) -> Spend:
        """The fact to record: priced now, so that a later price changes no history."""
        return Spend(
            what=what, seconds=seconds, amount=self.amount(what, seconds), currency=self.currency, by=by, run=run
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent in a calendar month, at which prices; `finetune_hours` of GPU are expected of a fine-tune."""

    prices: Prices = field(default_factory=Prices)
    per_month: float = 500.0
    gpu_hours_per_month: float | None = None
    finetune_hours: float = 1.0

    @property
    def expected_cost(self) -> float:
        """What a fine-tune is expected to cost before one was measured."""
        return self.prices.amount("gpu", self.finetune_hours * 3_600)


@dataclass(frozen=True, slots=True)
class Month:
    """Totals of one month: `hours` by device, `amounts` by currency, fine-tunes that were `requested` and `done`."""

    first: date
    hours: Mapping[What, float]
    amounts: Mapping[str, float]
    requested: int
    done: int

    @property
    def gpu_hours(self) -> float:
        """Hours of GPU."""
        return self.hours["gpu"]

    def amount(self, currency: str) -> float:
        """What was spent in a currency."""
        return self.amounts.get(currency, 0.0)


def month(entries: Iterable[Entry], day: date) -> Month:
    """Totals of the month that holds `day`. Entries of other months are left out: pass as many as you like."""
    first = day.replace(day=1)
    mine = [entry for entry in entries if entry.at.date().replace(day=1) == first]
    spends = [Spend.of(entry) for entry in mine if entry.kind is Kind.SPEND]
    return Month(
        first,
        {what: math.fsum(s.seconds for s in spends if s.what == what) / 3_600 for what in _DEVICES},
        {currency: math.fsum(s.amount for s in spends if s.currency == currency) for currency in _currencies(spends)},
        requested=sum(entry.kind is Kind.REQUEST for entry in mine),
        done=len(_done(mine)),
    )


@dataclass(frozen=True, slots=True)
class FinetuneCost:
    """What one fine-tune costs, on the average of `measured` ones; what is expected where that is none."""

    amount: float
    measured: int


def finetune_cost(entries: Iterable[Entry], currency: str, expected: float) -> FinetuneCost:
    """The mean cost of finished fine-tunes that used a GPU, with all attempts of a run (RUN#attempt); `expected` before
    there is one."""
    whole = list(entries)
    runs = {_run(fact) for fact in _done(whole)}
    spends = [fact for fact in _spends(whole) if _run(fact) in runs and fact.currency == currency]
    used = {_run(fact) for fact in spends if fact.what == "gpu" and fact.seconds > 0}
    if not used:
        return FinetuneCost(expected, 0)
    return FinetuneCost(math.fsum(fact.amount for fact in spends if _run(fact) in used) / len(used), len(used))


def _run(fact: Spend | Finished) -> str:
    return fact.run.split("#")[0]


@dataclass(frozen=True, slots=True)
class Avoided:
    """What a fine-tune a week would have cost since monitoring began, against what fine-tunes did cost.

    `weeks` are whole ones: a schedule runs at the end of each. Both amounts leave the encoder out, which would have
    cost the same. `amount` is negative when more was spent than a schedule would have.
    """

    since: date | None
    weeks: int
    schedule: float
    spent: float
    done: int

    @property
    def amount(self) -> float:
        """Money that was not spent."""
        return self.schedule - self.spent

    @property
    def finetunes(self) -> int:
        """Fine-tunes that were not needed."""
        return self.weeks - self.done


def monitored_since(entries: Iterable[Entry]) -> date | None:
    """The day of the first verdict; None before it."""
    return min((entry.at.date() for entry in entries if entry.kind is Kind.VERDICT), default=None)


def avoided(entries: Iterable[Entry], today: date, currency: str, cost: float) -> Avoided:
    """What a weekly schedule of fine-tunes at `cost` each would have cost until today, and what was spent."""
    whole = list(entries)
    since = monitored_since(whole)
    weeks = max((today - since).days, 0) // WEEK if since else 0
    after = [entry for entry in whole if since and entry.at.date() >= since]
    spent = math.fsum(fact.amount for fact in _tuning(after, currency))
    return Avoided(since, weeks, weeks * cost, spent, len(_done(after)))


@dataclass(frozen=True, slots=True)
class Series:
    """For plots, a value for each of `days`: money spent on fine-tunes so far, money that a weekly schedule would have
    spent so far, and the encoder's seconds of that day."""

    days: tuple[date, ...]
    spent: tuple[float, ...]
    schedule: tuple[float, ...]
    encoder_seconds: tuple[float, ...]


def series(entries: Iterable[Entry], today: date, currency: str, cost: float) -> Series:
    """From the first entry to today, or to the newest entry when the clock has gone back; empty without entries.

    The last SHOWN_DAYS of them: what was spent before is in the first value.
    """
    whole = list(entries)
    if not whole:
        return Series((), (), (), ())
    found = [entry.at.date() for entry in whole]
    last, since = max(today, *found), monitored_since(whole)
    first = max(min(found), last - timedelta(days=SHOWN_DAYS - 1))
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    tuning, encoder = dict.fromkeys(days, 0.0), dict.fromkeys(days, 0.0)
    for entry in whole:
        if entry.kind is not Kind.SPEND:
            continue
        fact, day = Spend.of(entry), entry.at.date()
        if fact.what == "encoder":
            encoder[day] = encoder.get(day, 0.0) + fact.seconds
        elif fact.currency == currency and since and day >= since:
            tuning[max(day, first)] += fact.amount
    return Series(
        tuple(days),
        tuple(accumulate(tuning.values())),
        tuple(cost * (max((day - since).days, 0) // WEEK) if since else 0.0 for day in days),
        tuple(encoder[day] for day in days),
    )


@dataclass(frozen=True, slots=True)
class Books:
    """All that the ledger adds up to on one day."""

    month: Month
    cost: FinetuneCost
    avoided: Avoided
    series: Series


def balance(entries: Sequence[Entry], today: date, budget: Budget, of: date | None = None) -> Books:
    """The books of `today`, from all entries; the month is that of the day `of`, if it is another one."""
    currency = budget.prices.currency
    cost = finetune_cost(entries, currency, budget.expected_cost)
    return Books(
        month(entries, of or today),
        cost,
        avoided(entries, today, currency, cost.amount),
        series(entries, today, currency, cost.amount),
    )


def bounds(day: date) -> tuple[datetime, datetime]:
    """The first moment of the month that holds `day`, and that of the next."""
    first = datetime(day.year, day.month, 1, tzinfo=UTC)
    return first, (first + timedelta(days=31)).replace(day=1)


_DEVICES: tuple[What, ...] = ("encoder", "cpu", "gpu")


def _spends(entries: Iterable[Entry]) -> list[Spend]:
    return [Spend.of(entry) for entry in entries if entry.kind is Kind.SPEND]


def _tuning(entries: Iterable[Entry], currency: str) -> list[Spend]:
    return [fact for fact in _spends(entries) if fact.what != "encoder" and fact.currency == currency]


def _done(entries: Sequence[Entry]) -> list[Finished]:
    """Fine-tunes that came to their end, each once."""
    facts = [Finished.of(entry) for entry in entries if entry.kind is Kind.FINISHED]
    return list({fact.request: fact for fact in facts if fact.outcome == "done"}.values())


def _currencies(spends: Iterable[Spend]) -> list[str]:
    return sorted({spend.currency for spend in spends})
