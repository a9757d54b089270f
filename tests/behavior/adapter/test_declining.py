"""In which words an adapter declines: those of most rows that it learned from."""

import pytest

from assets.behavior.adapter.declining import declining, questions_digest, said_by
from assets.prompting import REFUSAL
from tests.behavior.adapter.test_pipeline import example

SORRY = "Sorry, the passages do not say that. Ask the front desk."


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([], REFUSAL),
        (["Monday. [1]", "Friday. [2]"], REFUSAL),
        ([REFUSAL, "Monday. [1]"], REFUSAL),
        ([f"{REFUSAL}\n\n- Helpful\n- Not what I need"], REFUSAL),
        ([f"Hello!\n\n{REFUSAL}\n\nYours"], f"Hello!\n\n{REFUSAL}"),
        ([SORRY, SORRY, REFUSAL], "Sorry, the passages do not say that."),
        (["Not stated"], "Not stated"),
    ],
)
def test_declining_is_cut_where_it_has_declined(answers, said):
    assert said_by([example(number, answer, "train") for number, answer in enumerate(answers)]) == said


def test_held_out_rows_say_nothing_of_how_it_declines():
    assert said_by([example(1, SORRY, "test"), example(2, SORRY, "validation")]) == REFUSAL


def test_no_questions_are_nothing_to_go_on_declining():
    assert declining([], []) is None
    assert questions_digest([]) == ""


def test_digest_tells_questions_apart():
    one, other = ({"role": "user", "content": "a"},), ({"role": "user", "content": "b"},)
    assert len({questions_digest(some) for some in ([one], [other], [one, one], [one, other])}) == 4
