"""Logs in a table of the warehouse, from twohands.toml to days and what is refused; DuckDB and Postgres alike."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from assets.errors import CorruptState, EngineBusy, EngineError
from orchestration.assembly_behavior import behavior_data
from orchestration.config import load
from orchestration.engines import warehouse_dbt
from orchestration.engines import warehouse_sessions as sessions
from tests.warehouse.team import Team
from tests.warehouse.test_warehouse import HOLD

TODAY = datetime.now(UTC).date()
YESTERDAY, DAY = TODAY - timedelta(days=1), TODAY - timedelta(days=3)


def event(id: str, day: date = DAY, **more) -> dict:
    at = f"{day}T09:00:00+00:00"
    return {
        "id": id, "occurred_at": at, "received_at": at, "prompt": "When does the ferry leave?",
        "response": "At seven.", "passages": [], "release_id": "r1", "topic": "ferry", **more,
    }  # fmt: skip


def opened(request, folder) -> Team:
    return Team(folder, request.getfixturevalue("postgres_server") if request.param == "postgres" else None)


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def built(request, tmp_path_factory) -> Team:
    """A team with a table of its own; its view is built, and its table is empty."""
    team = opened(request, tmp_path_factory.mktemp(request.param) / "team")
    team.create()
    team.data().ingest()
    return team


@pytest.fixture
def team(built) -> Iterator[Team]:
    """The same, with whatever a test leaves behind taken away."""
    yield built
    built.configure()
    built.sql("delete from logs.chat_logs")
    data = built.data()
    data.ingest(days=None)
    for day in data.landing.dirty_days():
        data.interactions(day)
    assert ids(data) == {}


def build(data) -> tuple[date, ...]:
    """Reads what is new, builds the interactions of the dirty days, and returns these."""
    dirty = data.ingest().days
    for day in dirty:
        data.interactions(day)
    return dirty


def ids(data) -> dict[date, list[str]]:
    tables = {day: data.lake.read(f"behavior/interactions/day={day}/data.parquet") for day in data.landing.days()}
    return {day: table["id"].to_pylist() for day, table in tables.items() if table is not None and table.num_rows}


def refuse(*_arguments, **_options):
    raise AssertionError("dbt was started")


# ------------------------------------------------------------------------------------------------ what changes


def test_rows_become_interactions_of_their_day(team):
    team.fill([event("a"), event("b", DAY + timedelta(1), feedback="up"), event("c", user="ann", schema_ok=False)])
    data = team.data()
    assert build(data) == (DAY, DAY + timedelta(1))
    assert ids(data) == {DAY: ["a", "c"], DAY + timedelta(1): ["b"]}
    row = data.lake.read(f"behavior/interactions/day={DAY}/data.parquet").to_pylist()[1]
    assert (row["user_id"], row["schema_ok"], row["feedback"], row["passages"]) == ("ann", False, "none", "[]")
    assert row["occurred_at"] == datetime.fromisoformat(event("c")["occurred_at"])
    assert build(data) == ()


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ("update logs.chat_logs set answer = 'At eight.' where request_id = 'a'", ["a", "b"]),  # no new updated_at
        ("update logs.chat_logs set is_deleted = true, updated_at = now() where request_id = 'a'", ["b"]),
        ("delete from logs.chat_logs where request_id = 'a'", ["b"]),
        ("update logs.chat_logs set answer = agent_edit, agent_edit = answer where request_id <> 'c'", ["a", "b"]),
    ],
)
def test_change_in_the_table_dirties_exactly_its_day(team, change, left):
    team.fill([event("a", corrected_response="x"), event("b", corrected_response="y"), event("c", DAY - timedelta(1))])
    data = team.data()
    build(data)
    before = data.lake.read(f"behavior/interactions/day={DAY}/data.parquet").to_pylist()
    team.sql(change)
    assert build(data) == (DAY,)
    assert ids(data) == {DAY - timedelta(1): ["c"], DAY: left}
    assert data.lake.read(f"behavior/interactions/day={DAY}/data.parquet").to_pylist() != before


def test_late_row_dirties_exactly_its_day(team):
    team.fill([event("a"), event("b", YESTERDAY)])
    data = team.data()
    build(data)
    team.fill([event("late", received_at=f"{YESTERDAY}T01:00:00Z")])
    assert build(data) == (DAY,)
    assert ids(data)[DAY] == ["a", "late"]


def test_day_that_vanishes_is_withdrawn_and_comes_back(team):
    team.fill([event("a"), event("b", YESTERDAY)])
    data = team.data()
    build(data)
    team.sql("create table logs.aside as select * from logs.chat_logs", "delete from logs.chat_logs")
    assert build(data) == (DAY, YESTERDAY)
    assert ids(data) == {}
    assert data.ingest().files == 0  # read once
    team.sql("insert into logs.chat_logs select * from logs.aside", "drop table logs.aside")
    assert build(data) == (DAY, YESTERDAY)
    assert ids(data) == {DAY: ["a"], YESTERDAY: ["b"]}


def test_several_rows_of_an_id_are_its_versions(team):
    newer = event("a", response="At eight.", received_at=f"{DAY}T12:00:00Z")
    team.fill([event("a"), newer, event("gone"), event("gone", deleted=True, received_at=f"{DAY}T10:00:00Z")])
    data = team.data()
    build(data)
    assert ids(data) == {DAY: ["a"]}
    assert data.lake.read(f"behavior/interactions/day={DAY}/data.parquet")["response"].to_pylist() == ["At eight."]


def test_days_before_the_window_are_looked_at_when_somebody_asks(team):
    old, older = TODAY - timedelta(days=40), TODAY - timedelta(days=50)
    team.fill([event("a"), event("old", old), event("older", older)])
    data = team.data()
    assert build(data) == (DAY,)
    assert data.ingest(days=[old]).days == (old,)
    assert data.ingest(days=None).days == (older, old)
    team.sql(f"delete from logs.chat_logs where asked_at < '{DAY}'")  # noqa: S608
    data.interactions(old)
    data.interactions(older)
    assert data.ingest().days == ()  # a day that no tick looks at keeps what was read of it
    assert data.ingest(days=[old]).days == (old,)
    assert data.ingest(days=None).days == (older, old)


def test_lost_ledger_of_logs_in_a_table_is_recovered(team):
    old = TODAY - timedelta(days=40)
    team.fill([event("a"), event("b", YESTERDAY), event("old", old)])
    data = team.data()
    data.ingest(days=None)
    for day in data.landing.dirty_days():
        data.interactions(day)
    before = ids(data)
    data.lake.remove(["behavior/landing/ledger.parquet"])
    with pytest.raises(CorruptState, match="--recover"):
        data.ingest()
    data.landing.recover()
    assert data.ingest().days == ()
    team.sql("delete from logs.chat_logs where request_id <> 'b'")
    assert data.ingest(days=None).days == (old, DAY)
    for day in (old, DAY):
        data.interactions(day)
    assert ids(data) == {YESTERDAY: before[YESTERDAY]}


def test_days_before_the_first_day_are_left_alone(team):
    team.fill([event("a"), event("ancient", date(2024, 12, 31)), event("first", date(2025, 1, 1))])
    data = team.data()
    assert data.ingest(days=None).days == (date(2025, 1, 1), DAY)
    assert data.quarantined() == []
    team.configure(more='[behavior]\nfirst_day = "2025-01-02"\n')
    later = team.data()
    for day in later.landing.dirty_days():
        later.interactions(day)
    assert later.ingest().days == (date(2025, 1, 1),)  # what is too old now is withdrawn, window or not


def test_folder_and_table_feed_the_same_days(team):
    (team.folder / "landing").mkdir(exist_ok=True)
    team.configure(more='[behavior]\nlanding = "landing"\n')
    (team.folder / "landing" / "a.jsonl").write_text(json.dumps(event("file")) + "\n")
    team.fill([event("row"), event("file", response="At nine.", received_at=f"{DAY}T10:00:00Z")])
    data = team.data()
    assert build(data) == (DAY,)
    assert ids(data) == {DAY: ["file", "row"]}
    assert data.lake.read(f"behavior/interactions/day={DAY}/data.parquet")["response"].to_pylist()[0] == "At nine."
    (team.folder / "landing" / "a.jsonl").write_text("")
    build(data)
    assert ids(data) == {DAY: ["file", "row"]}  # the table's version had won


# ------------------------------------------------------------------------------------------------ what it costs


def test_tick_that_finds_nothing_costs_one_query_and_no_dbt(team, monkeypatch):
    team.fill([event(f"e{number}", YESTERDAY - timedelta(days=number)) for number in range(20)])
    data = team.data()
    build(data)
    monkeypatch.setattr(warehouse_dbt, "invoke", refuse)
    asked = queries(monkeypatch)
    assert data.ingest().files == 0
    assert len(asked) == 1
    assert data.landing.pending().files == 0
    assert len(asked) == 2
    began = time.perf_counter()
    assert data.landing.pending().files == 0
    assert (len(asked), time.perf_counter() - began < 0.2) == (2, True)  # the sensor looks every sensor_seconds


def queries(monkeypatch) -> list[str]:
    asked: list[str] = []
    for session in (sessions.DuckSession, sessions.PostgresSession):

        def rows(self, sql, real=session.rows):
            asked.append(sql)
            return real(self, sql)

        monkeypatch.setattr(session, "rows", rows)
    return asked


def test_sensor_sees_a_change_after_its_pause_and_what_it_missed_at_once(team):
    team.fill([event("a")])
    data = team.data()
    clock = [0.0]
    data.landing._origins._logs._clock = lambda: clock[0]
    build(data)
    assert data.landing.pending().files == 0
    team.fill([event("b")])
    assert data.landing.pending().files == 0
    clock[0] += 61
    first = data.landing.pending()
    assert first.files == 1
    team.fill([event("c")])
    assert data.landing.pending().digest != first.digest  # a look that found something is not believed again
    build(data)
    assert data.landing.pending().files == 0


# ------------------------------------------------------------------------------------------------ bad rows


def test_bad_rows_are_quarantined_and_the_others_are_read(team):
    team.fill([event("a"), event("b"), event("c")])
    team.sql(
        "update logs.chat_logs set request_id = null where request_id = 'a'",
        "update logs.chat_logs set retrieved = 'no list' where request_id = 'b'",
    )
    data = team.data()
    report = data.ingest()
    assert (report.accepted, report.reasons) == (1, {"missing_field": 1, "wrong_type": 1})
    assert {(row["file"], row["reason"]) for row in data.quarantined()} == {
        (f"warehouse/day={DAY}", "missing_field"),
        (f"warehouse/day={DAY}", "wrong_type"),
    }
    team.sql("delete from logs.chat_logs where request_id is null or retrieved = 'no list'")
    data.ingest()
    assert data.quarantined() == []


def test_rows_without_a_day_are_named_and_keep_nobody_out(team):
    team.fill([event("a"), event("b")])
    team.sql("update logs.chat_logs set asked_at = null where request_id = 'b'")
    report = team.data().ingest()
    assert report.accepted == 1
    assert "1 rows of" in report.left_out()["warehouse/day=null"]
    assert "Next:" in report.left_out()["warehouse/day=null"]


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "294000-01-01", "0044-03-15 BC", "1999-01-01"])
def test_times_that_no_calendar_has_stop_nothing(team, moment):
    team.fill([event("a"), event("b")])
    if "BC" in moment and not team.server:
        moment = "0044-03-15 (BC)"
    team.sql(f"update logs.chat_logs set asked_at = '{moment}' where request_id = 'b'")  # noqa: S608
    data = team.data()
    assert data.ingest(days=None).accepted == 1
    assert data.ingest().files == 0


def test_texts_of_every_kind_arrive_as_they_are(team):
    texts = ['quote\'s "and" \\ back', "tab\tline\nbreak\r\n", "naïve 😀 ünïcode", "'; drop table x; --", "<b>&amp;"]
    team.fill([event(f"e{number}", prompt=text) for number, text in enumerate(texts)])
    data = team.data()
    build(data)
    assert data.lake.read(f"behavior/interactions/day={DAY}/data.parquet")["prompt"].to_pylist() == texts


# ------------------------------------------------------------------------------------------------ time zones


def test_days_are_those_of_utc_whatever_the_zone_of_the_server(team):
    team.fill([event("late", occurred_at=f"{DAY}T23:30:00Z"), event("early", occurred_at=f"{DAY}T00:30:00Z")])
    data = team.data()
    assert data.ingest().days == (DAY,)


def test_timestamps_with_a_zone_are_mapped_alike(tmp_path, built):
    team = Team(tmp_path / "team", built.server)
    team.create(asked_at="timestamptz", updated_at="timestamptz")
    team.fill([event("a"), event("b")])
    team.sql(f"update logs.chat_logs set asked_at = '{DAY} 23:30:00-05' where request_id = 'b'")  # noqa: S608
    data = team.data()
    assert data.ingest().days == (DAY, DAY + timedelta(1))


# ------------------------------------------------------------------------------------------------ a locked warehouse


def test_file_that_is_open_elsewhere_is_said_and_read_later(team):
    if team.server:
        pytest.skip("a server bears many")
    team.fill([event("a")])
    data = team.data()
    data.warehouse.lock_seconds = 0.3
    file = str(team.home / "warehouse.duckdb")
    with subprocess.Popen([sys.executable, "-c", HOLD, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        try:
            assert shell.stdout.readline() == b"open\n"
            began = time.monotonic()
            with pytest.raises(EngineBusy, match=rf"pid {shell.pid}.*Next: close the DuckDB shell"):
                data.landing.pending()
            assert time.monotonic() - began < 5
            with pytest.raises(EngineBusy, match="Next: close the DuckDB shell"):
                data.ingest()
        finally:
            shell.kill()
    assert data.landing.pending().files == 1
    assert data.ingest().accepted == 1


def test_table_that_is_locked_is_said_and_read_later(team):
    if not team.server:
        pytest.skip("of a server")
    team.fill([event("a")])
    data = team.data()
    with team._connected(team.database) as connection, connection.transaction():
        connection.execute("lock table logs.chat_logs in access exclusive mode")
        with pytest.raises(EngineBusy, match=r"did not answer in time.*lock timeout.*Next: nothing"):
            data.landing.pending()
    assert data.landing.pending().files == 1


def test_server_that_is_down_is_said_and_the_folder_goes_on(built, tmp_path):
    if not built.server:
        pytest.skip("of a server")
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing" / "a.jsonl").write_text(json.dumps(event("file")) + "\n")
    (tmp_path / "twohands.toml").write_text(
        '[sources.docs]\nurl = "docs"\n[behavior]\nlanding = "landing"\n[warehouse]\nengine = "postgres"\nport = 1\n'
        '[warehouse.logs]\nschema_name = "logs"\ntable = "chat_logs"\n'
    )
    data = behavior_data(load(str(tmp_path / "twohands.toml"), str(tmp_path / "home")))
    assert data.landing.pending().files == 2  # the file, and a view to be built
    report = data.ingest()
    assert report.accepted == 1
    assert "127.0.0.1:1 does not answer" in report.left_out()["the warehouse's log table"]
    with pytest.raises(EngineBusy, match="does not answer"):
        data.backfill([DAY])


# ------------------------------------------------------------------------------------------------ views that changed


def test_view_that_was_dropped_is_built_again(team):
    team.fill([event("a")])
    data = team.data()
    team.sql(f"drop view {'twohands' if team.server else 'main'}.warehouse_interactions")
    assert data.landing.pending().files == 1
    assert data.ingest().accepted == 1
    assert data.landing.pending().files == 0


def test_column_that_was_dropped_is_named(team):
    cascade = "cascade" if team.server else ""
    team.sql(f"alter table logs.chat_logs drop column intent {cascade}")
    data = team.data()
    try:
        assert data.landing.pending().files == 1
        with pytest.raises(EngineError) as told:
            data.ingest()
    finally:
        team.sql("alter table logs.chat_logs add column intent text")
    assert "cannot be built over logs.chat_logs" in told.value.problem
    assert "intent" in told.value.problem
    assert "request_id" in told.value.expected
    assert "warehouse_interactions.sql" in told.value.next_step
    data.ingest()
