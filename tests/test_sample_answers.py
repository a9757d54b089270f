"""The answers of the demo logs: each is the passage's own statement, and answers the question that was asked."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

SAMPLE = Path(__file__).resolve().parent.parent / "sample"


@pytest.fixture(scope="module")
def handbook():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SAMPLE))
        import interactions_handbook  # pyright: ignore[reportMissingImports]

        yield interactions_handbook


@pytest.fixture(scope="module")
def world(handbook):
    return handbook.load()


@pytest.fixture(scope="module")
def facts(world):
    return [fact for found in world.facts.values() for fact in found]


@pytest.fixture(scope="module")
def events(world):
    """Sixty days of events, 400 a day; the handbook is edited on October 8."""
    from interactions_draws import Plan, files  # pyright: ignore[reportMissingImports]

    plan = Plan(60, date(2026, 10, 31), 400, 7, "none", 0, "on")
    return [event for _, found in files(plan, world) for event in found if not event.get("deleted")]


def test_every_answer_is_a_statement_of_its_passage(facts):
    from assets.behavior.dataset.passages import passage_of
    from assets.prompting import statements

    assert len(facts) == 66
    for version in (version for fact in facts for version in (fact, fact.before) if version):
        held = statements(passage_of(version.passage.text, "", "").text)
        assert len(version.answers) == len(version.ask) >= 2
        assert set(version.answers) <= set(held), version.ask


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        ("What is the rate for overtime on a Sunday?", "Sundays: 150%."),
        ("How many people fit into Sluice?", "Sluice, on the second floor, seats 14."),
        ("How much is the vegetarian lunch?", "What: Vegetarian lunch; Price: €4.20"),
        ("How tight should pedals be?", "Joint: Pedal; Nm: 35; Note: grease, left pedal has left thread"),
        ("When is payday?", "Salaries are paid on the 25th."),
        (
            "What is the limit of the company card?",
            "People who spend more than about €200 a month can have a company card. Its limit is €1,500 a month.",
        ),
    ],
)
def test_a_question_has_the_answer_that_a_reader_would_give(facts, ask, answer):
    assert [fact.answers[fact.ask.index(ask)] for fact in facts if ask in fact.ask] == [answer]


def test_what_was_said_before_the_edits_answers_the_same_question(facts):
    former = {
        ask: (fact.before.answers[place], fact.answers[place])
        for fact in facts
        if fact.before
        for place, ask in enumerate(fact.ask)
    }
    assert former["When is payday?"] == ("Salaries are paid on the 27th.", "Salaries are paid on the 25th.")
    assert former["How long is camera footage stored?"] == ("Camera pictures: 30 days.", "Camera pictures: 14 days.")
    same = "The payslip is in Kiosk two days earlier."
    assert former["How long before payday is the payslip in Kiosk?"] == (same, same)


def test_logged_questions_and_answers_belong_together(events, facts):
    answers = {
        ask.rstrip("?.").lower(): {version.answers[place] for version in (fact, fact.before) if version}
        for fact in facts
        for place, ask in enumerate(fact.ask)
    }
    given = Counter()
    for event in events:
        right = [ask for ask in answers if ask in event["prompt"].lower()]
        said = event["response"].rpartition(" [")[0]
        if not right or said not in set().union(*answers.values()):
            continue  # a table, a fault, or a question that no document answers
        assert said in answers[max(right, key=len)], event["prompt"]
        given[said] += 1
    assert sum(given.values()) > 15_000
    assert len(given) > 150


def test_an_outdated_answer_is_given_to_a_question_that_the_edits_touched(events, facts):
    asks: dict[tuple[str, str], set[str]] = {}
    for fact in (fact for fact in facts if fact.before):
        for ask, then, now in zip(fact.ask, fact.before.answers, fact.answers, strict=True):
            asks.setdefault((then, now), set()).add(ask.rstrip("?.").lower())
    stale = 0
    for event in events:
        if event["occurred_at"] < "2026-10-08" or "corrected_response" not in event:
            continue
        if any("text" in one for one in event["passages"]):
            pair = tuple(event[name].rpartition(" [")[0] for name in ("response", "corrected_response"))
            assert pair[0] != pair[1]
            assert any(ask in event["prompt"].lower() for ask in asks[pair]), event["prompt"]
            stale += 1
    assert stale > 50


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"quotes": ["27 days of paid leave"]}, "received 1 quotes for 2 questions"),
        ({"quotes": ["27 days of paid leave", "28 days of paid leave"]}, "the quote '28 days of paid leave', which no"),
        ({"was": [["21.6 days", "21.5 days"]]}, "changes the answer to none"),
    ],
)
def test_a_fact_that_its_passage_does_not_tell_is_refused(handbook, changed, said):
    text = "Leave\n\nYou have 27 days of paid leave. On a four-day week it is 21.6 days."
    entry = {
        "topic": "leave",
        "doc": "leave.md",
        "find": "27 days",
        "ask": ["How much leave do I have?", "How many days off do I have?"],
        "quotes": ["27 days of paid leave", "27 days of paid leave"],
    }
    passages = [handbook.Shown("c", "handbook/leave.md", "s", text)]
    assert handbook._fact(entry, passages).answers == ("You have 27 days of paid leave.",) * 2
    with pytest.raises(handbook.BadFact, match=re.escape(said)) as refused:
        handbook._fact(entry | changed, passages)
    assert "'How much leave do I have?'" in str(refused.value)
