from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.behavior.dataset.split import group_of, side

TABLE = [
    # by, user, document, question, and another row of the same group
    ("user", ("u", "d", "q"), ("u", "d2", "q2")),
    ("user", (None, "d", "q"), ("", "d", "q2")),
    ("user", (None, None, "q"), (None, None, "q")),
    ("document", ("u", "d", "q"), ("u2", "d", "q2")),
    ("document", ("u", None, "q"), ("u", "", "q2")),
]


@pytest.mark.parametrize(("by", "one", "same"), TABLE)
def test_group_is_what_the_setting_says(by, one, same):
    assert group_of(by, *one, "key") == group_of(by, *same, "key")
    assert group_of(by, *one, "key") != group_of(by, *one, "another key")


@pytest.mark.parametrize("by", ["user", "document"])
def test_names_of_different_kinds_are_different_groups(by):
    names = [("x", None, "q"), (None, "x", "q"), (None, None, "x"), ("y", None, "q")]
    assert len({group_of(by, *name, "key") for name in names}) == len(names)


def test_group_does_not_tell_who_it_is():
    assert "somebody" not in group_of("user", "somebody", None, "q", "key")
    assert len(group_of("user", "somebody", None, "q", "key")) == 32


def test_sides_have_their_shares():
    sides = [side(group_of("user", f"user-{n}", None, "", "key"), "key", 0.1, 0.2) for n in range(5_000)]
    assert {name: round(sides.count(name) / 5_000, 1) for name in ("train", "validation", "test")} == {
        "train": 0.7,
        "validation": 0.1,
        "test": 0.2,
    }


rows = st.lists(st.tuples(st.none() | st.text(max_size=3), st.none() | st.text(max_size=3), st.text(max_size=3)))


@given(rows, st.sampled_from(["user", "document"]), st.floats(0, 0.4), st.floats(0, 0.4))
def test_no_group_is_on_two_sides(found, by, validation, test):
    sides: dict[str, set[str]] = {}
    for user, document, question in found:
        group = group_of(by, user, document, question, "key")
        sides.setdefault(user if by == "user" and user else group, set()).add(side(group, "key", validation, test))
    assert all(len(one) == 1 for one in sides.values())


@given(st.text(max_size=8), st.floats(0, 0.5), st.floats(0, 0.4), st.floats(0, 0.4))
def test_what_was_held_out_stays_held_out_when_more_is_validated(user, test, first, second):
    group = group_of("user", user, None, "", "key")
    assert (side(group, "key", first, test) == "test") == (side(group, "key", second, test) == "test")


def test_shares_at_their_ends():
    group = group_of("user", "u", None, "", "key")
    assert side(group, "key", 0, 0) == "train"
    assert side(group, "key", 1, 0) == "validation"
    assert side(group, "key", 0, 1) == "test"
