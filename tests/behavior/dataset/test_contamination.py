from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.behavior.dataset.contamination import Held, HeldOut, ngrams
from assets.behavior.evaluation.items import Item, Kind
from assets.behavior.evaluation.leaks import leaks

ASKED = "how many days of leave may I carry over into the next year"
ANSWER = "Up to five unused days carry over into the next year, and they lapse on 31 March at noon."
OTHER = "A van is booked on the board in the hall, and its key hangs beside the door of the workshop."

TABLE = [
    # question, answer, group, interactions, contaminated
    (ASKED, ANSWER, "g2", ("i2",), True),
    (ASKED.upper() + "?", ANSWER.lower(), "g2", ("i2",), True),
    ("Hello! " + ASKED + " Thanks", "Dear all. " + ANSWER, "g2", ("i2",), True),  # the item stands in the row
    (ASKED, "Up to five unused days carry over", "g2", ("i2",), True),  # the row stands in the item
    (ASKED, OTHER, "g2", ("i2",), False),
    ("which van may I take to the customer in the morning", ANSWER + " " + OTHER, "g2", ("i2",), False),
    ("which van", "no", "g1", ("i2",), True),
    ("which van", "no", "g2", ("i1", "i2"), True),
    ("which van", "no", "", (), False),
]


@pytest.mark.parametrize(("question", "answer", "group", "interactions", "contaminated"), TABLE)
def test_row_is_contaminated_by_whose_it_is_and_what_it_says(question, answer, group, interactions, contaminated):
    held = HeldOut([Held(ASKED, (ANSWER,), "g1", ("i1",))], 5)
    assert held.holds(question, answer, 0.7, group=group, interactions=interactions) is contaminated


def test_nothing_held_out_contaminates_nothing():
    assert not HeldOut([], 5).holds(ASKED, ANSWER, 0.7, group="", interactions=("i",))


def test_any_right_answer_counts():
    held = HeldOut([Held("who", (OTHER, ANSWER))], 5)
    assert held.holds("who", OTHER, 0.7)
    assert held.holds("who", ANSWER, 0.7)


def test_ngrams_do_not_cross_from_question_to_answer():
    assert ngrams("one two", "three four", 3) == {"one two", "three four"}
    assert ngrams("one two three four", "", 3) == {"one two three", "two three four"}
    assert ngrams("...", "The", 3) == set()


words = st.lists(
    st.sampled_from(["leave", "van", "key", "door", "board", "hall", "noon", "march", "five", "six"]),
    min_size=1,
    max_size=14,
)
texts = words.map(" ".join)


@given(texts, texts, texts, texts)
def test_whatever_evaluation_would_call_a_leak_is_contaminated(question, answer, other, said):
    item = Item("1", Kind.BEHAVIOR, question, references=(answer,))
    row = {"messages": [{"role": "user", "content": other}, {"role": "assistant", "content": said}]}
    if leaks([item], [row]):
        assert HeldOut([Held(question, (answer,))], 5).holds(other, said, 0.7)
