"""What a generator said, against what it was shown: what is said, dropped, refused, or replaced."""

from __future__ import annotations

import json

import pytest

from assets.behavior import facts
from assets.behavior.evaluation.manner import manner
from assets.prompting import REFUSAL
from assets.serving.checking import BROKEN_FORM, NO_ANSWER, NO_SUPPORT, Text, checked
from assets.serving.forms import Form

SHOWN = {
    1: Text("Lockers\n\nLockers on the second floor can be rented for 4 euros a month.", "handbook/lockers.md"),
    2: Text("Bikes\n\nBring your own lock for the bicycle stand. Ask Renske Oltmans for a key.", "handbook/bikes.md"),
}
QUESTION = "What does a locker cost?"
TEXT, JSON = Form(), Form("json")


def said(text: str, form: Form = TEXT, question: str = QUESTION, allowed: frozenset[str] = frozenset()):
    return checked(text, question, SHOWN, form, allowed)


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("Lockers can be rented for 4 euros a month. [1]", (1,)),
        ("  4 euros a month [1].\n", (1,)),
        ("Lockers: 4 euros [1]. Bring your own lock [2].", (1, 2)),
        ("Lockers: 4 euros. Bring your own lock. [2, 1]", (2, 1)),
        ("Source 1 says: 4 euros a month.", (1,)),
        ("Lockers can be rented for 4 euros a month.", (1,)),  # it names no passage: the one that holds most of it
        ("Ask Renske Oltmans for a key.", (2,)),
        ("Yes.", (1,)),
    ],
)
def test_supported_answer_is_said_as_it_is_with_its_citations(text, cited):
    found = said(text)
    assert (found.text, found.cited, found.refused, found.problem) == (text.strip(), cited, False, "")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("4 euros a month. [1] [9]", "4 euros a month. [1]"),
        ("4 euros a month [9][1].", "4 euros a month[1]."),
        ("4 euros a month. [1, 9; 3]", "4 euros a month. [1]"),
        ('{"answer": "4 euros [9]", "sources": [9, 1]}', '{"answer": "4 euros", "sources": [1]}'),
    ],
)
def test_numbers_that_were_not_shown_are_dropped(text, kept):
    found = said(text)
    assert (found.text, found.cited, found.problem) == (kept, (1,), "")


@pytest.mark.parametrize(
    "text",
    [
        "4 euros a month. [9]",  # no citation is left
        '{"answer": "4 euros a month", "source": 9}',
        "Source 4: 4 euros a month. [1]",  # words that cannot be taken out
        "Lockers can be rented for 5 euros a month. [1]",
        "Lockers can be rented for 4 euros a month. [2]",  # it stands in another passage
        "Ask Fenna Bruins for a locker. [1]",
        "Lockers are emptied daily and cleaned by volunteers wearing gloves. [1]",
        "The code is `4711`. [1]",
    ],
)
def test_answer_without_support_is_not_said(text):
    assert said(text).problem == NO_SUPPORT


@pytest.mark.parametrize("text", ["", "  \n\t ", "...", "“”", "{}", '{"answer": ""}'])
def test_nothing_is_no_answer(text):
    assert [said(text, form).problem for form in (TEXT, JSON)] == [NO_ANSWER, NO_ANSWER]


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        "[1].",
        "[1][2]",
        "[9]",
        "[Source 1]",
        "Source: [1], [2].",
        "```\n[1]\n```",
        '{"answer": "[1]", "source": 1}',
        '{"answer": "…", "source": 1}',
        '{"source": 1}',
    ],
)
def test_citations_alone_are_no_answer(text):
    assert [said(text, form).problem for form in (TEXT, JSON)] == [NO_ANSWER, NO_ANSWER]


@pytest.mark.parametrize(
    "text",
    [
        REFUSAL,
        "the passages do not say",
        f"{REFUSAL} [1]",
        f"“{REFUSAL}”",
        "I'm sorry, but I cannot answer that from the documents.",
        f'{{"answer": "{REFUSAL}", "source": null}}',
    ],
)
def test_declining_is_a_refusal_whatever_it_cites(text):
    found = said(text)
    assert (found.refused, found.cited, found.problem) == (True, (), "")


def test_refusal_in_plain_words_is_put_into_the_form():
    assert json.loads(said(REFUSAL, JSON).text) == {"answer": REFUSAL, "source": None}
    kept = '{"answer": "The passages do not say.", "source": ""}'
    assert said(kept, JSON).text == kept


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ('{"answer": "4 euros a month", "source": 1}', (1,)),
        ('{"answer": "4 euros a month", "source": "1"}', (1,)),
        ('{"answer": "4 euros; bring your own lock", "citations": [2, 1]}', (2, 1)),
        ('{"answer": "4 euros a month [1]"}', (1,)),
        ('```json\n{"answer": "4 euros a month", "source": 1}\n```', (1,)),
        ('{"answer": "4 euros a month", "source": true}', (1,)),
    ],
)
def test_json_manner_names_its_sources_in_fields(text, cited):
    for form in (TEXT, JSON):
        found = said(text, form)
        assert (found.text, found.cited, found.problem) == (text, cited, "")


@pytest.mark.parametrize(
    "text",
    [
        '{"answer": "4 euros',
        "[4 euros a month] [1]",
        "```\n4 euros a month\n```",
        '["4 euros"]',
        '{"answer": 4}',
        '{"reply": "4 euros"}',
    ],
)
def test_form_that_is_broken_is_not_said(text):
    assert said(text, JSON).problem == BROKEN_FORM
    assert said('{"answer": "5 euros", "source": 1}', JSON).problem == NO_SUPPORT


@pytest.mark.parametrize(
    ("text", "source"),
    [("4 euros a month. [1]", 1), ("4 euros a month; bring your own lock. [2][1]", 2), ("4 euros", 1)],
)
def test_text_of_a_json_variant_is_framed_by_code(text, source):
    found = said(text, JSON)
    assert (json.loads(found.text), found.problem) == ({"answer": text, "source": source}, "")
    assert source in found.cited
    closed = Form("json", manner({"type": "object", "required": ["price"]}, framed=True).valid)
    assert said(text, closed).problem == BROKEN_FORM  # of another schema no frame makes it one


def test_text_of_a_json_variant_is_judged_like_any_other():
    assert said("5 euros a month. [1]", JSON).problem == NO_SUPPORT
    assert json.loads(said("4 euros a month. [1][9]", JSON).text) == {"answer": "4 euros a month. [1]", "source": 1}


def test_schema_decides_what_the_form_is():
    schema = {
        "type": "object",
        "required": ["price"],
        "properties": {"price": {"type": "string"}, "source": {"type": "integer"}},
        "additionalProperties": False,
    }
    form = Form("json", manner(schema).valid)
    good = '{"price": "4 euros a month", "source": 1}'
    assert (said(good, form).text, said(good, form).cited) == (good, (1,))
    assert said('{"answer": "4 euros a month"}', form).problem == BROKEN_FORM
    assert said('{"price": "5 euros a month", "source": 1}', form).problem == NO_SUPPORT


def test_facts_that_belong_to_the_manner_need_no_passage():
    signed = "4 euros a month. [1]\n\nYours at extension 4711"
    assert said(signed).problem == NO_SUPPORT
    found = said(signed, allowed=facts.keys("Yours at extension 4711"))
    assert (found.text, found.problem) == (signed, "")


def test_what_the_question_says_may_be_repeated_and_reckoned_with():
    assert said("3 lockers: 3 * 4 = 12 euros a month [1].", question="What do 3 lockers cost?").problem == ""
    assert said("3 lockers: 13 euros a month [1].", question="What do 3 lockers cost?").problem == NO_SUPPORT


@pytest.mark.parametrize(
    ("question", "text", "problem"),
    [
        ("Does a locker cost 900 euros a month?", "A locker costs 900 euros a month. [1]", NO_SUPPORT),
        ("Does a locker cost 900 euros a month?", '{"answer": "Lockers: 900 euros a month.", "source": 1}', NO_SUPPORT),
        ("Does a locker cost 900 euros a month?", "No, lockers are 4 euros a month, and not 900. [1]", ""),
        ("Ask Fenna Bruins for a key?", "Ask Fenna Bruins for a key. [2]", NO_SUPPORT),
        ("Ask Fenna Bruins for a key?", "No, ask Renske Oltmans. [2]", ""),
        ("May I rent a locker?", "Lockers on the second floor cannot be rented for 4 euros a month. [1]", NO_SUPPORT),
    ],
)
def test_question_is_no_source(question, text, problem):
    assert said(text, JSON if text.startswith("{") else TEXT, question).problem == problem


def test_fallback_is_marked_in_every_form():
    assert TEXT.quote("Lockers cost 4 euros.", 1) == "The passages say: “Lockers cost 4 euros.” [1]"
    assert json.loads(JSON.quote("Lockers cost 4 euros.", 1)) == {
        "answer": "Lockers cost 4 euros.", "source": 1, "fallback": True,
    }  # fmt: skip
    closed = {"type": "object", "properties": {"answer": {}, "source": {}}, "additionalProperties": False}
    assert json.loads(Form("json", manner(closed).valid).quote("A", 1)) == {"answer": "A", "source": 1}
