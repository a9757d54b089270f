"""What the marts hold, on both warehouses: by definition, after corrections, and compared with a build from scratch."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import pytest

from assets.behavior.schemas import partition
from orchestration.engines.warehouse import Warehouse
from tests.warehouse import oracle
from tests.warehouse.conftest import duck
from tests.warehouse.filling import FIRST, events, fill, interaction, remove_day, write_day
from tests.warehouse.filling import days as calendar


def marts(warehouse: Warehouse) -> dict[str, list[dict]]:
    found = {"daily": warehouse.daily(), "candidates": warehouse.candidates(), "gaps": warehouse.gaps()}
    return {name: table.to_pylist() for name, table in found.items()}


def by_definition(warehouse: Warehouse, on: list[date]) -> dict[str, list[dict]]:
    gaps = oracle.gaps(warehouse.lake, on)
    return {
        "daily": oracle.daily(warehouse.lake, on),
        "candidates": [dict(sorted(row.items())) for row in oracle.candidates(warehouse.lake, on)],
        "gaps": [{"rank": rank, **gap} for rank, gap in enumerate(gaps, start=1)],
    }


def correct(warehouse: Warehouse, on: list[date]) -> list[date]:
    """Changes, deletes and adds events on three days: one edited, one emptied, one whose files are gone."""
    edited, emptied, gone = on[2], on[4], on[-2]
    dice = random.Random(99)  # noqa: S311
    rows = events(edited, 40)[15:] + [interaction(edited, number, dice) for number in range(100, 104)]
    rows[0]["feedback"], rows[1]["topic"], rows[2]["response"] = "down", "moved", "another answer"
    write_day(warehouse.lake, edited, rows, seed=1)
    write_day(warehouse.lake, emptied, [])
    remove_day(warehouse.lake, gone)
    return [edited, emptied, gone]


@dataclass
class Story:
    """A history that was built, then corrected on three days, then rebuilt there."""

    warehouse: Warehouse
    days: list[date]
    defined: dict[str, list[dict]]
    built: dict[str, list[dict]]
    corrected: dict[str, list[dict]]


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def story(request, tmp_path_factory) -> Story:
    home = tmp_path_factory.mktemp(request.param)
    opened = duck if request.param == "duckdb" else request.getfixturevalue("open_postgres")
    warehouse = opened(home)
    on = calendar(60 if request.param == "duckdb" else 8)
    fill(warehouse.lake, on, 12)
    write_day(warehouse.lake, on[2], events(on[2], 40))
    warehouse.build()
    defined, built = by_definition(warehouse, on), marts(warehouse)
    warehouse.build(correct(warehouse, on))
    return Story(warehouse, on, defined, built, marts(warehouse))


@pytest.mark.parametrize("mart", ["daily", "candidates", "gaps"])
def test_marts_hold_what_their_definitions_say(story, mart):
    assert len(story.built[mart]) > 10
    assert [dict(sorted(row.items())) for row in story.built[mart]] == [
        dict(sorted(row.items())) for row in story.defined[mart]
    ]


def test_correction_of_three_days_equals_a_rebuild_from_scratch(story, tmp_path):
    assert story.corrected != story.built
    again = Warehouse(
        project=story.warehouse.project,
        home=tmp_path,
        lake=story.warehouse.lake,
        lake_root=str(story.warehouse.lake.root),
    )
    again.build()
    scratch = marts(again)  # always on DuckDB: so the two warehouses are compared as well
    for mart, found in story.corrected.items():
        assert found == scratch[mart], mart


def test_purged_warehouse_holds_the_same_and_is_built_on(story):
    story.warehouse.purge()
    assert marts(story.warehouse) == story.corrected
    story.warehouse.build(story.days[-1:])
    assert marts(story.warehouse) == story.corrected


def test_purged_duckdb_file_holds_no_byte_of_what_was_deleted(tmp_path):
    warehouse, rows = duck(tmp_path), events(FIRST, 12)
    assert warehouse.purge() is None  # nothing is there yet
    rows[3]["prompt"] = rows[3]["corrected_response"] = "Quetzalcoatl"
    write_day(warehouse.lake, FIRST, rows)
    warehouse.build([FIRST])
    write_day(warehouse.lake, FIRST, rows[:3] + rows[4:])
    warehouse.build([FIRST])
    file = tmp_path / "warehouse.duckdb"
    assert b"Quetzalcoatl" in file.read_bytes()  # DuckDB leaves it there, also after its own VACUUM
    warehouse.purge()
    assert b"Quetzalcoatl" not in file.read_bytes()
    assert [path.name for path in tmp_path.glob("warehouse*")] == ["warehouse.duckdb"]
    assert warehouse.daily([FIRST]).num_rows > 0


def test_deleted_interactions_and_emptied_days_vanish(story):
    emptied, gone = story.days[4], story.days[-2]
    assert {row["day"] for row in story.built["daily"]} >= {emptied, gone}
    for mart in ("daily", "candidates"):
        assert not {row["day"] for row in story.corrected[mart]} & {emptied, gone}
    deleted = {row["id"] for row in events(story.days[2], 40)[:15]}
    assert deleted & {row["id"] for row in story.built["candidates"]}
    assert not deleted & {row["id"] for row in story.corrected["candidates"]}


def test_one_days_batch_reads_one_days_files(story):
    if story.warehouse.engine.target != "duckdb":
        pytest.skip("files are DuckDB's sources")
    day = story.days[-1]
    story.warehouse.build([day])
    compiled = (
        story.warehouse.scratch / f"run/compiled/twohands/models/intermediate/int_outcomes/int_outcomes_{day}.sql"
    )
    assert files_read(story.warehouse.home / "warehouse.duckdb", compiled.read_text()) == {
        partition("interactions", day),
        partition("attributions", day),
        "behavior/reference/data.parquet",
    }


def files_read(file: Path, sql: str) -> set[str]:
    """The lake's files that a query opened, as DuckDB's own profile tells."""
    with duckdb.connect(str(file), read_only=True) as connection:
        plan = "".join(row[1] for row in connection.execute(f"explain (analyze, format json) {sql}").fetchall())
    return set(re.findall(r"behavior/[\w/=.-]+", plan))


def test_rows_without_attribution_are_unclear_failures(tmp_path):
    warehouse = duck(tmp_path)
    rows = events(FIRST, 12)
    write_day(warehouse.lake, FIRST, rows)
    warehouse.lake.remove([partition("attributions", FIRST)])  # not attributed yet, and no reference either
    warehouse.build([FIRST])
    found = warehouse.daily([FIRST]).to_pylist()
    assert sum(row["n"] for row in found if row["event"] == "labelled") == 12
    assert sum(row["S"] for row in found if row["event"] in ("know", "fail")) == 0
    assert {row["event"] for row in found}.isdisjoint({"style", "edit"})
    assert {row["topic"] for row in found} == {"billing", "returns", "unassigned"}
    assert warehouse.gaps().num_rows == 0
