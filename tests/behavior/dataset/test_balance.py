from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.behavior.dataset.balance import Part, drawn, leveled, quotas

A, B, C = Part("a", "format"), Part("b", "format"), Part("a", "accepted")


def balanced(counts, **given):
    rules = {"max_rows": 10_000, "accepted_per_correction": 1.0, "max_times_median": 5.0, "enough": 0} | given
    return quotas(counts, **rules)


TABLE = [
    ("nothing to do", {A: 10, B: 10, C: 5}, {}, {A: 10, B: 10, C: 5}),
    ("accepted answers do not drown corrections", {A: 10, C: 500}, {}, {A: 10, C: 10}),
    ("accepted answers alone", {C: 500}, {}, {C: 500}),
    ("no accepted answers", {A: 10, C: 500}, {"accepted_per_correction": 0.0}, {A: 10, C: 0}),
    ("a loud topic", {A: 1_000, B: 20, Part("c", "format"): 20}, {}, {A: 100, B: 20, Part("c", "format"): 20}),
    ("a loud topic of a small set", {A: 100, B: 9}, {"max_times_median": 1.0, "enough": 200}, {A: 100, B: 9}),
    (
        "a loud event",
        {Part("a", e): n for e, n in (("format", 900), ("style", 10), ("task", 10))},
        {},
        {Part("a", "format"): 50, Part("a", "style"): 10, Part("a", "task"): 10},
    ),
    ("too many rows: the largest give first", {A: 100, B: 4, C: 50}, {"max_rows": 30}, {A: 13, B: 4, C: 13}),
    ("no rows", {}, {}, {}),
]


@pytest.mark.parametrize(("counts", "rules", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_quotas_follow_the_table(counts, rules, expected):
    assert balanced(counts, **rules) == expected


counts = st.dictionaries(st.text(max_size=2), st.integers(0, 50), max_size=8)


@given(counts, st.integers(-1, 200))
def test_leveling_takes_from_the_largest(found, total):
    result = leveled(found, total)
    assert result.keys() == found.keys()
    assert sum(result.values()) == min(max(total, 0), sum(found.values()))
    lowered = [result[key] for key in found if result[key] < found[key]]
    if lowered:
        assert max(lowered) - min(lowered) <= 1
        assert max(result.values()) <= min(lowered) + 1


@given(st.lists(st.text(max_size=3), unique=True, max_size=30), st.integers(0, 30), st.integers(0, 3), st.randoms())
def test_draw_does_not_depend_on_the_order(ids, most, seed, dice):
    shuffled = list(ids)
    dice.shuffle(shuffled)
    found = drawn(ids, most, seed)
    assert len(found) == min(most, len(ids))
    assert {ids[place] for place in found} == {shuffled[place] for place in drawn(shuffled, most, seed)}


def test_another_seed_draws_others():
    ids = [str(number) for number in range(100)]
    assert drawn(ids, 10, 0) != drawn(ids, 10, 1)
