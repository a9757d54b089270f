"""What the ledger adds up to."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.decision.ledger import Decided, Entry, Finished, Request
from assets.decision.spending import costs
from assets.decision.spending.costs import Avoided, FinetuneCost, Prices

START = datetime(2026, 10, 30, 23, 59, tzinfo=UTC)
PRICES = Prices("EUR", per_gpu_hour=4.0, per_cpu_hour=0.5)


def spend(what, hours: float, day: int, run: str = "", prices: Prices = PRICES) -> Entry:
    fact = prices.spend(what, hours * 3_600, by="test", run=run or f"{what}{hours}{day}")
    return fact.entry(at=START + timedelta(days=day), variant="main")


def verdict(day: int) -> Entry:
    return Decided(evidence_key=str(day), action="wait", sentence="s").entry(at=START + timedelta(days=day))


def finetune(day: int, run: str, outcome="done", hours: float = 0.0) -> list[Entry]:
    at = START + timedelta(days=day)
    request = Request(cause=f"verdict:{run}", run_key=run, by="test", day=str(at.date())).entry(at=at)
    end = Finished(request=request.id, run=run, outcome=outcome).entry(at=at)
    return [request, end, *([spend("gpu", hours, day, run)] if hours else [])]


@pytest.mark.parametrize(
    ("what", "seconds", "amount"), [("gpu", 5_400, 6.0), ("cpu", 7_200, 1.0), ("encoder", 3_600, 0.5), ("gpu", 0, 0.0)]
)
def test_prices_say_what_seconds_cost(what, seconds, amount):
    fact = PRICES.spend(what, seconds, by="b", run="r")
    assert (fact.amount, fact.currency, fact.seconds) == (pytest.approx(amount), "EUR", seconds)


def test_month_holds_its_own_days_and_no_other():
    entries = [
        spend("gpu", 1, 1),  # the last minute of October
        spend("gpu", 2, 2),  # the last minute of the first day of November
        spend("encoder", 3, 2),
        spend("cpu", 4, 31),
        spend("gpu", 5, 32),  # December
        spend("gpu", 6, 5, prices=Prices("USD", per_gpu_hour=1)),
        *finetune(6, "r1"),
        *finetune(7, "r2", "failed"),
        verdict(8),
    ]
    november = costs.month(entries, date(2026, 11, 17))
    assert november.first == date(2026, 11, 1)
    assert november.hours == pytest.approx({"encoder": 3, "cpu": 4, "gpu": 8})
    assert november.gpu_hours == pytest.approx(8)
    assert november.amounts == pytest.approx({"EUR": 2 * 4 + 3 * 0.5 + 4 * 0.5, "USD": 6})
    assert november.amount("CHF") == 0
    assert (november.requested, november.done) == (2, 1)
    assert costs.month(entries, date(2026, 10, 31)).amount("EUR") == pytest.approx(4)


def test_month_without_entries_is_zero():
    empty = costs.month([], date(2026, 11, 17))
    assert (empty.hours, empty.amounts, empty.requested, empty.done) == ({"encoder": 0, "cpu": 0, "gpu": 0}, {}, 0, 0)


@pytest.mark.parametrize("day", [date(2026, 1, 31), date(2026, 12, 5), date(2028, 2, 29)])
def test_bounds_are_the_ends_of_the_month(day):
    since, until = costs.bounds(day)
    assert since.date() == day.replace(day=1)
    assert until.day == 1
    assert (until - timedelta(microseconds=1)).month == day.month


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], FinetuneCost(7.0, 0)),
        (finetune(1, "r1"), FinetuneCost(7.0, 0)),  # it used no GPU: nothing to learn from
        (finetune(1, "r1", "failed", hours=3), FinetuneCost(7.0, 0)),
        ([spend("gpu", 9, 1)], FinetuneCost(7.0, 0)),  # of no fine-tune
        (finetune(1, "r1", hours=1) + finetune(9, "r2", hours=2) + finetune(12, "r3"), FinetuneCost(6.0, 2)),
        ([*finetune(1, "r1", hours=1), spend("cpu", 4, 1, "r1")], FinetuneCost(6.0, 1)),  # all that its run used
    ],
)
def test_finetune_costs_what_finished_ones_did(entries, expected):
    found = costs.finetune_cost(entries, "EUR", expected=7.0)
    assert found == FinetuneCost(pytest.approx(expected.amount), expected.measured)


@pytest.mark.parametrize(
    ("entries", "today", "expected"),
    [
        ([], 20, Avoided(None, 0, 0.0, 0.0, 0)),
        ([spend("gpu", 1, 0)], 20, Avoided(None, 0, 0.0, 0.0, 0)),  # nothing was monitored
        ([verdict(3)], 9, Avoided(date(2026, 11, 2), 0, 0.0, 0.0, 0)),
        ([verdict(3)], 10, Avoided(date(2026, 11, 2), 1, 5.0, 0.0, 0)),
        ([verdict(9), verdict(3)], 31, Avoided(date(2026, 11, 2), 4, 20.0, 0.0, 0)),
        ([verdict(3), spend("encoder", 99, 5)], 31, Avoided(date(2026, 11, 2), 4, 20.0, 0.0, 0)),
        ([verdict(3), *finetune(5, "r", hours=2)], 31, Avoided(date(2026, 11, 2), 4, 20.0, 8.0, 1)),
        ([verdict(3), *finetune(2, "r", hours=2)], 31, Avoided(date(2026, 11, 2), 4, 20.0, 0.0, 0)),  # before it
        ([verdict(3)], 1, Avoided(date(2026, 11, 2), 0, 0.0, 0.0, 0)),  # the clock went back
    ],
)
def test_avoided_is_the_schedule_less_what_was_spent(entries, today, expected):
    found = costs.avoided(entries, (START + timedelta(days=today)).date(), "EUR", cost=5.0)
    assert found == expected
    assert found.amount == pytest.approx(expected.schedule - expected.spent)
    assert found.finetunes == expected.weeks - expected.done


def test_avoided_is_negative_where_more_was_spent():
    entries = [verdict(0), *finetune(1, "r1", hours=3), *finetune(2, "r2", hours=3)]
    found = costs.avoided(entries, START.date() + timedelta(days=7), "EUR", cost=12.0)
    assert (found.amount, found.finetunes) == (pytest.approx(-12), -1)


ENTRIES = st.lists(
    st.one_of(
        st.builds(spend, st.sampled_from(["encoder", "cpu", "gpu"]), st.integers(1, 9), st.integers(0, 60)),
        st.builds(verdict, st.integers(0, 60)),
    ),
    max_size=12,
)


@given(entries=ENTRIES, today=st.integers(0, 90))
def test_series_end_at_the_totals(entries, today):
    day = (START + timedelta(days=today)).date()
    found = costs.series(entries, day, "EUR", cost=5.0)
    if not entries:
        assert found.days == ()
        return
    last = found.days[-1]
    whole = costs.avoided(entries, last, "EUR", cost=5.0)
    assert (found.spent[-1], found.schedule[-1]) == (pytest.approx(whole.spent), pytest.approx(whole.schedule))
    assert len(found.days) == len(found.spent) == len(found.schedule) == len(found.encoder_seconds)
    assert last >= day
    assert list(found.days) == [found.days[0] + timedelta(days=n) for n in range(len(found.days))]
    assert sum(found.encoder_seconds) == pytest.approx(
        sum(e.data["seconds"] for e in entries if e.data.get("what") == "encoder")
    )


def test_series_of_many_years_show_the_last_and_begin_with_what_was_spent():
    entries = [verdict(-5_000), spend("gpu", 1, -4_000), spend("encoder", 1, -4_000), spend("gpu", 2, 0)]
    found = costs.series(entries, START.date(), "EUR", cost=5.0)
    assert (len(found.days), found.days[-1]) == (costs.SHOWN_DAYS, START.date())
    assert (found.spent[0], found.spent[-1]) == (pytest.approx(4), pytest.approx(12))
    assert sum(found.encoder_seconds) == 0
