from __future__ import annotations

import threading

import pyarrow as pa
import pytest

from assets.behavior import days
from assets.behavior.schemas import INTERACTIONS
from assets.errors import CorruptState
from orchestration.engines.lake import FolderLake
from tests.behavior.landing_tools import NOW, Desk, august, event, line, tombstone

DAY = august(2)


def built(*lines: bytes):
    desk = Desk({f"{number}.jsonl": text for number, text in enumerate(lines)})
    desk.tick()
    return desk, days.materialize(desk.lake, DAY)


def test_materialize_keeps_the_version_that_was_received_last():
    early, late = event("a", response="early", received=10), event("a", response="late", received=11)
    for lines in ((line(early, late),), (line(late, early),), (line(late), line(early))):
        desk, report = built(*lines)
        assert [row["response"] for row in desk.rows(DAY)] == ["late"]
        assert (report.rows, report.corrected, report.deleted) == (1, 1, 0)


def test_materialize_breaks_ties_by_content_whatever_the_order_of_files():
    one, two = event("a", response="one"), event("a", response="two")
    first, report = built(line(one), line(two))
    second, again = built(line(two), line(one))
    assert first.rows(DAY) == second.rows(DAY)
    assert report.digest == again.digest


def test_materialize_compares_times_and_not_their_texts():
    early = {**event("a", response="early"), "received_at": "2026-08-20T12:00:00+05:00"}
    late = {**event("a", response="late"), "received_at": "2026-08-20T11:00:00+00:00"}
    desk, _ = built(line(early, late))
    assert desk.rows(DAY)[0]["response"] == "late"


def test_materialize_places_an_event_on_the_utc_day_it_happened():
    desk = Desk({"a.jsonl": line({**event("a"), "occurred_at": "2026-08-03T01:30:00+02:00"})})
    assert desk.tick().days == (DAY,)


def test_materialize_applies_tombstones_and_later_returns():
    desk, report = built(line(event("a", received=10), tombstone("a", received=11), event("b")))
    assert [row["id"] for row in desk.rows(DAY)] == ["b"]
    assert report.deleted == 1
    desk, report = built(line(event("a", received=10), tombstone("a", received=11), event("a", received=12)))
    assert [row["id"] for row in desk.rows(DAY)] == ["a"]


def test_materialize_gives_equal_content_an_equal_digest_however_it_was_written():
    spaced = line(event("a")).replace(b'": ', b'":   ')
    extra = line(event("a", unknown=1))
    digests = {built(text)[1].digest for text in (line(event("a")), spaced, extra, line(event("a")) * 3)}
    assert len(digests) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"response": "x"},
        {"user": "u"},
        {"feedback": "up"},
        {"schema_ok": False},
        {"tags": []},
        {"corrected_response": "x"},
    ],
)
def test_materialize_gives_other_content_another_digest(change):
    assert built(line(event("a")))[1].digest != built(line(event("a", **change)))[1].digest


def test_content_digest_does_not_depend_on_chunks_and_slices():
    desk, report = built(line(*(event(f"e{i}", user=None if i % 2 else f"u{i}") for i in range(20))))
    table = desk.lake.stored[f"behavior/interactions/day={DAY}/data.parquet"]
    pieces = pa.concat_tables([table.slice(0, 7), table.slice(7, 6), table.slice(13)])
    assert days.content_digest(pieces) == report.digest
    padded = pa.concat_tables([table.slice(3, 2), table]).slice(2)
    assert days.content_digest(padded) == report.digest


def test_materialize_writes_the_schema_of_interactions_and_what_it_was_made_of():
    desk, report = built(line(event("a", feedback=None, variant="", topic="")))
    table = desk.lake.stored[f"behavior/interactions/day={DAY}/data.parquet"]
    assert table.schema.equals(INTERACTIONS)
    assert table.schema.metadata[b"twohands.inputs"].decode() == report.inputs == desk.landing.inputs()[DAY]
    row = table.to_pylist()[0]
    assert (row["feedback"], row["variant"], row["topic"], row["schema_ok"]) == ("none", "main", None, None)


def test_materialize_of_a_day_without_events_is_empty_and_clean():
    desk, report = built()
    assert report.rows == 0
    assert desk.landing.dirty_days() == []


def test_a_kill_before_the_last_write_of_a_day_leaves_the_truth():
    desk, _ = built(line(event("a")))
    memo = next(name for name in desk.lake.stored if "_inputs-" in name)
    desk.lake.remove([memo])
    assert desk.landing.dirty_days() == []  # read from the table itself
    desk.folder.files["0.jsonl"] += line(event("b"))
    desk.tick()
    assert desk.landing.dirty_days() == [DAY]


def test_a_day_whose_table_was_deleted_is_dirty():
    desk, _ = built(line(event("a")))
    desk.lake.remove([f"behavior/interactions/day={DAY}/data.parquet"])
    assert desk.landing.dirty_days() == [DAY]


def test_materialize_reads_the_next_ledger_when_a_part_was_removed_meanwhile():
    desk, _ = built(line(event("a")))
    part = next(name for name in desk.lake.stored if name.startswith("behavior/events/"))
    gone = desk.lake.stored.pop(part)
    with pytest.raises(CorruptState, match="is missing from the lake"):
        days.materialize(desk.lake, DAY)
    read = desk.lake.read

    def late(name):
        if name == part and part not in desk.lake.stored:
            desk.lake.stored[part] = gone
            return None
        return read(name)

    desk.lake.read = late
    assert days.materialize(desk.lake, DAY).rows == 1


def test_two_at_once_come_to_one_result(tmp_path):
    lake = FolderLake(tmp_path)
    desk = Desk({"a.jsonl": line(*(event(f"e{i}") for i in range(500)))}, lake=lake)
    ticks = [threading.Thread(target=desk.landing.tick) for _ in range(2)]
    for thread in ticks:
        thread.start()
    for thread in ticks:
        thread.join()
    reports = []
    builds = [threading.Thread(target=lambda: reports.append(days.materialize(lake, DAY))) for _ in range(3)]
    for thread in builds:
        thread.start()
    for thread in builds:
        thread.join()
    assert reports == reports[:1] * 3
    assert reports[0].rows == 500
    assert desk.landing.dirty_days() == []


def test_quarantined_says_which_line_why_and_when():
    desk = Desk({"a.jsonl": b"x\n", "b.jsonl": line(event("a"))})
    desk.tick()
    desk.clock += 60
    desk.folder.files["a.jsonl"] += b"[]\n"
    desk.tick()
    found = [(row["file"], row["line"], row["reason"], row["at"]) for row in days.quarantined(desk.lake)]
    assert found == [("a.jsonl", 1, "not_json", NOW), ("a.jsonl", 2, "not_an_object", NOW + 60)]
    assert desk.landing.lines() == 3


def test_quarantined_of_a_lake_without_times_has_the_files():
    desk = Desk({"a.jsonl": b"x\n"})
    desk.tick()
    (name,) = desk.lake.names("behavior/quarantine")
    desk.lake.stored[name] = desk.lake.stored[name].drop_columns(["at"])
    assert [row["at"] for row in days.quarantined(desk.lake)] == [NOW]
    desk.clock += 60
    desk.folder.files["a.jsonl"] += b"y\n"
    desk.tick()
    assert [row["at"] for row in days.quarantined(desk.lake)] == [NOW, NOW + 60]
