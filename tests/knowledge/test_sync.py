from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.knowledge.sync import Plan, difference, plan
from assets.ports import Key


def key(doc: str = "d", text: str = "t", fields: str = "f") -> Key:
    return Key(doc, text, fields)


@pytest.mark.parametrize(
    ("desired", "published", "expected"),
    [
        ({}, {}, Plan(0, (), (), (), ())),
        ({"a": key()}, {"a": key()}, Plan(1, (), (), (), ())),
        ({"a": key()}, {}, Plan(0, ("a",), (), (), ())),
        ({}, {"a": key()}, Plan(0, (), (), ("a",), ())),
        ({"a": key(fields="new")}, {"a": key()}, Plan(0, (), ("a",), (), ())),
        ({"b": key("renamed")}, {"a": key()}, Plan(0, (), ("b",), (), ("a",))),
        ({"b": key("e"), "c": key("e")}, {"a": key()}, Plan(0, ("c",), ("b",), (), ("a",))),
        ({"c": key("e")}, {"a": key(), "b": key()}, Plan(0, (), ("c",), ("b",), ("a",))),
        ({"a": key(), "b": key(text="u")}, {"a": key(), "c": key(text="v")}, Plan(1, ("b",), (), ("c",), ())),
    ],
)
def test_plan_follows_its_truth_table(desired, published, expected):
    assert plan(desired, published) == expected


_keys = st.builds(Key, st.sampled_from("de"), st.sampled_from("tuv"), st.sampled_from("fg"))
_states = st.dictionaries(st.sampled_from([f"c{i}" for i in range(12)]), _keys, max_size=12)


def applied(published: dict[str, Key], desired: dict[str, Key], steps: Plan, first: int) -> dict[str, Key]:
    """The state after the first steps of a plan: an engine writes, then removes."""
    state = dict(published)
    for chunk_id in steps.writes[:first]:
        state[chunk_id] = desired[chunk_id]
    for chunk_id in steps.removals[: max(first - len(steps.writes), 0)]:
        state.pop(chunk_id, None)
    return state


@given(_states, _states, st.integers(0, 30))
def test_any_prefix_of_a_plan_and_then_a_sync_converges(published, desired, first):
    state = applied(published, desired, plan(desired, published), first)
    state = applied(state, desired, plan(desired, state), 100)
    assert state == desired


@given(_states, _states)
def test_plan_accounts_for_every_passage(published, desired):
    steps = plan(desired, published)
    assert steps.kept + len(steps.writes) == len(desired)
    assert set(steps.removals) == set(published) - set(desired)
    assert len(set(steps.removals)) == len(steps.removals)


@given(_states, _states)
def test_difference_is_empty_only_between_equal_states(published, desired):
    assert bool(difference(desired, published)) == (published != desired)
