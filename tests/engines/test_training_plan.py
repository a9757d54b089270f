"""Which rows make which update: everything once an epoch, in an order that the seed alone decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.behavior.adapter.config import AdapterConfig
from orchestration.engines.training_plan import parts, planned_updates, updates

LENGTHS = st.lists(st.integers(1, 400), min_size=1, max_size=150)


@given(LENGTHS, st.integers(1, 16), st.integers(1, 3), st.integers(0, 9))
def test_every_epoch_has_every_row_once(lengths, batch_rows, epochs, seed):
    plan = updates(lengths, batch_rows=batch_rows, epochs=epochs, seed=seed)
    each = len(plan) // epochs
    for epoch in range(epochs):
        rows = [row for one in plan[epoch * each : (epoch + 1) * each] for row in one]
        assert sorted(rows) == list(range(len(lengths)))
    assert all(0 < len(one) <= batch_rows for one in plan)


def test_seed_decides_the_order_and_epochs_differ():
    lengths = [10 + number % 7 for number in range(64)]
    plan = updates(lengths, batch_rows=8, epochs=2, seed=1)
    assert plan == updates(lengths, batch_rows=8, epochs=2, seed=1)
    assert plan != updates(lengths, batch_rows=8, epochs=2, seed=2)
    assert plan[:8] != plan[8:]


def test_updates_pad_little():
    lengths = [10 * (1 + number * 37 % 40) for number in range(400)]
    plan = updates(lengths, batch_rows=8, epochs=1, seed=0)
    padded = sum(len(one) * max(lengths[row] for row in one) for one in plan)
    assert padded < 1.25 * sum(lengths)


@given(st.lists(st.integers(0, 99), min_size=1, max_size=16, unique=True), st.integers(1, 16))
def test_parts_are_the_update(rows, accumulation):
    lengths = [1 + number % 9 for number in range(100)]
    found = parts(rows, lengths, accumulation)
    assert len(found) == accumulation
    assert sorted(row for part in found for row in part) == sorted(rows)
    assert max(map(len, found)) - min(map(len, found)) <= 1


@pytest.mark.parametrize(("rows", "wanted"), [([3], [[3], []]), ([3, 4], [[3], [4]])])
def test_parts_may_be_empty(rows, wanted):
    assert parts(rows, [5] * 9, 2) == wanted


@pytest.mark.parametrize(
    ("rows", "said", "count"),
    [
        (80, {}, 100),
        (265, {}, 102),
        (8, {"min_steps": 5, "epochs": 1}, 5),
        (80, {"min_steps": 0}, 30),
        (80, {"max_steps": 36}, 36),
        (81, {"min_steps": 12, "epochs": 1}, 22),
    ],
)
def test_few_rows_are_learned_for_more_epochs(rows, said, count):
    plan = planned_updates([7] * rows, AdapterConfig(**said))
    assert len(plan) == count
    assert {row for update in plan for row in update} == set(range(rows))
