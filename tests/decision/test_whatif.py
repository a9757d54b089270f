"""Other policies on the same history: schedules counted by hand, tests against the replay, delays and money."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from assets.decision import whatif
from assets.decision.config import ShiftConfig
from assets.decision.counts import EMPTY, DailyCounts
from assets.decision.policy import Action, Rules
from assets.decision.replay import replay
from assets.decision.whatif import Alternatives, Comparison, Outcome, compare
from tests.decision.streams import CONFIG, FIRST, counts

CHANGE = 28 + 20
RULES = Rules(min_examples=60, finetune_hours=2.0, per_gpu_hour=3.0)
SHIFTED = counts(11, shift={"fail": 1.2}, change=CHANGE)  # 88 days, 60 of them monitored
TRIED = Alternatives(alphas=(0.0001, 0.2), cool_downs=(60,), min_examples=(10, 10_000), every=(100,))


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


@pytest.fixture(scope="module")
def found() -> Comparison:
    return compare(SHIFTED, CONFIG, RULES, TRIED)


def named(comparison: Comparison, start: str) -> Outcome:
    (one,) = [outcome for outcome in comparison.outcomes if outcome.policy.startswith(start)]
    return one


def steady(failures: float, days: int = 20) -> DailyCounts:
    """Ten labelled rows a day, all failures edited."""
    n = {event: np.full((days, 1), 10.0) for event in ("fail", "edit", "labelled")}
    s = {"fail": np.full((days, 1), failures), "edit": np.zeros((days, 1)), "labelled": n["labelled"]}
    return DailyCounts(FIRST, ("a",), n, s)


def test_compare_begins_with_the_settings_as_they_are(found):
    days = list(replay(SHIFTED, CONFIG, RULES))
    first = found.outcomes[0]
    assert first.policy == "as set (alpha 0.05)"
    assert first.finetunes == tuple(one.day for one in days if one.verdict.action is Action.FINETUNE)
    assert first.triggers == (next(one.fired for one in days if one.fired),)
    assert (found.changed, found.given) == (next(one.changed for one in days if one.fired), False)


def test_compare_names_every_policy_once(found):
    assert [one.policy for one in found.outcomes] == [
        "as set (alpha 0.05)",
        "alpha 0.0001",
        "alpha 0.2",
        "cool-down 60 days",
        "at least 10 examples",
        "at least 10,000 examples",
        "weekly",
        "every 100 examples",
    ]


def test_compare_leaves_out_what_the_settings_say_already():
    same = Alternatives((0.05,), (7,), (60,), ())
    assert [one.policy for one in compare(SHIFTED, CONFIG, RULES, same).outcomes] == ["as set (alpha 0.05)", "weekly"]


def test_compare_a_smaller_alpha_asks_later(found):
    strict, usual, lax = (named(found, name).triggers[0] for name in ("alpha 0.0001", "as set", "alpha 0.2"))
    assert strict > usual >= lax


def test_compare_an_alpha_is_what_the_setting_would_be(found):
    other = compare(SHIFTED, replace(CONFIG, alpha=0.0001), RULES, TRIED).outcomes[0]
    assert replace(other, policy="") == replace(named(found, "alpha 0.0001"), policy="")


def test_compare_examples_delay_the_finetune_and_not_the_trigger(found):
    few, usual, many = (named(found, name) for name in ("at least 10 ", "as set", "at least 10,000"))
    assert few.triggers == usual.triggers == many.triggers
    assert few.finetunes[0] < usual.finetunes[0]
    assert (many.finetunes, many.money, many.finetune_delay) == ((), 0.0, None)


def test_weekly_finetunes_at_the_end_of_each_monitored_week(found):
    weekly = named(found, "weekly")
    assert weekly.finetunes == weekly.triggers == tuple(day(28 + 6 + 7 * week) for week in range(8))
    assert (weekly.gpu_hours, weekly.money, weekly.avoided) == (16.0, 48.0, 0.0)


@pytest.mark.parametrize(
    ("failures", "step", "expected"),
    [
        (5, 10, [8, 10, 12, 14, 16, 18]),  # from day 7 on: 5, 10, 15, ...
        (5, 5, list(range(7, 20))),
        (5, 7, [8, 9, 11, 12, 13, 15, 16, 18, 19]),  # 10, 15, 25, 30, 35, 45, 50, 60, 65 are the first beyond a 7th
        (5, 1000, []),
        (0, 1, []),
        (10, 3, list(range(7, 20))),  # more than one step a day is one fine-tune
    ],
)
def test_every_counts_examples_from_the_end_of_the_reference(failures, step, expected):
    tried = Alternatives((), (), (), (step,))
    one = compare(steady(failures), ShiftConfig(reference_days=7), RULES, tried).outcomes[-1]
    assert (one.policy, one.finetunes) == (f"every {step:,} examples", tuple(map(day, expected)))


def test_compare_counts_money_hours_and_what_was_avoided(found):
    for one in found.outcomes:
        assert one.gpu_hours == 2.0 * len(one.finetunes)
        assert one.money == 6.0 * len(one.finetunes)
        assert one.avoided == pytest.approx(48.0 - one.money)


def test_compare_delays_count_from_the_day_that_a_person_names():
    told = compare(SHIFTED, CONFIG, RULES, TRIED, changed=day(CHANGE))
    assert (told.changed, told.given) == (day(CHANGE), True)
    assert compare(SHIFTED, CONFIG, RULES, TRIED, changed=day(30)).outcomes[0].delay == first_trigger(told, 30)
    first, weekly = told.outcomes[0], named(told, "weekly")
    assert first.delay == (first.triggers[0] - day(CHANGE)).days >= 0
    assert first.finetune_delay == (first.finetunes[0] - day(CHANGE)).days
    assert first.finetunes[0] >= first.triggers[0]
    assert weekly.early == 2  # days 34 and 41; the next is the change's own day
    assert weekly.delay == 0
    assert first.early == 0


def first_trigger(comparison: Comparison, number: int) -> int:
    return (comparison.outcomes[0].triggers[0] - day(number)).days


def test_compare_without_a_change_knows_no_delay():
    calm = compare(counts(12), CONFIG, RULES, TRIED)
    assert (calm.changed, calm.given) == (None, False)
    assert {(one.delay, one.finetune_delay, one.early) for one in calm.outcomes} == {(None, None, 0)}
    assert calm.outcomes[0].finetunes == ()
    assert "No change of behavior is known" in whatif.text(calm)


def test_compare_waits_for_nobodys_approval(found):
    assert compare(SHIFTED, CONFIG, replace(RULES, require_approval=True), TRIED) == found


def test_compare_keeps_the_budget(found):
    poor = compare(SHIFTED, CONFIG, replace(RULES, per_month=5.0), TRIED)
    assert {one.finetunes for one in poor.outcomes[:6]} == {()}
    assert poor.outcomes[0].triggers == found.outcomes[0].triggers


@pytest.mark.parametrize("days", [0, 1, 27, 28, 29])
def test_compare_of_a_short_history_has_every_policy_and_no_finetune(days):
    short = SHIFTED.between(FIRST, day(days - 1)) if days else EMPTY
    comparison = compare(short, CONFIG, RULES, TRIED)
    assert len(comparison.outcomes) == 8
    assert {one.finetunes for one in comparison.outcomes} == {()}
    assert not days or whatif.figure(comparison).startswith(b"\x89PNG")
    assert len(whatif.text(comparison).splitlines()) == 10


def test_rows_are_json_and_say_whose_word_the_change_is(found):
    rows = list(found.rows())
    assert json.loads(json.dumps(rows)) == rows
    assert [row["policy"] for row in rows] == [one.policy for one in found.outcomes]
    assert (rows[0]["changed"], rows[0]["changed_is"]) == (str(found.changed), "estimated")
    assert (rows[0]["money"], rows[0]["currency"]) == (6.0, "EUR")
    assert rows[0]["finetunes"] == [str(when) for when in found.outcomes[0].finetunes]


def test_text_is_a_table_with_a_line_a_policy(found):
    lines = whatif.text(found).splitlines()
    assert lines[0].split()[:2] == ["policy", "triggers"]
    assert lines[7].split() == ["weekly", "8", "8", *_timing(named(found, "weekly")), "16", "48.00", "0.00"]
    assert lines[-1].startswith(f"The change: {found.changed}, as the first policy estimates it")


def _timing(one: Outcome) -> list[str]:
    return [str(one.early), str(one.delay), str(one.finetune_delay)]


def test_columns_are_aligned_and_the_last_is_not_padded():
    assert whatif.columns([("a", "bbb", "c"), ("aaaa", "b", "long")]) == "a     bbb  c\naaaa  b    long"
