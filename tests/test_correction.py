"""Sixty days of the sample's logs; events of three of them are changed, deleted and added; those three are rebuilt.

Every mart must then equal a rebuild from scratch, row for row. The days lie after those that the reference is frozen
from: a rebuild from scratch would freeze another one (docs/decisions/0007-behavior-data.md).
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from assets.behavior.pipeline import BehaviorData, span
from orchestration.assembly import fast_hand
from orchestration.assembly_behavior import behavior_data
from orchestration.config import load

ROOT = Path(__file__).resolve().parent.parent
LAST = date(2026, 10, 31)
FIRST = LAST - timedelta(days=59)
CORRECTED = [FIRST + timedelta(days=number) for number in (34, 35, 50)]
MARTS = ("int_outcomes", "behavior_daily", "training_candidates", "knowledge_gaps")

pytestmark = pytest.mark.timeout(600)


def opened(folder: Path, home: str) -> BehaviorData:
    (folder / "twohands.toml").write_text(
        f'[sources.handbook]\nurl = "{ROOT}/sample/handbook"\n[behavior]\nlanding = "landing"\n'
    )
    return behavior_data(load(str(folder / "twohands.toml"), str(folder / home)))


def read_handbook(folder: Path, home: str) -> None:
    """The version log of the handbook's passages; nothing is embedded or published."""
    hand = fast_hand(load(str(folder / "twohands.toml"), str(folder / home)))
    hand.documents("handbook")
    hand.chunks("handbook")


def rows(folder: Path, home: str) -> dict[str, list[tuple]]:
    with duckdb.connect(str(folder / home / "warehouse.duckdb"), read_only=True) as connection:
        return {mart: connection.table(mart).order("all").fetchall() for mart in MARTS}


def correct(file: Path) -> None:
    """Removes the first event, turns a rating round and rewrites an answer of others, and adds one."""
    events = [json.loads(line) for line in file.read_text().splitlines()]
    first, second, third, *rest = events
    second["feedback"] = "down" if second.get("feedback") == "up" else "up"
    third |= {"feedback": "down", "corrected_response": f"- {third['response']}\n- Ask the desk on floor 9."}
    added = {**first, "id": f"{first['id']}-added", "feedback": "up"}
    file.write_text("".join(json.dumps(event) + "\n" for event in (second, third, *rest, added)))


def test_backfill_of_corrected_days_equals_a_rebuild_from_scratch(tmp_path):
    landing = tmp_path / "landing"
    made = [sys.executable, str(ROOT / "sample" / "make_interactions.py"), "--until", str(LAST), "--out", str(landing)]
    subprocess.run([*made, "--per-day", "12"], check=True, stdout=subprocess.DEVNULL)
    data = opened(tmp_path, "home")
    read_handbook(tmp_path, "home")
    data.backfill(span(FIRST, LAST))
    before = rows(tmp_path, "home")
    assert data.dirty_inputs() == {}

    for day in CORRECTED:
        correct(landing / f"{day}.jsonl")
    assert data.ingest().days == tuple(CORRECTED)
    assert sorted(data.dirty_inputs()) == CORRECTED
    data.backfill(CORRECTED)
    assert data.dirty_inputs() == {}

    scratch_data = opened(tmp_path, "scratch")
    read_handbook(tmp_path, "scratch")
    scratch_data.backfill(span(FIRST, LAST))
    after, scratch = rows(tmp_path, "home"), rows(tmp_path, "scratch")
    for mart in MARTS:
        assert after[mart] == scratch[mart], mart
        assert len(after[mart]) > 10
        assert after[mart] != before[mart], mart
    assert list(data.daily()) == list(scratch_data.daily())
