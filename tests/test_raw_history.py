"""`twohands replay --interactions`: the same as the replay of their daily counts, and nothing written at home."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestration.assembly import fast_hand
from orchestration.config import load
from tests.test_cli import Project

CORRECTED = "The ferry leaves from pier 12 at 08:45."


def interactions(start: datetime, days: int) -> list[dict]:
    """Six a day: two liked, one that lacked a document, one that a person cut short, two without a word."""
    found = []
    for number in range(days * 6):
        day, hour = divmod(number, 6)
        at = (start + timedelta(days=day, hours=hour)).isoformat()
        said: dict[str, Any] = {"feedback": "up"} if hour < 2 else {}
        if hour == 2:
            said = {"feedback": "down", "corrected_response": CORRECTED}
        found.append(
            {
                "id": f"e{number}",
                "occurred_at": at,
                "received_at": at,
                "prompt": "When does the ferry leave?",
                "response": "The ferry leaves at seven.",
                "passages": [],
                "release_id": "base",
                "topic": "ferry" if hour % 2 else "piers",
                **said,
            }
        )
    return found


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Project:
    """A project whose documents are read, with twelve days of interactions in a folder that nobody ingested."""
    made = Project(tmp_path_factory.mktemp("raw"))
    made.configure("[decision]\nreference_days = 7\n[behavior]\nlanding = 'raw'\n")
    hand = fast_hand(load(str(made.folder / "twohands.toml")))
    hand.documents("docs")
    hand.chunks("docs")
    (made.folder / "raw").mkdir()
    start = datetime.now(UTC).replace(hour=1, minute=0, second=0, microsecond=0) - timedelta(days=20)
    found = [json.dumps(event) for event in interactions(start, 12)]
    (made.folder / "raw" / "a.jsonl").write_text("\n".join([*found, '{"id": 5}']) + "\n")
    return made


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_replay_of_interactions_is_that_of_their_daily_counts(raw):
    before = files(raw.folder)
    code, out, err = raw.run("replay", "--interactions", str(raw.folder / "raw"))
    assert code == 0, err
    assert files(raw.folder) == before  # nothing was written at home
    assert "72 interactions; failures: 12 knowledge" in err
    assert "1 line quarantined" in err
    found = [json.loads(line) for line in out.splitlines()]
    assert (len(found), found[5]["verdict"]) == (12, "wait")
    assert "No shift of behavior is shown" in found[-1]["reason"]

    assert raw.run("ingest")[0] == 0
    assert raw.run("backfill", "--days", f"{found[0]['day']}..{found[-1]['day']}")[0] == 0
    (raw.folder / "daily.jsonl").write_text(raw.run("daily")[1])
    assert raw.run("replay", str(raw.folder / "daily.jsonl"))[1] == out


def test_replay_of_a_folder_without_interactions_is_refused(raw, tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    code, out, err = raw.run("replay", "--interactions", str(tmp_path))
    assert (code, out) == (1, "")
    assert "has no interactions that can be read" in err
