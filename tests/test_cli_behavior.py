"""The commands of the slow hand's data over the real engines: landed files, dbt on DuckDB, the lake."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from orchestration.assembly import fast_hand
from orchestration.config import load
from tests.test_cli import Project
from tests.warehouse.team import Team

DAY = (datetime.now(UTC) - timedelta(days=5)).date()


def event(number: int, **more) -> dict:
    at = datetime(DAY.year, DAY.month, DAY.day, 9, number, tzinfo=UTC).isoformat()
    return {
        "id": f"e{number}", "occurred_at": at, "received_at": at, "prompt": "When does the ferry leave?",
        "response": "The ferry leaves at seven.", "passages": [], "release_id": "base", "topic": "ferry", **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    made = Project(tmp_path_factory.mktemp("cli"))
    made.configure('[behavior]\nlanding = "landing"\n')
    (made.folder / "landing").mkdir()
    hand = fast_hand(load(str(made.folder / "twohands.toml")))
    hand.documents("docs")
    hand.chunks("docs")  # the version log that attribution reads; nothing is embedded
    return made


@pytest.fixture(scope="module")
def built(project):
    """A landed day, built: (what ingest said, what backfill said)."""
    lost = event(3, feedback="down", corrected_response="The ferry leaves from pier 12 at 08:45.")
    rows = [json.dumps(row) for row in (event(1), event(2, feedback="up"), lost)]
    (project.folder / "landing" / "a.jsonl").write_text("\n".join([*rows, '{"id": 5}', "not json"]) + "\n")
    ingested = project.json("ingest")
    return ingested, project.json("backfill", "--days", str(DAY))


def test_ingest_counts_and_names_the_dirty_days(built):
    assert built[0] == {"accepted": 3, "corrected": 0, "deleted": 0, "quarantined": 2, "days": [str(DAY)]}


def test_backfill_says_what_it_rebuilt(built):
    report = built[1]
    assert (report["days"], report["interactions"], report["failures"]) == ([str(DAY)], 3, {"knowledge": 1})
    assert report["daily_rows"] > 0


def test_daily_prints_the_counts_as_json_lines(project, built):
    code, out, _ = project.run("daily", "--days", str(DAY))
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert {"day": str(DAY), "variant": "main", "topic": "ferry", "event": "know", "n": 2, "S": 1} in rows
    assert project.run("daily", "--days", str(DAY + timedelta(days=1)))[1] == ""


def test_gaps_names_the_document_that_is_missing(project, built):
    (gap,) = project.json("gaps")["gaps"]
    assert (gap["kind"], gap["failures"]) == ("missing_document", 1)
    assert "ferry" in project.run("gaps")[1]


def test_gaps_builds_the_models_that_a_killed_run_did_not_come_to(project, built):
    home = project.folder / ".twohands"
    note = home / "lake" / "behavior" / "report.json"
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        connection.execute("drop table knowledge_gaps")
    assert project.json("gaps")["gaps"] == []
    note.unlink()
    assert len(project.json("gaps")["gaps"]) == 1
    assert json.loads(note.read_text())["report"]


def test_file_given_by_hand_is_read_once(project, built, tmp_path):
    file = tmp_path / "more.jsonl"
    file.write_text(json.dumps(event(4)) + "\n")
    assert project.json("ingest", str(file))["accepted"] == 1
    again = project.json("ingest", str(file))
    assert (again["accepted"], again["days"]) == (0, [str(DAY)])  # dirty until it is rebuilt


def test_file_given_by_hand_is_replaced_only_where_that_is_asked_for(project, built, tmp_path):
    file = tmp_path / "export.jsonl"
    file.write_text("".join(json.dumps(event(number)) + "\n" for number in (6, 7)))
    assert "replaced" not in project.json("ingest", str(file))
    file.write_text(json.dumps(event(7)) + "\n")
    code, _, err = project.run("ingest", str(file))
    assert (code, err.count("\n"), "--replace" in err) == (0, 1, True), err
    assert project.json("backfill", "--days", str(DAY))["interactions"] == 6
    assert project.json("ingest", "--replace", str(file))["replaced"] == 1
    assert project.run("ingest", str(file))[2] == ""
    assert project.json("backfill", "--days", str(DAY))["interactions"] == 5


def test_replacing_refuses_what_it_cannot_mean(project, tmp_path):
    (tmp_path / "more").mkdir()
    for file in (tmp_path / "a.jsonl", tmp_path / "more" / "a.jsonl"):
        file.write_text(json.dumps(event(8)) + "\n")
    code, _, err = project.run("ingest", "--replace", str(tmp_path / "a.jsonl"), str(tmp_path / "more" / "a.jsonl"))
    assert (code, "a.jsonl" in err) == (2, True)
    assert project.run("ingest", "--replace")[0] == 2


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ("yesterday", "Expected a day or a range of days"),
        ("2026-02-30", "Expected a day or a range of days"),
        ("2026-03-02..2026-03-01", "Expected the earlier day first"),
        ("1990-01-01..2026-01-01", "Expected at most"),
        ("2001-01-01..2001-01-02", "behavior.first_day"),
    ],
)
def test_backfill_refuses_days_that_make_no_sense(project, days, said):
    code, _, err = project.run("backfill", "--days", days)
    assert (code, said in err) == (2, True), err


def test_ingest_without_a_landing_folder_says_what_to_do(tmp_path):
    made = Project(tmp_path)
    made.configure('[behavior]\nlanding = "nowhere"\n')
    code, _, err = made.run("ingest")
    assert code == 1
    assert "nowhere" in err
    assert "Next:" in err


@pytest.mark.parametrize("format_", ["openai", "langfuse"])
def test_ingest_of_a_file_of_another_format_quarantines_it_and_fails(project, built, tmp_path, format_):
    file = tmp_path / "own.jsonl"
    file.write_text(json.dumps(event(9)) + "\n")
    code, out, err = project.run("ingest", "--format", format_, str(file), "--json")
    assert (code, json.loads(out)["accepted"]) == (1, 0)
    assert "own.jsonl: nothing of it was accepted" in err


def test_ingest_fails_where_a_file_holds_refused_lines_alone_and_names_it(project, built, tmp_path):
    good, bad, mixed = (tmp_path / name for name in ("good.jsonl", "bad.jsonl", "mixed.jsonl"))
    (tmp_path / "empty.jsonl").write_text("")
    good.write_text(json.dumps(event(10)) + "\n")
    bad.write_text('{"id": "t", "timestamp": "2026-08-02T10:00:00Z", "input": "q", "output": "a"}\nnot json\n')
    mixed.write_text(json.dumps(event(10)) + "\nnot json\n")
    code, out, err = project.run("ingest", str(bad), str(good), "--json")
    assert (code, json.loads(out)["accepted"], json.loads(out)["quarantined"]) == (1, 1, 2)
    assert "bad.jsonl: nothing of it was accepted; `twohands quarantined --file '*-bad.jsonl'`" in err
    assert "good.jsonl" not in err
    assert "--format" not in err  # a line that is no JSON is no export either
    assert len(project.json("quarantined", "--file", "*-bad.jsonl")["quarantined"]) == 2
    assert project.run("ingest", str(bad))[0] == 1  # again, as before
    for file in (good, mixed, mixed, tmp_path / "empty.jsonl"):  # known lines are no failure
        assert project.run("ingest", str(file))[0] == 0


def test_ingest_asks_for_the_format_of_what_lacks_the_times_of_interactions(project, built, tmp_path):
    file = tmp_path / "lf.jsonl"
    file.write_text('{"id": "t", "timestamp": "2026-08-02T10:00:00Z", "input": "q", "output": "a"}\n')
    code, _, err = project.run("ingest", str(file))
    assert (code, "if this is an export, name its format (--format)" in err) == (1, True)
    code, _, err = project.run("ingest", "--format", "langfuse", str(file))
    assert (code, err) == (0, "")


def test_replacing_by_a_damaged_file_fails_though_the_former_version_stands(project, built, tmp_path):
    file = tmp_path / "packed.jsonl.gz"
    file.write_bytes(gzip.compress(json.dumps(event(11)).encode() + b"\n"))
    assert project.json("ingest", str(file))["accepted"] == 1
    file.write_bytes(gzip.compress(json.dumps(event(12)).encode() + b"\n")[:-9])
    code, _, err = project.run("ingest", "--replace", str(file))
    assert (code, "packed.jsonl.gz: nothing of it was accepted" in err) == (1, True)


def test_gaps_before_the_first_build_is_empty(tmp_path):
    assert Project(tmp_path).json("gaps") == {"gaps": []}


def test_failures_are_unclear_before_the_first_sync_and_told_apart_after_it(tmp_path):
    made = Project(tmp_path)
    made.configure('[behavior]\nlanding = "landing"\n')
    (made.folder / "landing").mkdir()
    lost = event(1, feedback="down", corrected_response="The ferry leaves from pier 12 at 08:45.")
    (made.folder / "landing" / "a.jsonl").write_text(json.dumps(lost) + "\n")
    assert made.json("backfill", "--days", str(DAY))["failures"] == {"unclear": 1}
    assert made.json("ingest")["days"] == []
    hand = fast_hand(load(str(made.folder / "twohands.toml")))
    hand.documents("docs")
    hand.chunks("docs")
    assert made.json("ingest")["days"] == [str(DAY)]  # the first documents make the day dirty, once
    assert made.json("backfill", "--days", str(DAY))["failures"] == {"knowledge": 1}
    assert made.json("ingest")["days"] == []


def test_ingest_names_files_that_it_may_not_read(project, built, tmp_path):
    outside = tmp_path / "outside.jsonl"
    outside.write_text(json.dumps(event(9)) + "\n")
    link = project.folder / "landing" / "link.jsonl"
    link.symlink_to(outside)
    try:
        assert "link.jsonl" in project.json("ingest")["refused"]
        assert "link.jsonl was not read" in project.run("ingest")[2]
    finally:
        link.unlink()


LOGS = '[warehouse.logs]\nschema_name = "logs"\ntable = "chat_logs"\n'


def test_ingest_of_all_days_wants_logs_in_the_warehouse(project, tmp_path):
    code, _, err = project.run("ingest", "--all-days")
    assert (code, "with [warehouse.logs] set" in err) == (2, True)


def test_ingest_goes_on_with_files_and_fails_for_logs_that_are_not_there(tmp_path):
    made = Project(tmp_path)
    made.configure('[behavior]\nlanding = "landing"\n' + LOGS)
    (made.folder / "landing").mkdir()
    (made.folder / "landing" / "a.jsonl").write_text(json.dumps(event(1)) + "\n")
    code, out, err = made.run("ingest", "--json")
    said = json.loads(out)
    assert (code, said["accepted"], said["days"]) == (1, 1, [str(DAY)])
    assert "there is no table logs.chat_logs" in said["refused"]["the warehouse's log table"]
    assert "the warehouse's log table was not read: warehouse.logs: there is no table" in err
    code, _, err = made.run("backfill", "--days", str(DAY))
    assert (code, "there is no table logs.chat_logs" in err) == (1, True)


def test_logs_in_the_warehouse_from_the_command_line(tmp_path):
    made, old = Project(tmp_path), DAY - timedelta(days=60)
    made.configure(LOGS)
    (made.folder / ".twohands").mkdir()
    team = Team.__new__(Team)
    team.home, team.server = made.folder / ".twohands", None
    team.create()
    team.fill([event(1), event(2, feedback="up"), event(3, id="old", occurred_at=f"{old}T09:00:00Z")])
    assert made.json("ingest")["days"] == [str(DAY)]
    assert made.json("ingest", "--all-days")["days"] == [str(old), str(DAY)]
    assert made.json("backfill", "--days", str(DAY))["interactions"] == 2
    code, out, _ = made.run("daily")
    assert (code, {json.loads(line)["event"] for line in out.splitlines()} >= {"labelled"}) == (0, True)
    team.sql("update logs.chat_logs set thumb = -1 where request_id = 'old'")
    assert made.json("ingest")["days"] == [str(old)]  # built never
    assert made.json("backfill", "--days", str(old))["failures"] == {"unclear": 1}
