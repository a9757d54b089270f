"""Passages -> sentences and statements: one row a block kind or trap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.prompting import sentences, statements
from assets.prompting.sentences import QUOTED, QUOTED_WORDS, leans

CUT = [
    ("two sentences", "The mill is old. Water drives the wheel.", ["The mill is old.", "Water drives the wheel."]),
    ("hard wraps", "The mill\nis old. Water\ndrives it.", ["The mill is old.", "Water drives it."]),
    ("titles", "Ask Dr. Hommel or Mrs. Berg. Both help.", ["Ask Dr. Hommel or Mrs. Berg.", "Both help."]),
    ("e.g.", "Use a tool, e.g. Lantern. It works.", ["Use a tool, e.g. Lantern.", "It works."]),
    ("initials", "J. R. Smith signs. Nobody else does.", ["J. R. Smith signs.", "Nobody else does."]),
    ("letter of a room", "It is in room B. The door is red.", ["It is in room B.", "The door is red."]),
    ("number sign", "See No. 5 on the list. Then call.", ["See No. 5 on the list.", "Then call."]),
    ("the word no", "May I? No. It is closed.", ["May I?", "No.", "It is closed."]),
    ("decimals", "It costs 3.50 euros. Pay in cash.", ["It costs 3.50 euros.", "Pay in cash."]),
    ("times", "Open until 6 p.m. on Friday. Closed else.", ["Open until 6 p.m. on Friday.", "Closed else."]),
    ("quotes", 'He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
    ("brackets", "It rains. (It often does.) We stay.", ["It rains.", "(It often does.)", "We stay."]),
    ("question", "Is it open? Yes, until ten.", ["Is it open?", "Yes, until ten."]),
    ("umlauts", "Das ist Ödland. Über uns.", ["Das ist Ödland.", "Über uns."]),
    ("sum first", "Pay at once. €5 is the fee.", ["Pay at once.", "€5 is the fee."]),
    ("emphasis", "You get **27 days** of *paid* leave.", ["You get 27 days of paid leave."]),
    ("snake case", "Set max_retry_count to 3.", ["Set max_retry_count to 3."]),
    ("link", "See [the rules](../a.md) and ![x](y.png).", ["See the rules and x."]),
    ("code span", "Run `make *all*` once.", ["Run `make *all*` once."]),
    ("list", "- Bring a lock.\n- Bring a towel. It is cold.", ["Bring a lock.", "Bring a towel.", "It is cold."]),
    ("numbered", "1. Open it.\n2) Close it.", ["Open it.", "Close it."]),
    ("wrapped item", "- a long\n  item here\n- two", ["a long item here", "two"]),
    ("loose list", "- one thing\n\n- two things", ["one thing", "two things"]),
    ("short list", "Bring:\n\n- a towel\n- a lock.", ["Bring: a towel; a lock"]),
    ("labels", "Hours:\n- Early: 6:30\n- Late: 14:45", ["Early: 6:30", "Late: 14:45"]),
    ("checklist", "- [ ] Show the box\n- [x] Walk the route", ["Show the box", "Walk the route"]),
    ("table", "| What | Price |\n|---|---:|\n| Soup | €2 |\n| Tea | |", ["What: Soup; Price: €2", "What: Tea"]),
    ("table, empty head", "| | Steel |\n|---|---|\n| Flow | 9 |", ["Flow; Steel: 9"]),
    ("table without rule", "| Soup | €2 |\n| Tea | €1 |", ["Soup; €2", "Tea; €1"]),
    ("escaped bar", "| A | B |\n|---|---|\n| x \\| y | 2 |", ["A: x | y; B: 2"]),
    ("code", "Check it:\n\n```sh\nnslookup a.example\n```\n\nThen go.", ["Check it: nslookup a.example", "Then go."]),
    ("code after an item", "1. Look.\n2. Run:\n\n```\nls -l\n```", ["Look.", "Run: ls -l"]),
    ("code, braces", '```json\n{\n  "a": 1\n}\n```', ['"a": 1']),
    ("unclosed fence", "```\nls -l", ["ls -l"]),
    ("quote", "> Do not open it.\n> Call us.", ["Do not open it.", "Call us."]),
    ("heading", "## Rules\n\nBe kind.", ["Be kind."]),
    ("setext heading", "Be kind.\n\n---\n\nStay so.", ["Be kind.", "Stay so."]),
    ("comment", "Be <!-- secret. Really. -->kind.", ["Be kind."]),
    ("empty", "", []),
    ("blank", " \n\t\n", []),
]


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in CUT], ids=[row[0] for row in CUT])
def test_sentences_cut_what_they_should(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


SAID = [
    (
        "a pronoun takes the sentence before along",
        "The mill stands in Lindhaven. It is driven by water.",
        ["The mill stands in Lindhaven.", "The mill stands in Lindhaven. It is driven by water."],
    ),
    (
        "an expletive stands alone",
        "Rain is common. It is important to lock up.",
        ["Rain is common.", "It is important to lock up."],
    ),
    (
        "a question takes its answer along",
        "Is it open? Until ten. Bring a lock.",
        ["Is it open? Until ten.", "Bring a lock."],
    ),
    ("a short one leans", "Set the forward. Test both.", ["Set the forward.", "Set the forward. Test both."]),
    (
        "an object pronoun leans",
        "A file comes. Import it at once.",
        ["A file comes.", "A file comes. Import it at once."],
    ),
    (
        "a condition leans",
        "Call him. If he does not answer, go.",
        ["Call him.", "Call him. If he does not answer, go."],
    ),
    ("a line of code does not lean", "Write:\n```\na = 1\n[Peer]\n```", ["Write: a = 1", "Write: [Peer]"]),
    ("nothing before", "It is driven by water.", ["It is driven by water."]),
]


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in SAID], ids=[row[0] for row in SAID])
def test_statements_stand_alone(text: str, expected: list[str]) -> None:
    assert list(statements(text)) == expected


def test_statements_stay_short_enough_to_quote() -> None:
    long = "The old mill " + "by the river " * 18 + "stands."
    assert statements(f"{long} It is driven by water.") == (long, "It is driven by water.")


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [("They come on Monday.", True), ("Then call us.", True), ("The list is long.", False), ("PIN: 12", False)],
)
def test_leans_tells_what_needs_the_one_before(sentence: str, expected: bool) -> None:
    assert leans(sentence) is expected


@given(st.text(st.sampled_from("ab .!?:|-#`*>\n1It"), max_size=80))
def test_sentences_of_any_text_are_single_lines_of_it(text: str) -> None:
    for sentence in sentences(text):
        assert sentence == " ".join(sentence.split())
        assert sentence


@given(st.lists(st.sampled_from([*"ab. ", "It ", "A ", "? ", ". "]), max_size=120).map("".join))
def test_statements_hold_every_sentence(text: str) -> None:
    joined = statements(text)
    for sentence in sentences(text):
        assert any(sentence in statement for statement in joined)
    assert all(len(s) <= QUOTED and len(s.split()) <= QUOTED_WORDS for s in joined if s not in sentences(text))
