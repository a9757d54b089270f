from __future__ import annotations

import pytest

from assets.behavior.dataset.lint import unsupported

LEAVE = "Leave > Carrying over\n\nUp to 5 unused days carry over into the next year. They lapse on 31 March."
VANS = "Vans > Charging\n\nBring the van back with 40%. Ask Maaike Vellamoor for the key of `van_5`."

TABLE = [
    # what it shows, question, answer, passages, unsupported
    ("grounded prose", "Can I carry over leave?", "Up to 5 unused days carry over.", [LEAVE], []),
    ("grounded list", "Can I carry over leave?", "- Unused days: up to 5\n- Lapse on: March 31", [LEAVE], []),
    ("another number", "Can I carry over leave?", "Up to 7 unused days carry over.", [LEAVE], ["7"]),
    ("a number in words", "Can I carry over leave?", "Up to five unused days carry over.", [LEAVE], []),
    ("another in words", "Can I carry over leave?", "Up to seven unused days carry over.", [LEAVE], ["seven"]),
    ("another name", "Who has the key?", "Ask Fenna Bruin for the key.", [VANS], ["Fenna", "Bruin"]),
    ("a name of the question", "Is it Fenna?", "No, ask Maaike Vellamoor, and not Fenna.", [VANS], []),
    ("a number of the question", "Do 12 days carry over?", "No: of 12 days, up to 5 carry over.", [LEAVE], []),
    ("a computed number", "Do 12 days carry over?", "Up to 5 carry over, 12 - 5 = 7 lapse on 31 March.", [LEAVE], []),
    ("a sum of the question's", "I had 12 and 9 days, how many is it?", "It is 21 days.", [LEAVE], []),
    ("no sum of the question's", "I had 12 and 9 days, how many is it?", "It is 22 days.", [LEAVE], ["22"]),
    ("a quoted name", "Which key?", "The key of `van_5`.", [VANS], []),
    ("another identifier", "Which key?", "The key of `van_9`.", [VANS], ["van_9"]),
    ("other words", "Can I carry over leave?", "You may carry over up to 5 unused days into next year.", [LEAVE], []),
    ("mostly other words", "May I?", "Bring chocolate cake and sparkling lemonade.", [LEAVE], ["Bring", "chocolate"]),
    ("courtesy", "Can I?", "Hello there, up to 5 unused days carry over. Kind regards", [LEAVE], []),
    ("a citation", "Can I carry over leave?", "Up to 5 unused days carry over [1].", [LEAVE, VANS], []),
    ("citations", "Can I carry over leave?", "Up to 5 unused days carry over [1, 2].", [LEAVE, VANS], []),
    ("a citation of nothing", "Can I carry over leave?", "Up to 5 unused days carry over [7].", [LEAVE], ["7"]),
    ("a named source", "May leave carry over?", "Source 1 says: up to 5 unused days carry over.", [LEAVE], []),
    ("json", "Leave?", '{"answer": "up to 5 unused days carry over", "sources": [2]}', [VANS, LEAVE], []),
    ("json with a made-up value", "Leave?", '{"answer": "up to 8 days", "sources": [2]}', [VANS, LEAVE], ["8"]),
    ("a refusal", "Who won the cup?", "I am sorry, the passages do not say who won the cup.", [LEAVE], []),
    ("a refusal that states", "Who won?", "The passages do not say who won; ask Bruin.", [LEAVE], ["Bruin"]),
    ("no passages, no facts", "Thanks!", "You are welcome.", [], []),
    ("no passages, a fact", "How many?", "It is 12.", [], ["12"]),
]


@pytest.mark.parametrize(
    ("question", "answer", "passages", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_lint_finds_what_nothing_supports(question, answer, passages, expected):
    found = unsupported(question, answer, passages, [], 0.3)
    assert found[: len(expected)] == expected
    assert bool(found) == bool(expected)


def test_lint_knows_the_documents_by_name():
    answer = "See Expenses: up to 5 unused days carry over."
    assert unsupported("May leave carry over?", answer, [LEAVE], [], 0.0)
    assert not unsupported("May leave carry over?", answer, [LEAVE], ["handbook/expenses.md", "seeing"], 0.0)


def test_lint_tolerates_other_words_up_to_its_share():
    answer = "Up to 5 unused days travel gladly over."
    assert unsupported("Can I?", answer, [LEAVE], [], 0.0)
    assert not unsupported("Can I?", answer, [LEAVE], [], 0.9)
