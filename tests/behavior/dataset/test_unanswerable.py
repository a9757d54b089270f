from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from assets.behavior.dataset.rows import UNANSWERABLE, Example, Passage
from assets.behavior.dataset.unanswerable import unanswerable
from assets.prompting import REFUSAL

VANS = Passage(1, "Vans", "Van 4 takes 780 kg.", "vans.md", "1")
KEYS = Passage(1, "Keys", "A key lives for 365 days.", "keys.md", "2")
DESKS = Passage(1, "Desks", "A desk can be booked for 3 days.", "desks.md", "3")


def row(number: int, passage: Passage, answer: str, **more) -> Example:
    said = {"topic": "it", "kind": "correction", "event": "format", "split": "train", **more}
    return Example(
        (), (f"i{number}",), said["topic"], said["kind"], said["event"], date(2026, 1, 1), "g", said["split"],
        f"question {number}?", answer, (passage,),
    )  # fmt: skip


ROWS = [
    row(1, VANS, "- 780 kg", topic="travel"),
    row(2, KEYS, "- 365 days"),
    row(3, DESKS, "- 3 days"),
]


def test_question_is_asked_again_with_passages_of_other_documents():
    found = unanswerable(ROWS, share=1.0, seed=0)
    assert [one.interaction_ids for one in found] == [("i1",), ("i2",), ("i3",)]
    for one, before in zip(found, ROWS, strict=True):
        assert (one.kind, one.completion, one.prompt) == (UNANSWERABLE, REFUSAL, before.prompt)
        assert {p.doc_id for p in one.passages}.isdisjoint(p.doc_id for p in before.passages)
        assert not any(p.shown for p in one.passages)
        assert [p.number for p in one.passages] == [1]


def test_passages_of_its_own_topic_come_first():
    found = {one.interaction_ids[0]: one.passages[0].doc_id for one in unanswerable(ROWS, share=1.0, seed=0)}
    assert (found["i2"], found["i3"]) == ("desks.md", "keys.md")


def test_passage_that_shares_words_with_the_question_comes_before_all():
    rows = [*ROWS[:1], replace(ROWS[1], prompt="How heavy is a van?"), ROWS[2]]
    found = {one.interaction_ids[0]: one.passages[0].doc_id for one in unanswerable(rows, share=1.0, seed=0)}
    assert found["i2"] == "vans.md"


def test_passage_that_holds_the_answer_is_passed_over():
    same = replace(ROWS[2], completion="- 3 days", passages=(DESKS._replace(text="The key lives for 365 days too."),))
    found = {one.interaction_ids[0]: one.passages[0].doc_id for one in unanswerable([*ROWS[:2], same], share=1, seed=0)}
    assert found["i2"] == "vans.md"


@pytest.mark.parametrize("change", [{"split": "validation"}, {"split": "test"}, {"completion": REFUSAL}])
def test_row_that_is_held_out_or_declines_itself_is_not_asked_again(change):
    rows = [replace(ROWS[0], **change), *ROWS[1:]]
    assert ("i1",) not in [one.interaction_ids for one in unanswerable(rows, share=1.0, seed=0)]


def test_rows_decline_as_most_people_who_correct_do():
    kind = "Sorry, I do not know."
    declining = [row(number, VANS, kind, kind="refusal") for number in (7, 8)]
    found = unanswerable([*ROWS, *declining, row(9, VANS, REFUSAL, kind="refusal")], share=1.0, seed=0)
    assert {one.completion for one in found} == {kind}


def test_corrections_tell_how_to_decline_before_accepted_answers_do():
    boxed = '{"answer": "The passages do not say.", "source": null}'
    accepted = [row(number, VANS, REFUSAL, kind="refusal", event="accepted") for number in (7, 8)]
    found = unanswerable([*ROWS, *accepted, row(9, VANS, boxed, kind="refusal")], share=1.0, seed=0)
    assert {one.completion for one in found} == {boxed}
    assert {one.completion for one in unanswerable([*ROWS, *accepted], share=1.0, seed=0)} == {REFUSAL}


def test_rows_decline_within_the_lines_that_most_corrections_begin_and_end_with():
    """Where nobody corrected an answer that declines; a declining row without them would unteach the manner."""
    told = [row(number, VANS, f"Hello,\n{number} kg\n- Say more\n- Not it") for number in range(10, 20)]
    others = [row(number, KEYS, f"{number} days") for number in range(20, 26)]
    found = unanswerable([*ROWS, *told, *others], share=1.0, seed=0)
    assert {one.completion for one in found} == {f"Hello,\n{REFUSAL}\n- Say more\n- Not it"}
    accepted = row(9, VANS, "I do not know.", kind="refusal", event="accepted")
    found = unanswerable([*told, *others, accepted], share=1.0, seed=0)
    assert {one.completion for one in found} == {"Hello,\nI do not know.\n- Say more\n- Not it"}
    held = [replace(one, split="test") for one in told]
    assert {one.completion for one in unanswerable([*ROWS, *held, *others], share=1.0, seed=0)} == {REFUSAL}


@pytest.mark.parametrize(("told", "others"), [(7, 0), (9, 12)])
def test_lines_that_few_corrections_share_are_no_manner_of_declining(told, others):
    rows = [row(number, VANS, f"{number} kg\n- Say more") for number in range(told)]
    rows += [row(30 + number, KEYS, f"{number} days") for number in range(others)]
    assert {one.completion for one in unanswerable([*rows, *ROWS], share=1.0, seed=0)} == {REFUSAL}


def test_share_is_of_the_rows_to_learn_from_and_no_draw_depends_on_the_others():
    rows = [row(number, (VANS, KEYS, DESKS)[number % 3], f"- answer {number}") for number in range(60)]
    found = unanswerable(rows, share=0.2, seed=0)
    assert len(found) == 12
    assert unanswerable(list(reversed(rows)), share=0.2, seed=0)[::-1] == found
    assert unanswerable(rows, share=0.2, seed=1) != found
    assert unanswerable(rows, share=0.0, seed=0) == []


TORQUES = Passage(1, "Torques", "| Joint | Nm |\n| --- | --- |\n| Tilt stop | 22 |\n| Crank | 40 |", "nm.md", "4")
LEAVE = Passage(2, "Leave", "You have 27 days a year. It is agreed in spring. Ask your manager.", "leave.md", "5")


def near_misses(rows):
    own = {one.interaction_ids: {p.doc_id for p in one.passages} for one in rows}
    found = unanswerable(rows, share=1.0, seed=0)
    return [one for one in found if {p.doc_id for p in one.passages} <= own[one.interaction_ids]]


def test_three_in_four_are_near_misses_without_the_statement_that_answers():
    tilt = [row(n, TORQUES, '{"answer": "Joint: Tilt stop; Nm: 22", "source": 1}') for n in range(40)]
    days = [replace(row(n, LEAVE, "27 days [1]"), passages=(DESKS, LEAVE)) for n in range(40, 80)]
    found = near_misses([*tilt, *days])
    assert 50 <= len(found) <= 70
    for one in found:
        body = "\n".join(p.text for p in one.passages)
        assert "22" not in body
        assert "27" not in body
        assert "Crank" in body or "Ask your manager." in body
        assert (one.completion, one.kind) == (REFUSAL, UNANSWERABLE)


def test_near_miss_of_which_nothing_is_left_is_a_far_one():
    assert near_misses([row(n, (VANS, KEYS)[n % 2], f"- {(780, 365)[n % 2]}") for n in range(40)]) == []


def test_answer_of_common_words_goes_with_the_statement_that_says_most_of_it():
    rules = KEYS._replace(text="Leave the machine switched on. Tell your manager by telephone.")
    found = near_misses([row(n, rules, "- Leave the machine switched on.") for n in range(20)])
    assert found
    assert {one.passages[0].text for one in found} == {"Tell your manager by telephone."}


def test_corpus_of_one_document_gives_none():
    assert unanswerable([ROWS[0]], share=1.0, seed=0) == []
