"""Every row of the policy's table, alone and in its order."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from assets.decision.policy import Action, Deploy, Rules, Situation, decide, gain, knowledge_rose
from assets.decision.tainted import Tainted

DAY = date(2026, 6, 30)
RULES = Rules(gpu_hours_per_month=20)
NOTHING_AGAINST = Situation(
    day=DAY,
    evidence=9_000.0,
    highest=9_500.0,
    fired=DAY - timedelta(days=2),
    changed=DAY - timedelta(days=12),
    shares={"fail": 0.9, "style": 0.1},
    examples=350,
    excess=0.1,
    traffic=100.0,
    knowledge=(0.08, 0.09, 0.4),
)
DEPLOY = Deploy(DAY - timedelta(days=12), "rel-2", "rel-1")

# (what it says, action, the situation's part of the row, the rules' part), in the order of the table
SUPPRESSED: list[tuple[str, Action, dict[str, Any], dict[str, Any]]] = [
    ("when release rel-2 took over from rel-1", Action.ROLLBACK, {"deploy": DEPLOY}, {}),
    ("was requested and has not ended", Action.BLOCKED, {"pending": True}, {}),
    ("cools down until 2026-07-01", Action.WAIT, {"last_finetune": DAY - timedelta(days=6)}, {}),
    ("199 of 200 corrected examples", Action.WAIT, {"examples": 199}, {}),
    ("exceed the month's budget", Action.BLOCKED, {"spent": 496.5}, {}),
    ("1 more GPU hours would exceed", Action.BLOCKED, {"gpu_hours": 19.5}, {}),
    ("a person decided against", Action.BLOCKED, {"approval": "denied"}, {}),
    ("would bring", Action.PROPOSE, {"excess": 0.0008}, {}),
    ("share of answers that get a label", Action.PROPOSE, {"labels_moved": True}, {}),
    ("was not released", Action.PROPOSE, {"last_released": False}, {}),
    ("need approval here", Action.PROPOSE, {}, {"require_approval": True}),
]
MAY = [row for row in SUPPRESSED if row[1] is Action.PROPOSE]
MUST = [row for row in SUPPRESSED if row[1] is not Action.PROPOSE]
NAMES = [row[0] for row in SUPPRESSED]


def test_decide_starts_a_fine_tune_when_nothing_stands_against_it():
    verdict = decide(NOTHING_AGAINST, RULES)
    assert verdict.action is Action.FINETUNE
    assert "350 corrected examples, about 4.00 EUR to spend, 5.00 EUR a day to win" in verdict.sentence
    assert all(gate.passed for gate in verdict.reasons)


@pytest.mark.parametrize(("says", "action", "now", "rules"), SUPPRESSED, ids=NAMES)
def test_decide_each_row_alone_suppresses_it(says, action, now, rules):
    verdict = decide(replace(NOTHING_AGAINST, **now), replace(RULES, **rules))
    assert (verdict.action, says in verdict.sentence) == (action, True), verdict.sentence
    failed = [gate.name for gate in verdict.reasons if not gate.passed]
    assert len(failed) == 1, failed  # the gate of this row and no other


@pytest.mark.parametrize("first", range(len(SUPPRESSED)), ids=NAMES)
def test_decide_takes_the_first_row_that_fits(first):
    rows = SUPPRESSED[first:]
    now = {key: value for _, _, part, _ in rows for key, value in part.items()}
    rules = {key: value for _, _, _, part in rows for key, value in part.items()}
    verdict = decide(replace(NOTHING_AGAINST, **now), replace(RULES, **rules))
    assert (verdict.action, SUPPRESSED[first][0] in verdict.sentence) == (SUPPRESSED[first][1], True), verdict.sentence


@pytest.mark.parametrize(("says", "action", "now", "rules"), MAY, ids=[row[0] for row in MAY])
def test_decide_what_a_person_approves_is_done(says, action, now, rules):
    verdict = decide(replace(NOTHING_AGAINST, approval="approved", **now), replace(RULES, **rules))
    assert verdict.action is Action.FINETUNE


@pytest.mark.parametrize(("says", "action", "now", "rules"), MUST, ids=[row[0] for row in MUST])
def test_decide_no_approval_lifts_what_is_not_a_persons_to_decide(says, action, now, rules):
    verdict = decide(replace(NOTHING_AGAINST, **{"approval": "approved", **now}), replace(RULES, **rules))
    assert (verdict.action, says in verdict.sentence) == (action, True)


LEARNING = Situation(DAY, learning=3, reference_days=28)
UNFIRED = replace(NOTHING_AGAINST, fired=None, changed=None, highest=730.0)


@pytest.mark.parametrize(
    ("now", "action", "says"),
    [
        (LEARNING, Action.WAIT, "25 of 28 reference days are closed"),
        (replace(LEARNING, knowledge=(0.08, 0.3, 9.0)), Action.WAIT, "25 of 28"),
        (replace(LEARNING, fired=DAY, deploy=DEPLOY), Action.ROLLBACK, "rel-2 fails more often than rel-1 did"),
        (UNFIRED, Action.WAIT, "No shift of behavior is shown: evidence 730 of the 7,300 needed, 10"),
        (replace(UNFIRED, knowledge=(0.08, 0.12, 3.0)), Action.FIX_CORPUS, "rose from 8.0% to 12.0%"),
        (replace(UNFIRED, knowledge=(0.08, 0.12, 2.9)), Action.WAIT, "No shift"),  # within chance
        (replace(UNFIRED, knowledge=(0.08, 0.1, 9.0)), Action.WAIT, "No shift"),  # too small to matter
        (replace(UNFIRED, examples=10_000, approval="approved"), Action.WAIT, "No shift"),
        (replace(UNFIRED, deploy=DEPLOY), Action.WAIT, "No shift"),
        (replace(NOTHING_AGAINST, knowledge=(0.08, 0.3, 9.0)), Action.FINETUNE, "fine-tune."),
    ],
)
def test_decide_before_anything_fired(now, action, says):
    verdict = decide(now, RULES)
    assert (verdict.action, says in verdict.sentence) == (action, True), verdict.sentence


TAINTED = Tainted("a1", 1_000, 70, 0, "60 corrected, 10 deleted", "2026-01-01")
YES, NO = replace(TAINTED, answer="approved"), replace(TAINTED, answer="denied")
# what stands against a fine-tune for tainted rows, in the order of the table: (what it says, the situation's part)
AGAINST: list[tuple[str, dict[str, Any]]] = [
    ("failed (out of memory): run it again", {"failed": "out of memory", "last_finetune": DAY}),
    ("was requested and has not ended", {"pending": True}),
    ("exceed the month's budget", {"spent": 496.5}),
    ("1 more GPU hours would exceed", {"gpu_hours": 19.5}),
]


@pytest.mark.parametrize("start", [UNFIRED, LEARNING, replace(UNFIRED, knowledge=(0.0, 1.0, 99.0))])
def test_decide_tainted_rows_propose_and_a_person_starts(start):
    verdict = decide(replace(start, tainted=TAINTED), RULES)
    assert verdict.action is Action.PROPOSE
    assert verdict.sentence.startswith(
        "7.0% of the 1,000 rows that the released adapter was trained on were corrected or deleted since (60 corrected"
    )
    assert "more than 5.0%: approve a fine-tune without them, for about 4.00 EUR" in verdict.sentence
    [gate] = [gate for gate in verdict.reasons if gate.name == "still_stands"]
    assert (gate.passed, gate.measured) == (False, "7.0% of 1,000 rows (60 corrected, 10 deleted)")
    assert verdict.evidence["tainted"] == {**TAINTED.facts(), "share": 0.07}
    approved = decide(replace(start, tainted=YES), RULES)
    assert (approved.action, "a person approved" in approved.sentence) == (Action.FINETUNE, True)


@pytest.mark.parametrize("start", [UNFIRED, LEARNING, replace(UNFIRED, knowledge=(0.08, 0.3, 9.0))])
@pytest.mark.parametrize("tainted", [Tainted(), NO, replace(TAINTED, touched=50), replace(TAINTED, rows=0)])
def test_decide_tainted_rows_below_the_limit_or_denied_change_no_verdict(start, tainted):
    verdict, plain = decide(replace(start, tainted=tainted), RULES), decide(start, RULES)
    assert (verdict.action, verdict.sentence) == (plain.action, plain.sentence)


@pytest.mark.parametrize("first", range(len(AGAINST)))
@pytest.mark.parametrize("tainted", [TAINTED, YES])
@pytest.mark.parametrize("start", [UNFIRED, LEARNING])
def test_decide_tainted_rows_wait_for_the_first_row_that_stands_against_them(start, tainted, first):
    now = {key: value for _, part in AGAINST[first:] for key, value in part.items()}
    verdict = decide(replace(start, tainted=tainted, **now), RULES)
    assert (verdict.action, AGAINST[first][0] in verdict.sentence) == (Action.BLOCKED, True), verdict.sentence


def test_decide_tainted_rows_leave_what_evidence_says():
    assert decide(replace(NOTHING_AGAINST, tainted=TAINTED), RULES).action is Action.FINETUNE
    assert decide(replace(NOTHING_AGAINST, tainted=YES, spent=499.0), RULES).action is Action.BLOCKED
    probation = replace(LEARNING, fired=DAY, deploy=DEPLOY, tainted=TAINTED)
    assert decide(probation, RULES).action is Action.ROLLBACK


def test_decide_says_that_weights_know_the_erased_whatever_it_decides():
    erased = replace(TAINTED, touched=72, erased=2, reasons="2 erased, 60 corrected, 10 deleted")
    knows = "learned from 2 rows of people who asked to be forgotten"
    for tainted, action in [(erased, Action.PROPOSE), (replace(erased, touched=2), Action.WAIT)]:
        verdict = decide(replace(UNFIRED, tainted=tainted), RULES)
        assert (verdict.action, verdict.sentence.count(knows)) == (action, 1), verdict.sentence
    alone = replace(erased, rows=20, touched=2, reasons="2 erased")
    assert "10.0% of the 20 rows that the released adapter was trained on were erased since" in alone.sentence()
    assert knows in decide(replace(NOTHING_AGAINST, tainted=erased), RULES).sentence


def test_decide_says_when_the_last_fine_tune_was_not_released():
    verdict = decide(replace(UNFIRED, tainted=TAINTED, last_released=False, last_finetune=DAY), RULES)
    assert (verdict.action, "was not released: find out why" in verdict.sentence) == (Action.PROPOSE, True)


@pytest.mark.parametrize("approval", ["approved", "denied", ""])
@pytest.mark.parametrize("rules", [RULES, replace(RULES, require_approval=True, min_examples=1, payback_days=1)])
@pytest.mark.parametrize("now", [UNFIRED, LEARNING, replace(UNFIRED, knowledge=(0.0, 1.0, 99.0))])
def test_decide_never_starts_what_the_test_has_not_shown(now, rules, approval):
    assert decide(replace(now, approval=approval), rules).action in (Action.WAIT, Action.FIX_CORPUS)


def test_decide_limits_are_reached_and_not_passed():
    edge = replace(
        NOTHING_AGAINST,
        examples=200,
        spent=496.0,
        gpu_hours=19.0,
        last_finetune=DAY - timedelta(days=7),
        excess=4 / 4500,
    )
    assert decide(edge, RULES).action is Action.FINETUNE
    assert decide(replace(edge, gpu_hours=10_000), replace(RULES, gpu_hours_per_month=None)).action is Action.FINETUNE


def test_decide_labels_moved_stop_only_what_labels_carry():
    unlabelled = {"schema_bad": 0.6, "fail": 0.4}
    assert decide(replace(NOTHING_AGAINST, labels_moved=True, shares=unlabelled), RULES).action is Action.FINETUNE


def test_decide_gives_evidence_gates_and_cost():
    verdict = decide(replace(NOTHING_AGAINST, spent=12.0), RULES)
    assert verdict.evidence["M"] == 9_000.0
    assert (verdict.evidence["fired"], verdict.evidence["changed"]) == ("2026-06-28", "2026-06-18")
    assert verdict.cost == {"finetune": 4.0, "hours": 1.0, "gain_a_day": 5.0, "spent": 12.0}
    assert {gate.name for gate in verdict.reasons} >= {"evidence", "examples", "budget", "gpu_hours", "approval"}


def test_decide_says_how_often_history_was_corrected():
    once, twice = (decide(replace(NOTHING_AGAINST, restatements=count), RULES).sentence for count in (0, 2))
    assert "correct" not in once.split(")")[0]
    assert "correct" in twice.split(")")[0]


def test_gain_is_never_negative():
    assert gain(replace(NOTHING_AGAINST, excess=-0.2), RULES) == 0
    assert gain(NOTHING_AGAINST, RULES) == 5.0


def test_knowledge_rose_needs_both_size_and_certainty():
    assert knowledge_rose(replace(UNFIRED, knowledge=(0.08, 0.11, 3.0)))
    assert not knowledge_rose(replace(UNFIRED, knowledge=(0.3, 0.1, -5.0)))
