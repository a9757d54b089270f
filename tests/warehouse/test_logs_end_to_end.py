"""A week of the sample's logs, once as landed files and once in a table of the warehouse: the marts are the same rows.

Then people correct, delete, add and withdraw rows in the table, and the same in the files.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from assets.behavior.pipeline import BackfillReport, BehaviorData, span
from orchestration.assembly import fast_hand
from orchestration.config import load
from orchestration.landing_sensor import Cursor, step
from tests.warehouse.team import MARTS, Team

ROOT = Path(__file__).resolve().parents[2]
LAST = datetime.now(UTC).date() - timedelta(days=1)
DAYS = span(LAST - timedelta(days=7), LAST)
CORRECTED, GONE, LATE = DAYS[2], DAYS[4], DAYS[5]
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
LOST = {"feedback": "down", "corrected_response": "The warranty on frames is 11 years, and 5 on batteries."}

pytestmark = pytest.mark.timeout(600)


def settings(landing: str = "") -> str:
    """twohands.toml over the sample's handbook; the reference is frozen from the first seven days."""
    folder = f'[behavior]\nlanding = "{landing}"\n' if landing else ""
    return f'[sources.handbook]\nurl = "{ROOT}/sample/handbook"\n{folder}[decision]\nreference_days = 7\n'


@dataclass
class Landed:
    """What came of the week as files: the events of each day, before and after people corrected them, and the marts."""

    events: dict[str, list[dict]]
    corrected: dict[str, list[dict]]
    before: dict[str, list[tuple]]
    after: dict[str, list[tuple]]
    daily: list[list[dict]]
    knowledge: Path


@pytest.fixture(scope="module")
def landed(tmp_path_factory) -> Landed:
    folder = tmp_path_factory.mktemp("files")
    team = Team(folder / "team")
    team.configure(logs="", more=settings("landing"))
    hand = fast_hand(load(str(team.folder / "twohands.toml"), str(team.home)))
    hand.documents("handbook")  # the version log of passages; nothing is embedded or published
    hand.chunks("handbook")
    landing, data = team.folder / "landing", team.data()
    events = sample(folder / "sample")
    corrected = correct(events)
    write(landing, events)
    data.backfill(DAYS)
    before, daily = team.marts(), [list(data.daily())]
    write(landing, corrected)
    data.ingest()
    data.backfill([CORRECTED, GONE, LATE])
    return Landed(
        events, corrected, before, team.marts(), [*daily, list(data.daily())], team.home / "lake" / "knowledge"
    )


def sample(folder: Path) -> dict[str, list[dict]]:
    """The demo logs by the day on which they occurred."""
    made = [sys.executable, str(ROOT / "sample" / "make_interactions.py"), "--until", str(LAST), "--days", "8"]
    subprocess.run([*made, "--per-day", "60", "--out", str(folder)], check=True, stdout=subprocess.DEVNULL)
    found: dict[str, list[dict]] = defaultdict(list)
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            event = json.loads(line)
            found[event["occurred_at"][:10]].append(event)
    return dict(found)


def write(landing: Path, events: dict[str, list[dict]]) -> None:
    landing.mkdir(exist_ok=True)
    for day, found in events.items():
        (landing / f"{day}.jsonl").write_text("".join(json.dumps(event) + "\n" for event in found))


def correct(events: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """What people do: on one day a rating turned round, an answer rewritten under the old time stamp, an event flagged
    as deleted and one removed; on another all removed; on a third one event more."""
    first, second, third, _, *rest = events[str(CORRECTED)]
    first = {**first, "feedback": "down" if first.get("feedback") == "up" else "up"}
    edited = [first, {**second, **LOST, "response": "One year."}, {**third, "deleted": True}, *rest]
    late = [*events[str(LATE)], {**events[str(LATE)][0], "id": "late", **LOST}]
    return {**events, str(CORRECTED): edited, str(GONE): [], str(LATE): late}


@dataclass
class Story:
    """A team whose table holds the week, built."""

    team: Team
    data: BehaviorData
    first: BackfillReport
    before: dict[str, list[tuple]]


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def story(request, tmp_path_factory, landed) -> Story:
    server = request.getfixturevalue("postgres_server") if request.param == "postgres" else None
    team = Team(tmp_path_factory.mktemp(request.param) / "team", server)
    team.configure(more=settings())
    shutil.copytree(landed.knowledge, team.home / "lake" / "knowledge")
    team.create()
    team.fill([event for day in landed.events.values() for event in day])
    data = team.data()
    return Story(team, data, data.backfill(DAYS), team.marts())


def test_failures_get_verdicts_of_both_hands(story):
    assert story.first.days == tuple(DAYS)
    assert story.first.interactions > 300
    assert min(story.first.verdicts[verdict] for verdict in ("knowledge", "behavior")) >= 3
    assert story.data.quarantined() == []
    assert story.data.dirty_inputs() == {}


def test_marts_of_rows_are_those_of_the_same_events_as_files(story, landed):
    for mart in MARTS:
        assert story.before[mart] == landed.before[mart], mart
        assert len(landed.before[mart]) > 2, mart
    assert list(story.data.daily()) == landed.daily[0]


def test_corrected_rows_are_rebuilt_on_exactly_their_days_and_equal_corrected_files(story, landed):
    change(story.team, landed)
    cursor, found, _ = look(Cursor(), story)
    assert [request.job_name for request in found] == ["ingest_interactions"]
    assert story.data.ingest().days == (CORRECTED, GONE, LATE)
    cursor, found, _ = look(cursor, story)
    ranges = [(str(CORRECTED), str(CORRECTED)), (str(GONE), str(LATE))]
    assert [tuple(request.tags[name] for name in RANGE) for request in found] == ranges
    story.data.backfill([CORRECTED, GONE, LATE])
    assert look(cursor, story)[1:] == ([], "every landed file is read and every day is built")
    after = story.team.marts()
    for mart in MARTS:
        assert after[mart] == landed.after[mart], mart
        assert after[mart] != story.before[mart], mart
    assert {row[0] for row in after["int_outcomes"]} == set(DAYS) - {GONE}
    assert list(story.data.daily()) == landed.daily[1]


def look(cursor: Cursor, story: Story):
    """One evaluation of the sensor, in a process that has not looked before."""
    return step(cursor, story.team.data().landing.pending(), story.data, 0)


def change(team: Team, landed: Landed) -> None:
    """The corrected days in the table: rows that differ are written anew, those that are gone are deleted."""
    for day in (CORRECTED, GONE, LATE):
        old, new = landed.events[str(day)], landed.corrected[str(day)]
        ids = ", ".join(f"'{event['id']}'" for event in old if event not in new)
        if ids:
            team.sql(f"delete from logs.chat_logs where request_id in ({ids})")  # noqa: S608
        if more := [event for event in new if event not in old]:
            team.fill(more)
