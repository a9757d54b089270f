"""An adapter whose rows do not stand any more: proposed, answered, claimed once, and asked for again."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from assets.behavior.taint.rules import OfAdapter, Share, Touch
from assets.decision.ledger import Kind
from assets.decision.tainted import FromTaints, Tainted, Untainted
from assets.errors import GateRefused
from tests.decision.house import REFERENCE, House, shifted, steady

TAINTED = Tainted("a1", 100, 7, 0, "7 corrected", "2025-12-01")


class Told:
    """Tainting that says what it is told."""

    def __init__(self, now: Tainted = TAINTED) -> None:
        self.now = now

    def of(self, variant: str) -> Tainted:
        return self.now

    def stamp(self, variant: str) -> str:
        return repr(self.now)


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def house(tmp_path, told):
    return House(tmp_path, steady(), tainting=told)


def touch(told: Told, rows: int) -> None:
    told.now = Tainted("a1", 100, rows, 0, f"{rows} corrected", "2025-12-01")


def test_tainted_adapter_is_proposed_approved_and_fine_tuned_once(house, told):
    made = house.judge(REFERENCE + 5)
    assert made.verdict.action == "propose"
    assert house.decision.finetunes.due("main") is None
    house.decision.finetunes.approve("main", "somebody")
    made = house.judge()
    assert made.verdict.action == "finetune"
    assert house.decision.finetunes.due("main")[0] == made.id
    claim = house.act(made, released=True)
    assert (claim.first, claim.last) == (date(2025, 12, 1), house.day(REFERENCE + 5))  # what it was made of, and since
    told.now = Tainted("a2", 120, 0)
    assert house.judge().verdict.action == "wait"
    assert house.kinds().count(str(Kind.REQUEST)) == 1


def test_approval_is_spent_by_the_fine_tune_that_it_led_to(house, told):
    house.judge(REFERENCE + 5)
    house.decision.finetunes.approve("main", "somebody")
    house.act(house.judge(), released=False)  # the gate refused it: the tainted one still answers
    made = house.judge()
    assert (made.verdict.action, "was not released" in made.verdict.sentence) == ("propose", True)
    with pytest.raises(GateRefused):
        house.decision.finetunes.begin("main", made.id, "run-2", "test")


def test_no_holds_until_another_limit_of_the_rows_is_touched(house, told):
    house.judge(REFERENCE + 5)
    house.decision.finetunes.approve("main", "somebody", granted=False)
    assert house.judge().verdict.action == "wait"
    touch(told, 12)
    assert house.judge().verdict.action == "wait"
    touch(told, 13)
    assert house.judge().verdict.action == "propose"
    told.now = Tainted("a2", 100, 7, 0, "7 corrected")  # the no was about a1
    assert house.judge().verdict.action == "propose"


def test_every_touched_row_makes_another_verdict_and_none_an_unread_one(house, told):
    first = house.judge(REFERENCE + 5)
    assert house.judge().id == first.id
    assert house.decision.overdue("main") == ""
    touch(told, 9)
    assert house.decision.overdue("main") != ""
    second = house.judge()
    assert (second.id != first.id, "9.0%" in second.verdict.sentence) == (True, True)
    touch(told, 0)
    assert house.judge().verdict.action == "wait"
    touch(told, 9)
    assert house.judge().verdict.action == "propose"  # it came back
    assert house.decision.history("main")[0].action == "propose"


def test_tainted_adapter_asks_while_the_reference_is_learnt_and_says_when_a_run_is_under_way(house):
    made = house.judge(4)
    assert made.verdict.action == "propose"
    house.decision.finetunes.approve("main", "somebody")
    made = house.judge()
    house.decision.finetunes.begin("main", made.id, "run-1", "test")
    made = house.judge()
    assert (made.verdict.action, "has not ended" in made.verdict.sentence) == ("blocked", True)


def test_approval_of_a_shift_is_none_of_tainted_rows(tmp_path, told):
    house = House(tmp_path, shifted(), tainting=told)
    touch(told, 0)
    house.until_fired()
    house.decision.finetunes.approve("main", "somebody")
    house.correct(*range(REFERENCE, REFERENCE + 35), by=steady())  # nothing had shifted after all
    touch(told, 7)
    assert house.judge().verdict.action == "propose"


def test_shift_is_claimed_from_its_change_on_although_rows_are_tainted(tmp_path, told):
    house = House(tmp_path, shifted(), tainting=told)
    house.judge(REFERENCE)
    made = house.until_fired()
    while made.verdict.action == "propose":
        house.today += timedelta(days=1)
        made = house.judge()
    assert made.verdict.action == "finetune"
    assert house.act(made).first == made.record.changed


def test_taint_of_the_released_adapter_is_read_from_its_report():
    class Taints:
        def released(self, variant: str) -> OfAdapter:
            return OfAdapter("a1", "d", Share(50, {Touch.ERASED: 2, Touch.CORRECTED: 3}), True, True, "2026-01-01")

        def stamp(self, variant: str) -> str:
            return variant

    found = FromTaints(Taints())  # pyright: ignore[reportArgumentType]
    assert found.of("main") == Tainted("a1", 50, 5, 2, "2 erased, 3 corrected", "2026-01-01")
    assert found.stamp("main") == "main"
    assert (Untainted().of("main"), Untainted().stamp("main")) == (Tainted(), "")
