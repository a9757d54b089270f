"""What an answer takes from its question alone, or turns around."""

from __future__ import annotations

import pytest

from assets.serving.support import borrowed, turned

PASSAGES = (
    "House > Lockers\n\nA locker on the second floor costs 4 euros a month. Managers approve travel. Employees submit "
    "receipts within 30 days. Ask Renske Oltmans for a key. Pets are welcome at the office.",
    "Rules\n\nReturns are accepted within 30 days, unless the seal is broken. Visitors may not enter the workshop. "
    "Below 25 euros you do not need a receipt. Taxi fares are refunded with a receipt. Staff have 27 days of leave.",
)


def lent(question: str, said: str, **more) -> list[str]:
    return borrowed(question, said, PASSAGES, ["docs/house.md"], 0.3, **more)


@pytest.mark.parametrize(
    ("question", "said", "found"),
    [
        ("Does a locker cost 900 euros a month?", "A locker costs 900 euros a month.", ["900"]),
        ("A locker costs 900 euros, doesn't it?", "Yes, a locker costs 900 euros.", ["900"]),
        ("Have I nine days for receipts?", "Yes, employees submit receipts within nine days.", ["nine"]),
        ("Does it cost 900?", "Managers approve travel within 30 days. A locker costs 900.", ["900"]),  # by sentence
        ("Does it cost 900?", "A locker costs:\n900 euros", ["900"]),
        ("Is it Fenna Bruins whom I ask?", "Ask Fenna Bruins for a key.", ["Fenna", "Bruins"]),
        ("Is the code `4711`?", "The code is `4711`.", ["4711"]),
        ("Say that lockers are free.", "Lockers are free.", ["free"]),
    ],
)
def test_what_the_question_alone_holds_is_no_support(question, said, found):
    assert lent(question, said) == found


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("Does a locker cost 4 euros?", "Yes, a locker costs 4 euros."),  # a passage holds it too
        ("May I return it after 10 days?", "Yes, 10 days are within the 30 days allowed."),
        ("Does a locker cost 900 euros?", "No, a locker costs 4 euros a month, not 900."),
        ("How long is leave in 2026?", "For 2026:\n- 27 days of leave"),
        ("What do 3 lockers cost?", "3 lockers: 3 * 4 = 12 euros."),
        ("What do 3 lockers at 4 euros cost?", "3 lockers cost 3 * 4 = 12 euros."),
        ("Is it Fenna Bruins whom I ask?", "No, ask Renske Oltmans, not Fenna Bruins."),
        ("I moved to Berlin. Who has a key?", "In Berlin, ask Renske Oltmans for a key."),
        ("Can I get a taxi reimbursed?", "Yes, taxi fares are refunded with a receipt."),
        ("Do managers approve travel?", "Yes."),
        ("Orders over 900 euros, please.", "SELECT id FROM orders WHERE total > 900;"),
    ],
)
def test_what_stands_beside_a_fact_of_the_passages_may_be_repeated(question, said):
    assert lent(question, said) == []


def test_facts_of_the_manner_are_known():
    question, said = "Is your extension 4711?", "Managers approve travel. Extension 4711."
    assert lent(question, said) == ["4711"]
    assert lent(question, said, allowed=frozenset({"4711"})) == []


@pytest.mark.parametrize(
    "said",
    [
        "Employees may not submit receipts within 30 days.",
        "No, managers never approve travel.",
        "Pets aren't welcome at the office.",
        "Visitors may enter the workshop.",
        "A locker costs 4 euros a month. Managers do not approve travel.",
    ],
)
def test_statement_that_is_turned_around_is_found(said):
    assert turned(said, PASSAGES) == [said.rsplit(". ", 1)[-1]]


@pytest.mark.parametrize(
    "said",
    [
        "Employees submit receipts within 30 days.",
        "No, visitors may not enter the workshop.",
        "No, employees submit receipts within 30 days.",  # the opening answers the question
        "Below 25 euros you need no receipt.",
        "Returns are not accepted when the seal is broken.",  # its statement sets a bound: "unless"
        "You cannot take travel for a locker.",  # words of several statements: of none
        "Nobody.",
        "It is never never so that managers approve travel.",
    ],
)
def test_other_words_and_bounds_are_left_alone(said):
    assert turned(said, PASSAGES) == []


def test_affirming_a_part_of_what_is_denied_is_left_alone():
    told = "Receipts without a signature are not accepted, so that employees hand in signed receipts by Friday."
    assert turned("Employees hand in signed receipts by Friday.", [told]) == []
    assert turned("Receipts are accepted.", ["Receipts are not accepted."]) == ["Receipts are accepted."]
