"""Intervals of paired differences: what they cover, what they do not depend on, what few items can prove."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.behavior.evaluation.paired import NotPaired, change, smallest


def named(count: int) -> list[str]:
    return [f"g{number:04d}" for number in range(count)]


def test_change_is_the_candidate_minus_the_released():
    found = change([0, 0, 1, 1], [1, 1, 1, 1], named(4))
    assert (found.mean, found.before, found.after) == (0.5, 0.5, 1.0)
    assert (found.items, found.groups) == (4, 4)
    assert found.low <= found.lower <= found.mean <= found.upper <= found.high


def test_same_seed_gives_the_same_bits_and_another_seed_others():
    draw = np.random.default_rng(3)
    before, after = draw.random(300), draw.random(300)
    first = change(before, after, named(300), seed=1)
    assert change(before, after, named(300), seed=1) == first
    assert change(before, after, named(300), seed=2) != first


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.0, 0.7, 1.0])),
                min_size=1, max_size=40), st.randoms())  # fmt: skip
def test_order_of_items_says_nothing(rows, shuffle):
    def measured(of):
        groups, before, after = zip(*of, strict=True)
        found = change(before, after, [str(group) for group in groups], resamples=200)
        return found.lower, found.upper, found.low, found.high, found.groups

    mixed = list(rows)
    shuffle.shuffle(mixed)
    assert measured(mixed) == pytest.approx(measured(rows), abs=1e-12)


def test_items_of_one_group_count_as_one():
    draw = np.random.default_rng(5)
    losses = (draw.random(60) < 0.2).astype(float)
    alone = change(np.zeros(60), -losses, named(60))
    copied = change(np.zeros(600), -np.repeat(losses, 10), list(np.repeat(named(60), 10)))
    free = change(np.zeros(600), -np.repeat(losses, 10), named(600))
    assert copied.lower == pytest.approx(alone.lower, abs=1e-12)
    assert free.lower > alone.lower + 0.03


@pytest.mark.parametrize("seed", range(3))
def test_one_sided_bound_misses_about_one_time_in_twenty(seed):
    """600 items, of which 3% get worse and 1% better: as rare as a gate's losses are."""
    draw, missed, rounds = np.random.default_rng(seed), 0, 150
    for number in range(rounds):
        at = draw.random(600)
        differences = np.where(at < 0.03, -1.0, np.where(at < 0.04, 1.0, 0.0))
        missed += change(np.zeros(600), differences, named(600), resamples=600, seed=number).lower > -0.02
    assert 0.005 < missed / rounds < 0.14  # five in a hundred, give or take three standard deviations


def test_few_equal_items_prove_nothing():
    few, many = (change(np.ones(n), np.ones(n), named(n)) for n in (20, 600))
    assert few.mean == many.mean == 0
    assert few.lower < -0.05
    assert -0.01 < many.lower < 0


@pytest.mark.parametrize("margin", [0.02, 0.05])
def test_smallest_number_of_items_is_what_it_takes(margin):
    needed = smallest(margin)
    enough, short = (change(np.ones(n), np.ones(n), named(n)).lower for n in (needed, int(needed * 0.9)))
    assert short < -margin < enough


def test_unbounded_measure_that_does_not_change_has_no_width():
    assert change([3.0] * 5, [4.0] * 5, named(5), span=0).low == 1.0
    assert change([3.0], [4.0], named(1), span=0).high == 1.0


@pytest.mark.parametrize(
    ("before", "after", "groups"),
    [([], [], []), ([1.0], [1.0, 1.0], ["a"]), ([1.0], [1.0], []), ([float("nan")], [1.0], ["a"])],
)
def test_what_is_not_paired_is_refused(before, after, groups):
    with pytest.raises(NotPaired):
        change(before, after, groups)
