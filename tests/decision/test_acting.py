"""Who may act on a verdict: one claim each, approvals, overrides, and a run that failed or was killed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from threading import Thread

import pytest

from assets.decision.counts import BadCounts
from assets.decision.ledger import Kind, Retraction
from assets.errors import GateRefused
from tests.decision.house import CHANGE, House, joined, shifted, steady

BOTH = pytest.mark.parametrize(("granted", "action"), [(True, "finetune"), (False, "blocked")], ids=["yes", "no"])


@pytest.fixture
def asked(house):
    """A house whose newest verdict is `finetune`; what comes later is as usual."""
    house.made = house.until_fired()
    house.write(joined(house.stream, steady(), (house.made.record.day - house.day(0)).days + 1))
    assert house.made.verdict.action == "finetune"
    return house


@pytest.fixture
def proposed(house):
    """A house that wants approval."""
    house.rules = replace(house.rules, require_approval=True)
    house.made = house.until_fired()
    assert house.made.verdict.action == "propose"
    return house


# ------------------------------------------------------------------------------------------------------- claims


def test_claim_is_had_once_and_by_the_same_run_again(asked):
    finetunes = asked.decision.finetunes
    claim = finetunes.begin("main", asked.made.id, "run-1", "a")
    assert not claim.resumed
    assert finetunes.begin("main", asked.made.id, "run-1", "a") == replace(claim, resumed=True)
    with pytest.raises(GateRefused, match=r"was claimed by run run-1.*one fine-tune for a verdict"):
        finetunes.begin("main", asked.made.id, "run-2", "b")
    assert asked.kinds().count("request") == 1


def test_claim_has_one_winner_among_many(asked):
    won, lost = [], []

    def claim(run: str) -> None:
        try:
            won.append(asked.opened().finetunes.begin("main", asked.made.id, run, run))
        except GateRefused:
            lost.append(run)

    threads = [Thread(target=claim, args=(f"run-{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 5)


def test_claim_of_an_older_verdict_or_of_none_is_refused(asked):
    with pytest.raises(GateRefused, match="no verdict asks for a fine-tune of variant 'main': Behavior shifted"):
        asked.decision.finetunes.begin("main", "verdict:main:another:finetune", "run-1", "a")
    asked.marts.per_day = 0
    asked.judge()
    with pytest.raises(GateRefused, match="no verdict asks for a fine-tune"):
        asked.decision.finetunes.begin("main", asked.made.id, "run-1", "a")
    with pytest.raises(GateRefused, match="there is no verdict yet"):
        asked.decision.finetunes.begin("other", asked.made.id, "run-1", "a")
    assert "request" not in asked.kinds()


def test_verdict_that_a_kill_left_retracted_and_newest_is_not_acted_on(asked):
    """`judge` died after the retraction and before the next verdict."""
    asked.ledger.append(Retraction(verdict=asked.made.id, why="w").entry(at=datetime.now(UTC), variant="main"))
    assert asked.decision.finetunes.due("main") is None
    with pytest.raises(GateRefused):
        asked.decision.finetunes.begin("main", asked.made.id, "run-1", "a")


def test_finetune_under_way_blocks_nothing_but_another(asked):
    claim = asked.decision.finetunes.begin("main", asked.made.id, "run-1", "a")
    made = asked.judge()
    assert made.verdict.action == "wait"
    assert f"counted anew after the fine-tune of {claim.last}" in made.verdict.sentence


# ------------------------------------------------------------------------------------------------------- failures


def test_run_that_failed_blocks_until_it_is_run_again_to_a_good_end(asked):
    finetunes = asked.decision.finetunes
    claim = finetunes.begin("main", asked.made.id, "run-1", "a")
    finetunes.finish(claim, "run-1", "failed", "no space left")
    blocked = asked.judge()
    assert blocked.verdict.action == "blocked"
    assert "failed (no space left): run it again" in blocked.verdict.sentence
    again = finetunes.begin("main", asked.made.id, "run-1", "a")
    finetunes.finish(again, "run-1", "failed", "no space left, again")
    finetunes.finish(again, "run-1", "done", released=True)
    finetunes.finish(again, "run-1", "done", "said twice")
    assert [e.data["outcome"] for e in asked.ledger.entries([Kind.FINISHED])] == ["failed", "failed", "done"]
    assert asked.judge().verdict.action == "wait"
    assert asked.kinds().count("request") == 1


def test_run_that_failed_may_be_taken_over_and_one_that_goes_on_may_not(asked):
    finetunes = asked.decision.finetunes
    claim = finetunes.begin("main", asked.made.id, "dagster-run", "behavior_shifted")
    assert finetunes.resumable("main", "cli-") is None
    finetunes.note_failed("main", claim.request, "dagster-run", "the run ended as FAILURE")
    cause = finetunes.resumable("main", "cli-")
    assert cause == asked.made.id
    assert finetunes.begin("main", cause, "cli-1", "ann").resumed
    finetunes.finish(claim, "cli-1", "done")
    assert finetunes.resumable("main", "cli-") is None
    with pytest.raises(GateRefused):
        finetunes.begin("main", cause, "cli-2", "ann")


def test_claim_that_a_kill_left_is_found_by_those_whose_it_is(asked):
    asked.decision.finetunes.begin("main", asked.made.id, "cli-1", "ann")
    finetunes = asked.opened().finetunes
    assert finetunes.resumable("main", "cli-") == asked.made.id
    assert finetunes.resumable("main", "other-") is None


# ------------------------------------------------------------------------------------------------------- approvals


def test_approval_turns_a_proposal_into_a_finetune(proposed):
    finetunes = proposed.decision.finetunes
    assert finetunes.due("main") is None
    assert finetunes.approve("main", "ann", "looks right") == proposed.made.id
    assert proposed.decision.overdue("main")
    made = proposed.judge()
    assert made.verdict.action == "finetune"
    assert finetunes.due("main")[0] == made.id
    later = proposed.judge((made.record.day - proposed.day(0)).days + 1)
    assert later.verdict.action == "finetune"  # the answer holds for later verdicts on the same change


def test_refusal_blocks_and_a_person_may_change_their_mind(proposed):
    finetunes = proposed.decision.finetunes
    finetunes.approve("main", "ann", "no time", granted=False)
    denied = proposed.judge()
    assert denied.verdict.action == "blocked"
    assert "a person decided against a fine-tune" in denied.verdict.sentence
    for _ in range(2):  # yes, then no, then yes, then no
        finetunes.approve("main", "ann")
        assert proposed.judge().verdict.action == "finetune"
        assert finetunes.due("main")
        finetunes.approve("main", "ben", granted=False)
        assert proposed.judge().verdict.action == "blocked"
        assert finetunes.due("main") is None
    assert proposed.kinds().count("approval") == 5


def test_approval_ends_with_the_evidence_that_it_was_given_to(proposed):
    proposed.decision.finetunes.approve("main", "ann")
    proposed.act(proposed.judge())
    made = proposed.until_fired(CHANGE + 8)
    assert made.verdict.action == "propose"
    assert "need approval here" in made.verdict.sentence


@BOTH
def test_answer_ends_with_the_retraction_of_what_was_answered_or_said_since(house, granted, action):
    house.rules = replace(house.rules, require_approval=True)
    original = house.stream
    house.judge(CHANGE + 10)
    house.decision.finetunes.approve("main", "ann", granted=granted)
    answered = house.judge()
    assert answered.verdict.action == action
    house.correct(*range(CHANGE, house.stream.days), by=steady())
    assert house.judge().retracted == answered.id  # not the proposal that ann answered
    house.write(original)  # and it had shifted after all
    again = house.judge()
    assert (again.verdict.action, again.record.restatements) == ("propose", 2)
    house.decision.finetunes.approve("main", "ann", granted=granted)
    assert house.judge().verdict.action == action


@BOTH
def test_answer_that_was_given_to_a_retracted_verdict_ends(house, granted, action):
    house.rules = replace(house.rules, require_approval=True)
    original, made = house.stream, house.judge(CHANGE + 10)
    house.decision.finetunes.approve("main", "ann", granted=granted)
    house.correct(*range(CHANGE, house.stream.days), by=steady())
    assert house.judge().retracted == made.id
    house.write(original)
    assert house.judge().verdict.action == "propose"


@BOTH
def test_answer_holds_for_no_other_change(house, granted, action):
    """A correction moves the shift to days that nobody had seen when the question was answered."""
    house.rules = replace(house.rules, require_approval=True)
    made = house.until_fired()
    house.decision.finetunes.approve("main", "ann", granted=granted)
    later = (made.record.day - house.day(0)).days + 5
    house.write(joined(steady(), shifted(), later))
    moved = house.judge(later + 12)
    assert (moved.record.fired > made.record.day, moved.record.since) == (True, made.record.since)
    assert moved.verdict.action == "propose"
    assert "retraction" not in house.kinds()


@BOTH
def test_answer_to_a_later_change_holds_for_no_earlier_one(house, granted, action):
    house.rules = replace(house.rules, require_approval=True)
    original = house.stream
    house.write(joined(steady(), original, CHANGE + 10))
    house.judge(CHANGE + 20)
    house.decision.finetunes.approve("main", "ann", granted=granted)
    assert house.judge().verdict.action == action
    house.write(joined(original, steady(), CHANGE + 6))
    moved = house.judge()
    assert moved.record.fired < house.day(CHANGE + 10)
    assert moved.verdict.action == "propose"


def test_verdict_that_a_kill_left_retracted_cannot_be_answered(proposed):
    retraction = Retraction(verdict=proposed.made.id, why="w")
    proposed.ledger.append(retraction.entry(at=datetime.now(UTC), variant="main"))
    with pytest.raises(GateRefused, match="has no verdict to approve"):
        proposed.decision.finetunes.approve("main", "ann")


def test_nothing_to_approve_is_refused(tmp_path, asked):
    with pytest.raises(GateRefused, match="There is no verdict yet"):
        House(tmp_path / "none").decision.finetunes.approve("main", "ann")
    asked.act(asked.made)
    with pytest.raises(GateRefused, match="has no verdict to approve"):
        asked.decision.finetunes.approve("main", "ann")  # it is done already
    asked.judge()
    with pytest.raises(GateRefused, match=r"has no verdict to approve: No shift of behavior is shown.*twohands shift"):
        asked.decision.finetunes.approve("main", "ann")
    assert "approval" not in asked.kinds()


# ------------------------------------------------------------------------------------------------------- overrides


def test_override_is_recorded_and_consumes_the_evidence(asked):
    claim = asked.decision.force("main", "a demo tomorrow", "ann", "run-9")
    assert (claim.first, claim.last) == (asked.day(0), asked.made.record.day)
    [override] = asked.ledger.entries([Kind.OVERRIDE])
    assert (override.data["why"], override.data["by"], override.id) == ("a demo tomorrow", "ann", claim.cause)
    assert asked.judge().record.since > claim.last
    assert asked.decision.finetunes.due("main") is None
    again = asked.decision.force("main", "a demo tomorrow", "ann", "run-9")
    assert again == replace(claim, resumed=True)
    assert asked.kinds().count("request") == 1


def test_override_before_the_first_closed_day_is_refused(tmp_path):
    house = House(tmp_path)
    with pytest.raises(BadCounts, match=r"no closed day up to 2026-01-02.*backfill"):
        house.decision.force("main", "I want it", "ann", "run-1")
    assert house.kinds() == []


def test_cool_down_holds_after_an_override(house):
    house.at(CHANGE)
    house.decision.finetunes.finish(house.decision.force("main", "why not", "ann", "r"), "r", "done", released=True)
    made = house.judge(CHANGE + 5)
    assert made.record.fired
    assert made.verdict.action == "wait"
    assert f"the last fine-tune cools down until {house.day(CHANGE + 7)}" in made.verdict.sentence
    assert house.judge(CHANGE + 7).verdict.action == "finetune"
