"""A release that takes over begins a new contract; one that comes back is held against days of its own again."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from assets.behavior.schemas import DAILY, partition
from assets.decision.config import ShiftConfig
from assets.decision.pipeline import Decision
from assets.decision.policy import Rules
from orchestration.assembly_serving import answering
from orchestration.engines.lake import FolderLake
from orchestration.ledger import LakeLedger
from tests.serving.models import House

FIRST = date(2026, 10, 1)


class Nothing:
    def examples(self, *_):
        return 0

    def deploys(self, *_):
        return ()


@pytest.fixture
def house(tmp_path):
    return House(tmp_path, FolderLake(tmp_path / "lake"))


def days(house: House, count: int) -> None:
    """Days of the same 200 interactions each, from the first of October on."""
    for number in range(count):
        day = FIRST + timedelta(days=number)
        rows = [(day, "main", "ferry", event, 200, 20) for event in ("fail", "know", "labelled", "schema_bad")]
        table = pa.Table.from_pylist([dict(zip(DAILY.names, row, strict=True)) for row in rows], schema=DAILY)
        house.lake.write(partition("daily", day), table)


def decision(house: House, today: date) -> Decision:
    return Decision(
        lake=house.lake,
        ledger=LakeLedger(house.lake),
        variants=["main"],
        config=lambda _: ShiftConfig(reference_days=7),
        rules=lambda _: Rules(),
        measured=Nothing(),
        release=answering(house.releases),
        today=lambda: today,
    )


def test_new_release_begins_a_new_contract_and_a_rollback_another(house):
    days(house, 30)
    first = decision(house, FIRST + timedelta(days=20)).observe("main")
    store = decision(house, FIRST).store
    assert (first.release, store.contract("main").release) == ("base", "base")

    house.hours = int((datetime(2026, 10, 16, tzinfo=UTC) - house.now()).total_seconds() // 3600)
    id = house.promote("a1")  # on the 16th: the 17th is its first whole day
    watched = decision(house, FIRST + timedelta(days=20)).observe("main")
    assert (watched.release, watched.probation, watched.since) == (id, True, date(2026, 10, 17))
    assert store.contract("main").release == "base"  # its own reference days are not all closed
    decision(house, FIRST + timedelta(days=30)).observe("main")
    contract = store.contract("main")
    assert (contract.release, contract.first_day, contract.last_day) == (id, date(2026, 10, 17), date(2026, 10, 23))

    house.hours += 24 * 4  # on the 20th
    house.releases.rollback("main", why="w", by="ann")
    decision(house, FIRST + timedelta(days=33)).observe("main")
    contract = store.contract("main")
    assert (contract.release, contract.first_day) == ("base", date(2026, 10, 21))
