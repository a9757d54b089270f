"""The commands for whoever looks after the slow hand's data, over the real engines."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tests.test_cli import Project
from tests.test_cli_behavior import DAY, event


@pytest.fixture
def project(tmp_path):
    made = Project(tmp_path)
    made.configure('[behavior]\nlanding = "landing"\n')
    (made.folder / "landing").mkdir()
    return made


def land(project: Project, name: str, *lines: str) -> None:
    (project.folder / "landing" / name).write_text("".join(f"{line}\n" for line in lines))


def test_quarantined_lists_lines_with_their_reasons(project):
    land(project, "a.jsonl", json.dumps(event(1)), '{"id": 5}', "my secret")
    land(project, "b.jsonl", "[]")
    project.json("ingest")
    today = datetime.now(UTC).date().isoformat()
    found = project.json("quarantined")
    assert (found["total"], found["files"], found["days"]) == (3, {"a.jsonl": 2, "b.jsonl": 1}, {today: 3})
    assert [(row["file"], row["line"], row["reason"]) for row in found["quarantined"]] == [
        ("a.jsonl", 2, "wrong_type"), ("a.jsonl", 3, "not_json"), ("b.jsonl", 1, "not_an_object"),
    ]  # fmt: skip
    assert all(row["quarantined_at"].startswith(today) for row in found["quarantined"])
    code, out, _ = project.run("quarantined")
    assert (code, "a.jsonl:2: wrong_type" in out, "secret" in out) == (0, True, False), out


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        (("--file", "b*"), [("b.jsonl", 1)]),
        (("--reason", "not_json"), [("a.jsonl", 1), ("a.jsonl", 2)]),
        (("--days", "2025-01-01..2025-01-02"), []),
        (("--days", "2025-01-01..2031-01-02"), [("a.jsonl", 1), ("a.jsonl", 2), ("b.jsonl", 1)]),
        (("--limit", "1"), [("a.jsonl", 1)]),
    ],
)
def test_quarantined_shows_what_is_asked_for(project, options, lines):
    land(project, "a.jsonl", "x", "y")
    land(project, "b.jsonl", "[]")
    project.json("ingest")
    found = project.json("quarantined", *options)
    assert [(row["file"], row["line"]) for row in found["quarantined"]] == lines


def test_quarantined_is_empty_when_the_file_was_mended(project):
    land(project, "a.jsonl", "x")
    project.json("ingest")
    assert project.json("quarantined")["total"] == 1
    land(project, "a.jsonl", json.dumps(event(1)))
    project.json("ingest")
    assert project.run("quarantined")[:2] == (0, "no line is quarantined\n")


def test_ingest_recovers_a_lost_ledger_and_reads_the_folder(project, tmp_path):
    hand = tmp_path / "hand.jsonl"
    hand.write_text(json.dumps(event(2)) + "\n")
    land(project, "a.jsonl", json.dumps(event(1)), "x")
    project.json("ingest")
    project.json("ingest", str(hand))
    (project.folder / ".twohands" / "lake" / "behavior" / "landing" / "ledger.parquet").unlink()
    for command in (("ingest",), ("ingest", str(hand)), ("quarantined",), ("backfill", "--days", str(DAY))):
        code, _, err = project.run(*command)
        assert (code, "Next:" in err, "twohands ingest --recover" in err) == (1, True, True), err
    land(project, "b.jsonl", json.dumps(event(3)))
    said = project.json("ingest", "--recover")
    assert (said["recovered"], said["accepted"]) == ({"files": 2, "events": 2, "lost": []}, 1)
    assert project.json("backfill", "--days", str(DAY))["interactions"] == 3
    assert project.json("quarantined")["total"] == 1
    assert project.run("ingest", "--recover", str(hand))[0] == 2


def test_ingest_names_what_it_could_not_recover(project, tmp_path):
    hand = tmp_path / "hand.jsonl"
    hand.write_text(json.dumps(event(2)) + "\n")
    project.json("ingest", str(hand))
    (part,) = (project.folder / ".twohands" / "lake" / "behavior" / "events").rglob("*.parquet")
    part.unlink()
    code, out, err = project.run("ingest", "--recover", "--json")
    assert (code, [part.name in name for name in json.loads(out)["recovered"]["lost"]]) == (0, [True])
    assert f"{part.name}; its events are there again where" in err
