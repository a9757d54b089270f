"""The gate's truth table, row by row, and every bound at its edge."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from assets.behavior.evaluation.gate import Action, Compared, Margins, judge
from assets.behavior.evaluation.paired import Interval


def interval(mean: float, worst: float, best: float | None = None, items: int = 600) -> Interval:
    best = 2 * mean - worst if best is None else best
    return Interval(items, items, mean, lower=worst, upper=best, low=worst - 0.001, high=best + 0.001)


GOOD = Compared(
    manner=interval(0.5, 0.4),
    grounded=interval(0.0, -0.01),
    right_refusals=interval(0.0, -0.02),
    false_refusals=interval(0.0, -0.02),
    earlier={"spring": interval(0.0, -0.02)},
)
FAILED = {
    "clean": {"leaks": ("i1: group g1 was trained on",)},
    "told": {"right_refusals": None},
    "manner": {"manner": interval(0.1, -0.01)},
    "facts": {"grounded": interval(-0.01, -0.03)},
    "earlier": {"earlier": {"spring": interval(-0.04, -0.08)}},
    "right refusals": {"right_refusals": interval(-0.04, -0.08)},
    "false refusals": {"false_refusals": interval(0.04, 0.0, 0.08)},
}
SAYS = {
    "clean": "were trained on",
    "told": "not enough items",
    "manner": "not shown to be better",
    "facts": "less right",
    "earlier": "forgotten",
    "right refusals": "answer what the passages do not say",
    "false refusals": "refuse what the passages say",
}


def test_better_candidate_is_promoted():
    verdict = judge(GOOD)
    assert verdict.action is Action.PROMOTE
    assert verdict.promoted
    assert all(gate.passed for gate in verdict.reasons)
    assert "+50.0 points better" in verdict.sentence


@pytest.mark.parametrize("holds", list(product([True, False], repeat=len(FAILED))))
def test_every_row_of_the_truth_table(holds):
    broken = [name for name, passed in zip(FAILED, holds, strict=True) if not passed]
    compared = GOOD
    for name in sorted(broken, key=lambda name: name == "told"):  # what was not measured has no number
        compared = replace(compared, **FAILED[name])
    verdict = judge(compared)
    assert verdict.promoted is (not broken)
    assert [gate.name for gate in verdict.reasons] == [
        "clean", "told", "manner", "facts", "earlier: spring", "right refusals", "false refusals",
    ]  # fmt: skip
    if broken:
        assert SAYS[broken[0]] in verdict.sentence  # the first row that fits decides
        failed = {gate.name.partition(":")[0] for gate in verdict.reasons if not gate.passed}
        assert failed >= set(broken)


@pytest.mark.parametrize("kind", ["manner", "grounded", "right_refusals", "false_refusals"])
def test_what_was_not_measured_is_no_pass(kind):
    assert not judge(replace(GOOD, **{kind: None})).promoted


@pytest.mark.parametrize(
    ("field", "value", "promoted"),
    [
        ("manner", interval(0.5, 0.0011), True),  # its two-sided end is 0.0001
        ("manner", interval(0.5, 0.001), False),  # exactly 0 is no gain
        ("grounded", interval(0.0, -0.0199), True),
        ("grounded", interval(0.0, -0.02), False),
        ("earlier", {"spring": interval(0.0, -0.0499)}, True),
        ("earlier", {"spring": interval(0.0, -0.05)}, False),
        ("earlier", {"spring": interval(0.0, 0.0), "autumn": interval(0.0, -0.05)}, False),
        ("earlier", {}, True),  # the first fine-tune has none
        ("right_refusals", interval(0.0, -0.05), False),
        ("false_refusals", interval(0.0, -0.1, 0.05), False),
        ("false_refusals", interval(-0.5, -0.9, -0.1), True),
    ],
)
def test_bounds_are_strict(field, value, promoted):
    assert judge(replace(GOOD, **{field: value})).promoted is promoted


def test_margins_are_the_deployments_own():
    lax = replace(GOOD, grounded=interval(-0.02, -0.08))
    assert not judge(lax).promoted
    assert judge(lax, Margins(facts=0.1)).promoted


def test_every_gate_carries_its_number():
    values = {gate.name: gate.value for gate in judge(GOOD).reasons}
    assert values == {
        "clean": 0.0,
        "told": 0.0,
        "manner": pytest.approx(0.399),
        "facts": -0.01,
        "earlier: spring": -0.02,
        "right refusals": -0.02,
        "false refusals": pytest.approx(0.02),
    }


def test_bound_that_no_candidate_could_pass_says_how_many_items_it_takes():
    [facts] = [g for g in judge(replace(GOOD, grounded=interval(0.0, -0.1, items=20))).reasons if g.name == "facts"]
    assert not facts.passed
    assert "20 groups; at least 100 can tell" in facts.measured
