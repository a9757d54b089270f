from __future__ import annotations

import pytest

from assets.behavior import forms
from assets.behavior.refusals import is_refusal


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("", "empty"),
        ("Pay within 14 days.", "prose"),
        ("First line.\nSecond line.", "prose"),
        ('{"answer": 14}', "json"),
        ('```json\n{"answer": 14}\n```', "json"),
        ('{"answer": 14', "prose"),
        ("[1] Pay within 14 days.", "prose"),
        ("<answer><days>14</days></answer>", "xml"),
        ("SELECT name FROM staff WHERE id = 4;", "sql"),
        ("select name from staff where id = 4", "sql"),
        ("Select the plan you want from the menu.", "prose"),
        ("```\nx = 1\n```", "code"),
        ("import os\nprint(os.name)", "code"),
        ("- Pay\n- Wait", "list"),
        ("Do this:\n1. Pay\n2. Wait", "list"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "table"),
        ("Name: Alice\nDays: 14", "fields"),
    ],
)
def test_format_of_names_the_format(text: str, form: str) -> None:
    assert forms.format_of(text) == form


@pytest.mark.parametrize(
    ("text", "form", "left"),
    [
        ('{"status": "OPEN", "days": 14, "who": ["Alice"], "ok": true}', "json", "14\nAlice"),
        ("<answer>14</answer>", "xml", "14"),
        ("Happy to help! Pay in 14 days. Have a nice day!", "prose", "! Pay in 14 days.  !"),
    ],
)
def test_content_leaves_what_a_format_does_not_own(text: str, form: str, left: str) -> None:
    assert forms.content(text, form).split() == left.split()


def test_content_of_sql_has_no_keywords_and_aliases() -> None:
    query = "SELECT t.name FROM staff AS t WHERE t.id = 4"
    assert forms.content(query, "sql").split() == [
        "name",
        "staff",
        "id",
        "=",
        "4",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "I don't know.",
        "The passages do not say.",
        "I'm sorry, but I could not find that in the documents.",
        "I cannot help with that request.",
        "There is no information about refunds.",
        "This is not mentioned in the handbook.",
        "n/a",
        "Unfortunately, the provided context doesn’t contain the answer.",
        "As an AI, I have no opinion on this.",
    ],
)
def test_is_refusal_knows_a_text_that_declines(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Pay within 14 days.",
        "You cannot cancel after 14 days.",
        "The fee is not refundable.",
        "No. Refunds take 14 days.",
        "I could not find the exact fee, but refunds are paid within 14 days of the return, to the card that was"
        " charged when the order was placed.",
        "I don't know. " + "But here is all that is known. " * 40,
    ],
)
def test_is_refusal_leaves_answers_alone(text: str) -> None:
    assert not is_refusal(text)


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [("a b c d", "a b c d", 0.0), ("a b c d", "a b x d", 0.25), ("a b", "c d", 1.0), ("", "a", 1.0), ("", "", 0.0)],
)
def test_edit_is_the_share_of_changed_words(before: str, after: str, share: float) -> None:
    assert forms.edit(before, after) == share
