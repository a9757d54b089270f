"""One budget for all variants: what a claim that has not ended keeps from the others, and what it does not."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, date, datetime
from threading import Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.behavior.schemas import partition
from assets.decision.budget import Money, Month
from assets.decision.ledger import Finished, Request, Spend
from assets.errors import GateRefused
from orchestration.engines.lake import FolderLake
from orchestration.ledger import LakeLedger
from tests.decision.house import CHANGE, REFERENCE, RULES, House, shifted

TODAY = date(2026, 11, 20)
LAST = REFERENCE + 34
ONE = replace(RULES, per_month=RULES.cost)  # the month has money for one fine-tune


# ------------------------------------------------------------------------------------------------------- the month


@pytest.fixture
def ledger(tmp_path):
    return LakeLedger(FolderLake(tmp_path))


def money(ledger, **rules) -> Money:
    """main's fine-tune is expected to take one GPU hour for 4 EUR, other's two for 8 EUR."""
    of = {"main": replace(RULES, **rules), "other": replace(RULES, finetune_hours=2.0, **rules)}
    return Money(ledger, tuple(of), of.__getitem__, lambda: TODAY)


def claim(ledger, variant: str = "main", run: str = "r1", day: int = 20, month: int = 11) -> str:
    request = Request(cause=f"verdict:{run}", run_key=run, by="test", day="2026-11-04")
    entry = request.entry(at=datetime(2026, month, day, tzinfo=UTC), variant=variant)
    ledger.append(entry)
    return entry.id


def spend(ledger, run: str, amount: float, hours: float, what="gpu") -> None:
    fact = Spend(what=what, seconds=hours * 3600, amount=amount, currency="EUR", by="test", run=run)
    ledger.append(fact.entry(at=datetime(2026, 11, 20, tzinfo=UTC), variant="main"))


def test_month_counts_every_variants_claim_as_its_rules_expect_but_the_own_ones(ledger):
    claim(ledger)
    claim(ledger, "other", "r2")
    assert money(ledger).month("main") == Month(0, 0, 8, 2)
    assert money(ledger).month("other") == Month(0, 0, 4, 1)
    assert money(ledger).month("third") == Month(0, 0, 12, 3)


@pytest.mark.parametrize("outcome", ["done", "failed", "canceled"])
def test_claim_that_has_ended_is_none(ledger, outcome):
    request = claim(ledger)
    end = Finished(request=request, run="r1", outcome=outcome)
    ledger.append(end.entry(at=datetime(2026, 10, 31, tzinfo=UTC), variant="main"))  # also when the clock went back
    spend(ledger, "r1#1", 3, 0.75)
    assert money(ledger).month("other") == Month(3, 0.75, 0, 0)


def test_claim_of_the_month_before_is_none(ledger):
    claim(ledger, day=31, month=10)
    assert money(ledger).month("other") == Month()


@pytest.mark.parametrize(("spent", "left"), [(1, 3), (4, 0), (9, 0)])
def test_what_its_run_has_spent_is_not_claimed_again(ledger, spent, left):
    claim(ledger)
    spend(ledger, "r1#a1", spent, spent / 4)
    spend(ledger, "r10", 2, 0, "encoder")
    assert money(ledger).month("other") == Month(spent + 2, spent / 4, left, left / 4)


def test_claim_of_a_variant_that_is_no_more_counts_as_the_asking_ones_would(ledger):
    claim(ledger, "gone")
    assert money(ledger).month("other").claimed == 8


def test_one_more_is_over_when_all_that_has_not_ended_leaves_no_money_or_hours(ledger):
    assert money(ledger, per_month=4.0, gpu_hours_per_month=1.0).over("main") == ""
    claim(ledger)
    assert money(ledger, per_month=8.0).over("main") == ""
    assert money(ledger, per_month=7.9).over("main") == (
        "and 4.00 EUR more would exceed the month's budget (0.00 of 7.90 EUR are spent, 4.00 are claimed by fine-tunes "
        "that have not ended)"
    )
    assert money(ledger, gpu_hours_per_month=1.5).over("main") == (
        "and 1 more GPU hours would exceed the month's 1.5 (0.00 are used, 1.00 are claimed by fine-tunes that have "
        "not ended)"
    )


# ------------------------------------------------------------------------------------------------------- the decision


@pytest.fixture
def two(tmp_path):
    """A house whose two variants shift alike, on a day on which both ask; the month has money for one of them."""
    house = House(tmp_path, shifted(), variants=("main", "other"))
    house.rules = ONE
    for number in range(CHANGE + 6):
        table = house.lake.read(name := partition("daily", house.day(number)))
        column = table.column_names.index("variant")
        twin = table.set_column(column, table.schema.field("variant"), pa.array(["other"] * table.num_rows))
        pq.write_table(pa.concat_tables([table, twin]), house.lake.root / name)
    return house.at(CHANGE + 5)


def test_variant_waits_for_the_money_that_another_has_claimed_and_asks_again_when_it_is_free(two):
    main = two.decision.judge("main")
    claimed = two.decision.finetunes.begin("main", main.id, "r1", "test")
    other = two.decision.judge("other")
    assert other.verdict.action == "blocked"
    assert "(0.00 of 4.00 EUR are spent, 4.00 are claimed by fine-tunes that have not ended)" in other.verdict.sentence
    [gate] = [gate for gate in other.verdict.reasons if gate.name == "budget"]
    assert (gate.passed, gate.measured) == (False, "0.00 + 4.00 claimed + 4.00 EUR")
    assert two.decision.judge("other").id == other.id
    two.decision.finetunes.finish(claimed, "r1", "done")
    assert two.decision.overdue("other")
    again = two.decision.judge("other")
    assert again.verdict.action == "finetune"
    assert not two.decision.finetunes.begin("other", again.id, "r2", "test").resumed


def test_verdict_of_another_variant_is_looked_at_again_when_one_claims(two):
    main, other = (two.decision.judge(name) for name in two.decision.variants)
    assert (main.verdict.action, other.verdict.action) == ("finetune", "finetune")
    assert not two.decision.overdue("other")
    two.decision.finetunes.begin("main", main.id, "r1", "test")
    assert two.decision.overdue("other")
    assert two.decision.judge("other").verdict.action == "blocked"
    assert two.decision.finetunes.due("other") is None


class Slow(LakeLedger):
    """A ledger that takes its time to write: between looking at the budget and claiming, others may come."""

    def append(self, entry) -> bool:
        time.sleep(0.2)
        return super().append(entry)


def test_two_claims_at_once_do_not_both_pass(two):
    causes = {name: two.decision.judge(name).id for name in two.decision.variants}
    won, lost = [], []

    def begin(variant: str) -> None:
        decision = two.opened(variants=tuple(causes), ledger=Slow(two.lake))
        try:
            won.append(decision.finetunes.begin(variant, causes[variant], f"run-{variant}", "test"))
        except GateRefused as error:
            lost.append(str(error))

    threads = [Thread(target=begin, args=(name,)) for name in causes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 1)
    assert "4.00 are claimed by fine-tunes that have not ended" in lost[0]
    assert "--force" in lost[0]
    assert two.kinds().count("request") == 1


def test_forced_claim_is_not_refused_and_counts(two):
    main, other = (two.decision.judge(name) for name in two.decision.variants)
    two.decision.finetunes.begin("main", main.id, "r1", "test")
    assert not two.decision.force("other", "a demo", "ann", "r2").resumed
    two.rules = replace(ONE, per_month=2 * ONE.cost)
    assert "8.00 are claimed" in two.decision._money.over("main")
    assert two.kinds().count("request") == 2
    assert other.verdict.action == "finetune"


def test_resumed_claim_is_refused_by_no_claim_not_even_its_own(two):
    main = two.decision.judge("main")
    finetunes = two.decision.finetunes
    claimed = finetunes.begin("main", main.id, "r1", "test")
    assert finetunes.begin("main", main.id, "r1", "test") == replace(claimed, resumed=True)
    finetunes.finish(claimed, "r1", "failed", "no space left")
    other = two.decision.judge("other")
    finetunes.begin("other", other.id, "r2", "test")
    assert finetunes.begin("main", main.id, "r3", "test").resumed


def test_verdict_of_the_claiming_variant_does_not_turn_on_its_own_claim(house):
    house.rules = ONE
    made = house.until_fired()
    house.decision.finetunes.begin("main", made.id, "r1", "test")
    after = house.judge()
    assert after.verdict.action == "wait"
    assert house.judge().id == after.id
    shown = house.judge(LAST)  # it did not help, and has not ended
    assert shown.verdict.action == "blocked"
    assert "a fine-tune was requested and has not ended" in shown.verdict.sentence
    assert {gate.name: gate.passed for gate in shown.verdict.reasons}["budget"]
    assert house.judge().id == shown.id
