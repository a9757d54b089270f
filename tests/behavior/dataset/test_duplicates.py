from __future__ import annotations

import pytest

from assets.behavior.dataset.duplicates import Seen, folded, shingles
from assets.behavior.dataset.rows import Reason

LONG = "up to five unused days carry over into the next year and they lapse on the last day of march at noon"

TABLE = [
    # earlier rows, a row, why it is left out
    ([], ("q", "a"), None),
    ([("q", "a")], ("Q ", " A"), Reason.DUPLICATE),
    ([("q", "a")], ("ｑ", "a"), Reason.DUPLICATE),  # a full-width letter is the same letter
    ([("q", "a")], ("q", "something else"), Reason.SAME_PROMPT),
    ([("may I", LONG)], ("may we", LONG), Reason.NEAR_DUPLICATE),
    ([("may I", LONG)], ("may I not", "no"), None),
    ([("may I", LONG)], ("when", " ".join(reversed(LONG.split()))), None),  # the same words say something else
]


@pytest.mark.parametrize(("earlier", "row", "reason"), TABLE)
def test_rows_that_say_the_same_stay_once(earlier, row, reason):
    seen = Seen(0.8, 1)
    for number, one in enumerate(earlier):
        assert seen.refused(str(number), *one) is None
    assert seen.refused("row", *row) is reason


def test_a_question_has_as_many_answers_as_are_asked_for():
    seen = Seen(0.8, 2)
    answers = ("yes of course", "never on sundays", "ask again")
    found = [seen.refused(str(number), "may I", answer) for number, answer in enumerate(answers)]
    assert found == [None, None, Reason.SAME_PROMPT]


def test_a_row_that_was_left_out_counts_for_nothing():
    seen = Seen(0.8, 1)
    assert seen.refused("1", "may I", LONG) is None
    assert seen.refused("2", "may we", LONG) is Reason.NEAR_DUPLICATE
    assert seen.refused("3", "may we", "no, that is another thing") is None  # "may we" was never kept


def test_what_a_row_is_like_is_named():
    seen = Seen(0.8, 1)
    seen.refused("first", "may I", LONG)
    seen.refused("other", "what else", "nothing at all of this kind")
    assert seen.like("may we", LONG) == ["first"]


def test_threshold_decides_what_is_near():
    changed = LONG.replace("five", "seven").replace("noon", "night")
    found = []
    for threshold in (0.5, 0.95):
        seen = Seen(threshold, 1)
        seen.refused("1", "may I", LONG)
        found.append(seen.refused("2", "may I too", changed))
    assert found == [Reason.NEAR_DUPLICATE, None]


def test_texts_are_compared_without_form():
    assert folded("A\n  b\tC") == "a b c"
    assert shingles("a b c") == ["a b", "b c"]
    assert shingles("a") == ["a"]
    assert shingles("") == [""]
