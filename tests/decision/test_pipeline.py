"""From daily counts to verdicts, day by day: what is shown, what is said again, what a correction takes back."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from assets.behavior.pipeline import BUILT
from assets.behavior.schemas import partition
from assets.decision.config import ShiftConfig
from assets.decision.counts import BadCounts
from assets.decision.ledger import Kind
from assets.decision.pipeline import Release
from assets.errors import CorruptState, EngineBusy
from tests.decision.house import CHANGE, REFERENCE, House, joined, shifted, steady
from tests.decision.streams import CONFIG, counts

LAST = REFERENCE + 34
C = CONFIG.threshold


# ---------------------------------------------------------------------------------------------------------- the verdict


def test_no_day_at_all_is_waited_for(tmp_path):
    made = House(tmp_path).judge()
    assert (made.verdict.action, made.record) == ("wait", None)
    assert made.verdict.sentence == "Learning what is usual: 0 of 28 reference days are closed."


def test_reference_is_learnt_first_and_frozen_when_its_last_day_closes(calm):
    assert "27 of 28 reference days" in calm.judge(REFERENCE - 2).verdict.sentence
    assert calm.decision.store.contract("main") is None
    made = calm.judge(REFERENCE - 1)
    contract = calm.decision.store.contract("main")
    assert (contract.first_day, contract.last_day) == (calm.day(0), calm.day(REFERENCE - 1))
    assert (made.record.since, made.record.total) == (calm.day(REFERENCE), ())


def test_no_shift_is_waited_out_with_reasons(calm):
    made = calm.judge(LAST)
    assert made.verdict.action == "wait"
    assert "No shift of behavior is shown: evidence" in made.verdict.sentence
    assert [gate.name for gate in made.verdict.reasons if not gate.passed] == ["evidence"]
    assert 0 < made.record.highest < made.record.threshold == C
    assert calm.decision.finetunes.due("main") is None
    assert calm.marts.asked == 0  # the warehouse is not asked before something is shown


def test_shift_leads_to_a_finetune_that_names_day_event_and_examples(house):
    made = house.until_fired()
    assert made.verdict.action == "finetune"
    assert abs((made.record.changed - house.day(CHANGE)).days) <= 1
    assert (made.record.event, made.record.fired) == ("fail", made.record.day)
    examples = next(gate for gate in made.verdict.reasons if gate.name == "examples")
    assert examples.measured == str(20 * ((made.record.day - made.record.changed).days + 1))
    assert house.decision.finetunes.due("main") == (made.id, made.record.key)


def test_verdict_waits_for_examples_and_stands_although_the_evidence_falls_again(tmp_path):
    house = House(tmp_path, shifted(until=CHANGE + 2))
    house.marts.per_day = 0
    made = house.judge(LAST)
    assert made.verdict.action == "wait"
    assert "0 of 20 corrected examples are there since then" in made.verdict.sentence
    assert made.record.evidence < made.record.threshold <= made.record.highest
    house.marts.per_day = 20
    assert house.judge().verdict.action == "finetune"


def test_deploy_on_the_day_of_change_suggests_a_rollback(house):
    house.marts.releases[house.day(CHANGE)] = "r2"
    made = house.until_fired()
    assert made.verdict.action == "rollback_suggested"
    assert "release r2 took over from base" in made.verdict.sentence


def test_knowledge_failures_ask_for_the_corpus_and_not_for_money(tmp_path):
    house = House(tmp_path, counts(3, days=LAST + 1, topics=2, per_day=80, know=0.5, change=CHANGE, leak=0.05))
    made = house.judge(LAST)
    assert made.verdict.action == "fix_corpus"
    assert "twohands gaps" in made.verdict.sentence


def test_budget_of_the_month_blocks(house):
    house.rules = replace(house.rules, per_month=3.0)
    made = house.until_fired()
    assert made.verdict.action == "blocked"
    assert "4.00 EUR more would exceed the month's budget (0.00 of 3.00 EUR are spent)" in made.verdict.sentence


# ------------------------------------------------------------------------------------------------------------ said once


def test_acted_evidence_never_fires_again(house):
    made = house.until_fired()
    house.write(joined(house.stream, steady(), (made.record.day - house.day(0)).days + 1))  # and it helped
    claim = house.act(made)
    assert (claim.first, claim.last) == (made.record.changed, made.record.day)
    for number in range((made.record.day - house.day(0)).days, LAST + 1, 2):
        again = house.judge(number)
        assert again.verdict.action == "wait", again.verdict.sentence
        assert again.record.since == made.record.day + timedelta(days=1)
        assert house.decision.finetunes.due("main") is None
    assert house.kinds().count("request") == 1
    assert house.decision.history("main")[-1].retracted == ""


def test_shift_that_a_finetune_did_not_undo_is_shown_anew_and_asks_a_person(house):
    house.act(house.until_fired(), released=False)
    made = house.judge(LAST)
    assert made.verdict.action == "propose"
    assert "the last fine-tune of this release was not released" in made.verdict.sentence


def test_same_snapshot_gives_the_same_bits_and_nothing_is_added(house):
    first = house.until_fired()
    names = house.lake.names("decision")
    texts = {name: house.lake.read_text(name) for name in names}
    entries = house.ledger.entries()
    again = house.opened().judge("main")
    assert (again.id, again.record) == (first.id, first.record)
    assert house.lake.names("decision") == names
    assert {name: house.lake.read_text(name) for name in names} == texts
    assert house.ledger.entries() == entries


def test_evidence_does_not_depend_on_how_often_or_when_it_was_read(tmp_path):
    often, once = House(tmp_path / "often", shifted()), House(tmp_path / "once", shifted())
    for number in range(REFERENCE - 1, CHANGE + 6):
        daily = often.judge(number)
    at_once = once.judge(CHANGE + 5)
    assert daily.record == at_once.record
    assert daily.id == at_once.id


def test_order_of_rows_and_days_in_the_lake_changes_nothing(tmp_path, house):
    first = house.judge(CHANGE + 5)
    other = House(tmp_path / "other", house.stream)
    for name in other.lake.names("behavior/daily"):
        table = other.lake.read(name)
        other.lake.write(name, table.take(np.random.default_rng(1).permutation(table.num_rows)))
    assert other.judge(CHANGE + 5).record == first.record


def test_what_has_been_seen_is_not_overdue(house):
    decision = house.at(CHANGE).decision
    assert decision.overdue("main")
    decision.judge("main")
    assert decision.overdue("main") == ""
    house.at(CHANGE + 1)
    assert decision.overdue("main")
    decision.judge("main")
    house.correct(CHANGE)
    assert decision.overdue("main")
    decision.judge("main")
    house.rules = replace(house.rules, min_examples=21)
    assert decision.overdue("main")


# ---------------------------------------------------------------------------------------------------------- corrections


def test_correction_restates_at_a_higher_threshold_each_time(calm):
    calm.judge(LAST - 5)
    for restatement in range(1, 4):
        calm.correct(REFERENCE + 3 + restatement)
        record = calm.judge().record
        assert record.restatements == restatement
        assert record.threshold == C * (restatement + 1) * (restatement + 2)
        assert record.corrected == (calm.day(REFERENCE + 3 + restatement).isoformat(),)
    later = calm.judge(LAST).record
    assert (later.restatements, later.corrected) == (3, ())
    assert len(calm.decision.store.records("main")) == 5


def test_correction_of_many_days_at_once_is_one_restatement(calm):
    calm.judge(LAST)
    calm.correct(*range(REFERENCE, LAST))
    record = calm.judge().record
    assert (record.restatements, len(record.corrected)) == (1, LAST - REFERENCE)


def test_correction_of_the_reference_changes_no_contract(calm):
    first = calm.judge(LAST).record
    calm.correct(2)
    again = calm.judge().record
    assert (again.contract, again.total, again.restatements) == (first.contract, first.total, 0)


def test_correction_retracts_a_verdict_that_nobody_acted_on_and_both_stay(house):
    made = house.until_fired()
    before = {name: house.lake.read_text(name) for name in house.lake.names("decision/evidence")}
    house.correct(*range(CHANGE, LAST + 1), by=steady())
    again = house.judge()
    assert (again.verdict.action, again.retracted) == ("wait", made.id)
    assert "closed days were corrected once" in again.verdict.sentence
    assert house.decision.finetunes.due("main") is None
    newest, former, *_ = house.decision.history("main")
    assert (newest.action, newest.retracted) == ("wait", "")
    assert (former.id, former.action, former.retracted) == (made.id, "finetune", again.verdict.sentence)
    after = {name: house.lake.read_text(name) for name in house.lake.names("decision/evidence")}
    assert before.items() < after.items()
    assert house.judge().retracted == ""
    assert house.kinds().count("retraction") == 1


def test_correction_that_is_taken_back_is_a_second_one_and_its_verdict_can_be_acted_on(house):
    """The same counts again: the verdict that was retracted is not the one that is said now."""
    original = house.stream
    made = house.judge(CHANGE + 10)
    house.correct(*range(CHANGE, LAST + 1), by=steady())
    assert house.judge().retracted == made.id
    house.write(original)
    again = house.judge()
    assert (again.record.key, again.record.restatements) == (made.record.key, 2)
    assert again.verdict.action == "finetune"
    assert again.id != made.id
    assert house.decision.finetunes.due("main")[0] == again.id
    assert house.act(again).last == again.record.day
    assert house.kinds().count("request") == 1


def test_correction_retracts_no_verdict_that_was_acted_on(house):
    made = house.until_fired()
    house.act(made)
    house.correct(*range(CHANGE, LAST + 1), by=steady())
    again = house.judge()
    assert (again.retracted, again.verdict.action) == ("", "wait")
    assert "retraction" not in house.kinds()


def test_counts_that_vanish_retract_no_verdict_that_was_acted_on(house):
    house.act(house.until_fired())
    house.lake.remove(house.lake.names("behavior/daily"))
    house.lake.write_text(BUILT, "{}")
    assert (house.judge().retracted, "retraction" in house.kinds()) == ("", False)


def test_verdict_that_was_unsaid_is_not_acted_on_although_its_snapshot_is_the_same(house):
    """wait -> finetune -> wait on one snapshot: the newest word counts, and may be said again."""
    house.marts.per_day = 0
    assert house.judge(CHANGE + 5).verdict.action == "wait"
    house.marts.per_day = 20
    first = house.judge()
    assert house.decision.finetunes.due("main")[0] == first.id
    house.marts.per_day = 0
    assert house.judge().verdict.action == "wait"
    assert house.decision.finetunes.due("main") is None
    house.marts.per_day = 20
    second = house.judge()
    assert house.decision.finetunes.due("main")[0] == second.id != first.id
    assert house.judge().id == second.id
    assert len(house.decision.history("main")) == 4


def test_day_that_loses_all_its_interactions_is_a_correction(calm):
    calm.judge(LAST)
    none = {event: 0 * table for event, table in calm.stream.n.items()}
    empty = replace(calm.stream, n=none, S=none)
    calm.correct(LAST, by=empty)
    record = calm.judge().record
    assert (record.day, record.restatements) == (calm.day(LAST - 1), 1)
    assert record.corrected == (calm.day(LAST).isoformat(),)


def test_all_counts_gone_is_said_and_fires_nothing(calm):
    kept = calm.judge(LAST).record
    calm.lake.remove(calm.lake.names("behavior/daily"))
    calm.lake.write_text(BUILT, "{}")
    gone = calm.judge()
    assert (gone.verdict.action, gone.record) == ("wait", None)
    assert gone.verdict.evidence["fired"] is None
    assert [said.day for said in calm.decision.history("main")] == ["no closed day", calm.day(LAST).isoformat()]
    calm.write(calm.stream)
    assert calm.judge().record == kept  # what comes back unchanged is no correction


# ------------------------------------------------------------------------------------------------- what ends a contract


def test_horizon_ends_and_its_last_reference_days_are_what_is_usual_next(tmp_path):
    house = House(tmp_path, steady(3 * REFERENCE))
    house.config = ShiftConfig(horizon_days=40)
    first = house.judge(REFERENCE + 39).record
    assert (first.since, len(first.total)) == (house.day(REFERENCE), 40)
    second = house.judge(REFERENCE + 40).record
    contract = house.decision.store.contract("main")
    assert contract.last_day == house.day(REFERENCE + 39)
    assert (second.since, second.contract) == (house.day(REFERENCE + 40), contract.digest)
    assert len(house.lake.names("decision/contracts")) == 2


def test_history_of_several_horizons_is_never_read_beyond_one(tmp_path):
    house = House(tmp_path, steady(6 * REFERENCE))
    house.config = ShiftConfig(horizon_days=30)
    record = house.judge(6 * REFERENCE - 1).record
    assert len(record.total) <= 30
    assert record == house.judge().record


def test_shift_that_waits_for_examples_is_not_forgotten_when_the_horizon_ends(house):
    house.config, house.marts.per_day = ShiftConfig(horizon_days=20), 0
    fired = house.judge(REFERENCE + 19).record
    assert fired.fired
    later = house.judge(REFERENCE + 30).record
    assert (later.contract, later.since, later.fired) == (fired.contract, fired.since, fired.fired)
    house.marts.per_day = 20
    house.act(house.judge())
    assert house.judge(LAST).record.since == house.day(REFERENCE + 31)


def test_other_settings_freeze_the_same_days_anew(calm):
    first = calm.judge(LAST).record
    calm.config = ShiftConfig(alpha=0.01)
    second = calm.judge().record
    assert (second.threshold, second.restatements) == (36_500, 0)
    assert second.contract != first.contract
    assert second.since == first.since


def test_new_release_is_watched_through_the_former_contract_until_it_has_its_own(tmp_path):
    house = House(tmp_path, joined(steady(4 * REFERENCE), shifted(4 * REFERENCE), CHANGE))
    old = house.judge(CHANGE).record
    house.release = Release("r2", house.day(CHANGE + 1))
    young = house.judge(CHANGE + 8)
    assert (young.record.probation, young.record.contract) == (True, old.contract)
    assert young.verdict.action == "rollback_suggested"
    grown = house.judge(CHANGE + REFERENCE)
    assert (grown.record.probation, grown.record.release) == (False, "r2")
    assert grown.verdict.action == "wait"  # what it does is what is usual for it


def test_young_release_that_does_no_harm_says_how_much_of_its_reference_is_there(calm):
    calm.judge(CHANGE)
    calm.release = Release("r2", calm.day(CHANGE + 1))
    assert "Learning what is usual: 5 of 28 reference days" in calm.judge(CHANGE + 5).verdict.sentence


def test_freezing_by_hand_forgets_the_shift_and_is_recorded(house):
    house.until_fired()
    house.judge(LAST)
    contract = house.decision.refreeze("main", "a new house style", "ann")
    assert (contract.first_day, contract.last_day) == (house.day(LAST - 27), house.day(LAST))
    assert house.decision.overdue("main")
    assert house.judge().verdict.action == "wait"
    assert house.decision.finetunes.due("main") is None
    [override] = house.ledger.entries([Kind.OVERRIDE])
    assert (override.data["by"], override.data["why"]) == ("ann", "a new house style")


def test_freezing_by_hand_wants_a_whole_reference(calm):
    calm.at(4)
    with pytest.raises(BadCounts, match=r"5 days of counts of variant 'main'.*at least 28 days"):
        calm.decision.refreeze("main", "why not", "ann")
    assert calm.kinds() == []


# ------------------------------------------------------------------------------------------------- bad input and faults


def test_contract_of_another_schema_is_refused_and_can_be_frozen_anew(calm):
    calm.judge(LAST)
    [name] = calm.lake.names("decision/contracts")
    calm.lake.write_text(name, calm.lake.read_text(name).replace('"schema": 1', '"schema": 99'))
    with pytest.raises(CorruptState, match=r"schema 99.*Expected: schema 1.*--freeze --why") as raised:
        calm.judge()
    assert name in str(raised.value)
    assert calm.kinds().count("verdict") == 1
    calm.decision.refreeze("main", "after an upgrade", "ann")
    assert calm.judge().verdict.action == "wait"


@pytest.mark.parametrize(
    "harm", [lambda text: text[:-20], lambda text: text.replace('"size": ', '"size": 1'), lambda _: "[]"]
)
def test_damaged_record_is_refused_by_name(calm, harm):
    calm.judge(LAST)
    name = calm.lake.names("decision/evidence")[-1]
    whole = calm.lake.read_text(name)
    calm.lake.write_text(name, harm(whole))
    with pytest.raises(CorruptState, match=r"is damaged.*restore it") as raised:
        calm.judge()
    assert name in str(raised.value)
    calm.lake.write_text(name, whole)
    assert calm.judge().record.day == calm.day(LAST)


class Moving:
    """A lake in which somebody rebuilds days while they are read: the first `times` readings of one day."""

    def __init__(self, house: House, times: int) -> None:
        self.house, self.times, self.reads = house, times, 0

    def __getattr__(self, name: str):
        return getattr(self.house.lake, name)

    def read(self, name: str) -> pa.Table | None:
        if name == partition("daily", self.house.day(5)):
            self.reads += 1
            if self.reads <= self.times:
                self.house.lake.write_text(BUILT, json.dumps({"build": self.reads}))
        return self.house.lake.read(name)


def test_snapshot_that_is_rebuilt_meanwhile_is_read_again(calm):
    expected = calm.judge(LAST).record
    moving = Moving(calm, times=2)
    assert calm.opened(lake=moving).observe("main") == expected
    assert moving.reads == 3


def test_snapshot_that_never_rests_is_an_error_that_time_mends(calm):
    calm.at(LAST)
    with pytest.raises(EngineBusy, match=r"changed while they were read.*wait for the backfill to end"):
        calm.opened(lake=Moving(calm, times=99)).judge("main")
    assert calm.kinds() == []
    assert calm.judge().verdict.action == "wait"


def test_clock_that_goes_back_takes_nothing_back(house):
    made = house.until_fired()
    day = (made.record.day - house.day(0)).days
    for earlier in (day - 1, day - 5, 3):
        again = house.judge(earlier)
        assert (again.id, again.record) == (made.id, made.record)
    house.act(made)
    assert house.judge(3).verdict.action == "wait"
    assert house.kinds().count("request") == 1


def test_missing_days_are_days_without_evidence(calm):
    whole = calm.judge(LAST).record
    gaps = House(calm.lake.root.parent / "gaps", calm.stream)
    gone = [gaps.day(number) for number in (3, REFERENCE + 5, REFERENCE + 6, LAST - 1)]
    gaps.lake.remove([partition("daily", day) for day in gone])
    record = gaps.judge(LAST).record
    assert len(record.total) == len(whole.total)
    assert np.isfinite(record.total).all()
    assert not {day.isoformat() for day in gone} & record.days.keys()
    assert gaps.judge().verdict.action == "wait"


def test_day_that_comes_late_is_a_correction(calm):
    late = partition("daily", calm.day(REFERENCE + 5))
    table = calm.lake.read(late)
    calm.lake.remove([late])
    calm.judge(LAST)
    calm.lake.write(late, table)
    record = calm.judge().record
    assert (record.restatements, record.corrected) == (1, (calm.day(REFERENCE + 5).isoformat(),))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"S": 99, "n": 5}, "S = 99 of n = 5"), ({"event": "joy"}, "event 'joy'"), ({"n": -1, "S": 0}, "n = -1")],
)
def test_counts_that_cannot_be_are_refused_and_decide_nothing(calm, wrong, said):
    name = partition("daily", calm.day(REFERENCE + 5))
    table = calm.lake.read(name)
    rows = table.to_pylist()
    calm.lake.write(name, pa.Table.from_pylist([{**rows[0], **wrong}, *rows[1:]], table.schema))
    calm.at(LAST)
    with pytest.raises(BadCounts, match=said):
        calm.decision.judge("main")
    assert calm.kinds() == []


def test_one_topic_is_enough(tmp_path):
    house = House(tmp_path, counts(5, days=LAST + 1, topics=1, per_day=80, shift={"fail": 1.2}, change=CHANGE))
    assert house.until_fired().verdict.action == "finetune"


def test_five_thousand_topics_are_read_quickly(tmp_path):
    house = House(tmp_path, counts(5, days=7 + 5, topics=5_000, per_day=5_000))
    house.config = ShiftConfig(reference_days=7)
    house.at(7 + 4)
    began = time.perf_counter()
    made = house.decision.judge("main")
    assert time.perf_counter() - began < 15
    assert made.verdict.action == "wait"
    assert len(made.record.topics) <= 20  # a record stays small
    assert len(house.decision.store.contract("main").topics) == 5_000


def test_variants_are_decided_apart(tmp_path):
    house = House(tmp_path)
    for variant, stream in (("main", steady()), ("other", shifted())):
        folder = tmp_path / variant
        House(folder, None).write(stream, variant)
        for name in (one := House(folder)).lake.names("behavior/daily"):
            held, more = house.lake.read(name), one.lake.read(name)
            house.lake.write(name, more if held is None else pa.concat_tables([held, more]))
    house.lake.write_text(BUILT, "{}")
    decision = house.at(CHANGE + 5).opened(variants=("main", "other"))
    house.marts.per_day = 20
    assert decision.judge("main").verdict.action == "wait"
    assert decision.judge("other").record.fired
    assert decision.finetunes.verdict("main")[1].action == "wait"
    assert decision.store.latest("main").variant == "main"


def test_days_are_those_of_the_closed_past(house):
    record = house.judge(CHANGE + 2).record
    assert record.day == house.day(CHANGE + 2)
    assert max(record.days) == house.day(CHANGE + 2).isoformat()
    assert house.decision.closed() == house.day(CHANGE + 2)
    assert isinstance(record.day, date)
