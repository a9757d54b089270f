"""The engine around dbt: arguments, the lock, failures, kills, exports, and what it leaves on the disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from datetime import date, timedelta

import duckdb
import psutil
import pytest

from assets.behavior.schemas import DAILY, partition
from assets.errors import ConfigError, EngineBusy, EngineError
from orchestration.engines import warehouse_dbt
from orchestration.engines.lake import open_lake
from orchestration.engines.warehouse import Days, PostgresSettings, Warehouse, ranges
from tests.warehouse import oracle
from tests.warehouse.conftest import PROJECT, duck, stale
from tests.warehouse.filling import FIRST, events, fill, remove_day, write_day
from tests.warehouse.filling import days as calendar

DAYS = calendar(4)


def day(number: int) -> date:
    return FIRST + timedelta(number)


def agrees(warehouse: Warehouse) -> bool:
    """Whether the daily counts of every day are what the lake's rows come to."""
    return warehouse.daily().to_pylist() == oracle.daily(warehouse.lake, DAYS)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Warehouse:
    """Four days, built and exported, in a home whose name is hard on globs and quotes. Each test leaves it whole."""
    warehouse = duck(tmp_path_factory.mktemp("it's [a] home $x"))
    fill(warehouse.lake, DAYS, 20)
    warehouse.build()
    warehouse.export_daily()
    return warehouse


# -------------------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([], []),
        ([3], [(3, 3)]),
        ([4, 3, 3, 5], [(3, 5)]),
        ([0, 7], [(0, 7)]),
        ([0, 8], [(0, 0), (8, 8)]),
        ([0, 1, 40, 90, 91], [(0, 1), (40, 40), (90, 91)]),
    ],
)
def test_ranges_join_days_that_are_close(numbers, expected):
    assert ranges(day(number) for number in numbers) == [Days(day(first), day(last)) for first, last in expected]


def test_arguments_name_the_enclosing_range(tmp_path):
    warehouse = duck(tmp_path)
    assert warehouse.arguments([day(2), day(0)]) == [
        *("build", "--event-time-start", "2026-01-01", "--event-time-end", "2026-01-04")
    ]
    assert warehouse.arguments(None, select="tag:whole") == ["build", "--select", "tag:whole"]
    assert warehouse.arguments([day(0)], exclude="tag:whole", full_refresh=True)[5:] == [
        *("--exclude", "tag:whole", "--full-refresh")
    ]


def test_environment_names_the_passwords_variable_and_never_holds_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_PASSWORD", "s3cret")
    lake = open_lake(str(tmp_path / "lake"), locks=tmp_path)
    settings = PostgresSettings(password_env="MY_PASSWORD")
    warehouse = Warehouse(project=PROJECT, home=tmp_path, lake=lake, lake_root="", target="postgres", postgres=settings)
    assert warehouse.environment["TWOHANDS_PG_PASSWORD_ENV"] == "MY_PASSWORD"
    assert "s3cret" not in str(warehouse.environment)
    assert warehouse.environment["DBT_SEND_ANONYMOUS_USAGE_STATS"] == "False"


def test_postgres_without_a_server_or_with_a_strange_schema_is_a_config_error(tmp_path):
    lake = open_lake(str(tmp_path / "lake"), locks=tmp_path)
    with pytest.raises(ConfigError, match="without a server"):
        Warehouse(project=PROJECT, home=tmp_path, lake=lake, lake_root="", target="postgres")
    with pytest.raises(ConfigError, match=r"warehouse\.schema"):
        PostgresSettings(schema='x"; drop schema public; --')


# -------------------------------------------------------------------------------------------------- dbt's project


def test_manifest_is_parsed_once_for_each_content(built, monkeypatch):
    def refuse(*_arguments, **_options):
        raise AssertionError("dbt was started")

    monkeypatch.setattr(warehouse_dbt, "invoke", refuse)
    first = built.manifest()
    assert json.loads(first.read_text())["metadata"]["project_name"] == "twohands"
    assert duck(built.home).manifest() == first
    with pytest.raises(AssertionError, match="dbt was started"):
        duck(built.home, variables={"begin": "2020-01-01"}).manifest()


def test_nothing_is_written_into_the_project(built):
    names = {path.relative_to(PROJECT).parts[0] for path in PROJECT.rglob("*")}
    assert names <= {"dbt_project.yml", "profiles.yml", "README.md", "models", "macros", "tests"}
    assert (built.scratch / "logs" / "dbt.log").exists()


def test_every_model_and_column_is_described_and_every_mart_under_contract(built):
    manifest = json.loads(built.manifest().read_text())
    models = {node["name"]: node for node in manifest["nodes"].values() if node["resource_type"] == "model"}
    tests = [node.get("attached_node") for node in manifest["nodes"].values() if node["resource_type"] == "test"]
    assert set(models) >= {
        "stg_interactions",
        "int_outcomes",
        "behavior_daily",
        "training_candidates",
        "knowledge_gaps",
    }
    for name, node in [*models.items(), *((source["name"], source) for source in manifest["sources"].values())]:
        assert node["description"], name
        assert all(column["description"] for column in node["columns"].values()), name
        if name in ("int_outcomes", "behavior_daily", "training_candidates", "knowledge_gaps"):
            assert node["config"]["contract"]["enforced"], name
            assert tests.count(node["unique_id"]) >= 3, name
    assert len(manifest["exposures"]) == 4


def test_docs_are_generated_and_describe_the_columns_that_exist(built):
    built.dbt(["docs", "generate"])
    catalog = json.loads((built.scratch / "run" / "catalog.json").read_text())["nodes"]
    manifest = json.loads((built.scratch / "run" / "manifest.json").read_text())["nodes"]
    models = {key: node for key, node in manifest.items() if node["resource_type"] == "model"}
    assert set(catalog) == set(models)
    for key, node in models.items():
        assert set(catalog[key]["columns"]) == set(node["columns"]), key
    assert (built.scratch / "run" / "index.html").exists()


def test_sources_are_stale_when_the_newest_day_is_old(built):
    with pytest.raises(EngineError, match=r"source interactions: newest 2026-01-04"):  # the days are long gone
        built.dbt(["source", "freshness"])


# -------------------------------------------------------------------------------------------------- building


def test_an_old_bad_row_does_not_fail_the_build_of_another_day(built):
    with duckdb.connect(str(built.home / "warehouse.duckdb")) as connection:
        connection.execute("insert into behavior_daily values ('2026-01-01', 'main', 'billing', 'fail', 1, 5)")
        connection.execute("insert into training_candidates (day, id) values ('2026-01-01', 'ghost')")
    built.build([DAYS[3]])
    assert not agrees(built)
    built.build([DAYS[0]])
    assert agrees(built)
    assert built.candidates().to_pylist() == [
        {name: row[name] for name in built.candidates().column_names} for row in oracle.candidates(built.lake, DAYS)
    ]


def test_a_failed_test_fails_the_build_and_is_named(built):
    rows = events(DAYS[1], 20)
    write_day(built.lake, DAYS[1], [*rows, rows[0]])
    with pytest.raises(EngineError, match=r"test stg_interactions_is_unique found 1 bad row\(s\)"):
        built.build([DAYS[1]])
    assert stale(built, DAYS) == [DAYS[1]]
    fill(built.lake, [DAYS[1]], 20)
    built.build([DAYS[1]])
    assert agrees(built)


def test_a_killed_dbt_is_busy_and_the_next_build_converges(built):
    for number in (0, 1, 2):
        write_day(built.lake, DAYS[number], events(DAYS[number], 25, seed=7), seed=7)

    def kill(line: str) -> None:
        if "Batch 1 of 3 OK" in line and "behavior_daily" in line:
            for child in psutil.Process().children():  # not the Postgres server, which may be one too
                if child.status() != psutil.STATUS_ZOMBIE and "dbt" in " ".join(child.cmdline()):
                    child.kill()

    with pytest.raises(EngineBusy, match="signal 9"):
        built.build(DAYS[:3], on_line=kill)
    assert not agrees(built)
    assert stale(built, DAYS) == DAYS[:3]
    inputs = built.inputs(DAYS)
    built.build(stale(built, DAYS))
    assert built.export_daily(DAYS, inputs) == len(oracle.daily(built.lake, DAYS))
    assert agrees(built)
    assert stale(built, DAYS) == []


# -------------------------------------------------------------------------------------------------- the export


def test_export_is_the_lakes_copy_of_the_daily_counts(built):
    built.export_daily(DAYS)
    stored = built.lake.read(partition("daily", DAYS[0]))
    assert stored.schema.equals(DAILY)
    assert stored.to_pylist() == oracle.daily(built.lake, DAYS[:1])


def test_export_leaves_equal_files_alone_and_removes_those_of_empty_days(built):
    built.export_daily()
    files = [built.lake.root / partition("daily", each) for each in DAYS]
    before = [file.stat().st_mtime_ns for file in files]
    built.export_daily()
    assert [file.stat().st_mtime_ns for file in files] == before
    remove_day(built.lake, DAYS[0])
    write_day(built.lake, DAYS[1], [])
    assert stale(built, DAYS) == DAYS[:2]
    built.build(DAYS[:2])
    built.export_daily(DAYS[:2])
    assert [file.exists() for file in files] == [False, False, True, True]
    assert stale(built, DAYS) == []


def test_an_empty_lake_has_nothing_to_build_and_nothing_to_read(tmp_path):
    warehouse = duck(tmp_path)
    assert warehouse.build().models == ()
    assert warehouse.export_daily() == 0
    tables = (warehouse.daily(), warehouse.gaps(), warehouse.candidates(), warehouse.candidates_count())
    assert [table.num_rows for table in tables] == [0, 0, 0, 0]


# -------------------------------------------------------------------------------------------------- one at a time


def test_a_second_build_waits_for_the_lock_and_names_its_holder(built):
    other = duck(built.home, lock_seconds=0.2)
    with built.locked(), built.locked():  # a thread may enter again
        refused: list[EngineBusy] = []

        def try_it() -> None:
            try:
                other.daily()
            except EngineBusy as error:
                refused.append(error)

        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
    assert f"pid {os.getpid()}" in str(refused[0])
    assert other.daily().num_rows > 0


HOLD = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"


def test_a_file_that_a_shell_has_open_is_busy_until_it_closes(built):
    file = built.home / "warehouse.duckdb"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as shell:
        assert shell.stdout.readline() == "open\n"
        try:
            with pytest.raises(EngineBusy, match=rf"pid {shell.pid}.*Next: close the DuckDB shell"):
                duck(built.home, lock_seconds=0.1).build([DAYS[0]])
            closing = threading.Timer(0.5, shell.kill)
            closing.start()
            assert duck(built.home, lock_seconds=60).daily().num_rows > 0
            closing.join()
        finally:
            shell.kill()


def test_a_damaged_file_says_what_to_do(tmp_path):
    warehouse = duck(tmp_path)
    (tmp_path / "warehouse.duckdb").write_bytes(b"this is no database" * 1000)
    with pytest.raises(EngineError, match="Next: move it away and build every day again"):
        warehouse.daily()
