"""A ledger of the landing folder that is lost or damaged: refused, and made again without losing or doubling a row."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.behavior import days
from assets.behavior.landing.ledger import FILE, LEDGER, UNUSED
from assets.errors import CorruptState
from orchestration.engines.lake import FolderLake
from tests.behavior.landing_tools import Desk, event, line, tombstone
from tests.behavior.test_landing_property import STEP, apply


def desk(lake=None) -> Desk:
    """Files of every fate: grown, replaced, deleted, compressed, given by hand and replaced; an id that moved a day."""
    made = Desk({"grown.jsonl": line(event("a", 2))}, lake=lake)
    files = made.folder.files
    made.tick()
    files["grown.jsonl"] += line(event("b", 3)) + b"not json\n"
    files["replaced.jsonl"] = line(event("c", 2), event("withdrawn", 2), event("d", 4))
    files["deleted.jsonl"] = line(event("e", 5), event("f", 5)) + b"[]\n"
    files["packed.jsonl.gz"] = gzip.compress(line(event("g", 6)))
    made.tick()
    del files["deleted.jsonl"]
    files["replaced.jsonl"] = line(event("c", 2), event("d", 4, 22, response="better"))
    files["moved.jsonl"] = line(event("a", 7, 25), tombstone("f", 5))
    made.tick()
    made.landing.ingest("hand.jsonl", line(event("h", 8), event("i", 9)))
    made.landing.ingest("hand.jsonl", line(event("h", 8), event("j", 9)), replacing=True)
    made.build()
    return made


def test_lost_ledger_is_refused_and_nothing_is_changed():
    made = desk()
    stored = dict(made.lake.stored)
    del made.lake.stored[LEDGER], stored[LEDGER]
    for look in (made.tick, made.landing.dirty_days, made.landing.pending, made.landing.counts, made.build):
        with pytest.raises(CorruptState, match="twohands ingest --recover"):
            look()
    assert made.lake.stored == stored


def test_first_tick_that_was_killed_is_no_lost_ledger():
    made = desk()
    parts = {name: table for name, table in made.lake.stored.items() if name.startswith("behavior/events/")}
    fresh = Desk({"a.jsonl": line(event("a"))})
    fresh.lake.stored |= parts
    assert fresh.tick().accepted == 1


@pytest.mark.parametrize("damage", [b"", b"PAR1 not really PAR1", None, "other"])
def test_damaged_ledger_is_refused_and_recovered(tmp_path, damage):
    made = desk(FolderLake(tmp_path))
    file, good = tmp_path / LEDGER, made.landing.counts()
    if damage == "other":
        made.lake.write(LEDGER, pa.table({"path": ["a"], "days": [1], "accepted": [2], "size": ["x"]}))
    elif damage is None:
        file.unlink()
    else:
        file.write_bytes(damage)
    with pytest.raises(CorruptState, match="twohands ingest --recover"):
        made.tick()
    assert made.landing.recover().lost == ()
    made.tick()
    assert made.landing.dirty_days() == []
    assert made.landing.counts().events == good.events
    assert made.tick().files == 0


@pytest.mark.parametrize("known", ["nothing is lost", "ledger", "ledger and unused", "paths of parts"])
def test_recovered_ledger_comes_to_the_same_rows(known):
    made = desk()
    tables, refused, counts = made.tables(), made.quarantined(), made.landing.counts()
    made.clock += 7_200
    made.folder.files["one more.jsonl"] = b""
    made.tick()  # what was replaced is removed by now
    if known != "nothing is lost":
        del made.lake.stored[LEDGER]
    if known in ("ledger and unused", "paths of parts"):
        made.lake.stored.pop(UNUSED, None)
    if known == "paths of parts":  # written by a version that did not note them
        for name in made.lake.names("behavior/events"):
            made.lake.stored[name] = made.lake.stored[name].replace_schema_metadata(None)
    assert made.landing.recover().lost == ()
    assert made.landing.dirty_days() == []  # as it is, before any file is read again
    made.tick()
    assert made.landing.dirty_days() == []
    assert (made.quarantined(), made.landing.counts().events) == (refused, counts.events)
    for day in made.landing.days():
        days.materialize(made.lake, day)
    assert made.tables() == tables


def test_recovered_ledger_goes_on_as_before():
    made = desk()
    del made.lake.stored[LEDGER]
    made.landing.recover()
    made.tick()
    made.folder.files["grown.jsonl"] += line(event("k", 3))
    made.folder.files["replaced.jsonl"] = line(event("c", 2))
    assert made.tick().accepted == 1
    again = made.landing.ingest("hand.jsonl", line(event("h", 8), event("j", 9)), replacing=True)
    assert (again.accepted, again.days) == (0, tuple(made.landing.dirty_days()))
    made.landing.ingest("hand.jsonl", line(event("h", 8)), replacing=True)
    made.build()
    assert made.ids() == {
        "08-02": ["c"], "08-03": ["b", "k"], "08-05": ["e"], "08-06": ["g"], "08-07": ["a"], "08-08": ["h"],
    }  # fmt: skip


def test_part_that_is_lost_is_named_and_read_again_where_its_file_is_there(tmp_path):
    made = desk(FolderLake(tmp_path))
    before = {day: days.materialize(made.lake, day).digest for day in made.landing.days()}
    by_file = {}
    for name in made.lake.names("behavior/events"):
        by_file[made.lake.columns(name, ["id"]).schema.metadata[FILE].decode()] = name
    (tmp_path / by_file["packed.jsonl.gz"]).unlink()
    (tmp_path / by_file["deleted.jsonl"]).write_bytes(b"PAR1")
    with pytest.raises(CorruptState, match="twohands ingest --recover"):
        [days.materialize(made.lake, day) for day in before]
    assert set(made.landing.recover().lost) == {by_file["packed.jsonl.gz"], by_file["deleted.jsonl"]}
    made.tick()
    dirty = made.landing.dirty_days()
    assert [day.isoformat() for day in dirty] == ["2026-08-05"]  # of the file that is gone
    after = {day: days.materialize(made.lake, day).digest for day in before}
    assert {day for day in before if before[day] != after[day]} == set(dirty)


def test_list_of_moved_ids_that_is_lost_doubles_no_id():
    made = desk()
    (name,) = [name for name in made.lake.names("behavior/landing") if "moved-" in name][-1:]
    tables = made.tables()
    for name in [name for name in made.lake.names("behavior/landing") if "moved-" in name]:
        del made.lake.stored[name]
    with pytest.raises(CorruptState, match="twohands ingest --recover"):
        made.landing.dirty_days()
    made.landing.recover()
    assert made.landing.dirty_days() == []
    for day in made.landing.days():
        days.materialize(made.lake, day)
    assert made.tables() == tables


def test_recovery_refuses_where_the_folder_cannot_be_listed():
    class Unlisted:
        def list(self):
            raise CorruptState("no list today")

    made = desk()
    del made.lake.stored[LEDGER]
    made.landing._origins._folder = Unlisted()
    with pytest.raises(CorruptState, match="no list today"):
        made.landing.recover()
    assert LEDGER not in made.lake.stored


@settings(max_examples=100, deadline=None)
@given(st.lists(STEP, max_size=20), st.booleans(), st.booleans())
def test_recovered_ledger_equals_one_read_of_the_files(steps, listed, unused):
    """Whatever happened to the files before; also where the list of unused parts is gone, as long as files are not."""
    limits = {"line_bytes": 2000, "batch_events": 3}
    made = Desk(**limits)
    unwritten: dict[str, bytes] = {}
    for step in steps:
        apply(made, unwritten, step)
    made.tick()
    made.build()
    tables = made.tables()
    if listed:
        made.lake.stored.pop(LEDGER, None)
    if unused:
        made.lake.stored.pop(UNUSED, None)
    made.landing.recover()
    made.tick()
    made.build()
    assert made.tables() == tables
    assert (made.tick().files, made.landing.dirty_days()) == (0, [])


def test_recovered_events_are_not_those_of_another_file(tmp_path):
    """Two files with the same lines stay two: correcting one leaves the other."""
    made = Desk({"a.jsonl": line(event("x")), "b.jsonl": line(event("x"))}, lake=FolderLake(tmp_path))
    made.tick()
    (tmp_path / LEDGER).unlink()
    made.landing.recover()
    made.tick()
    assert json.loads(json.dumps(made.landing.counts().files)) == 2
    made.folder.files["a.jsonl"] = b""
    made.tick()
    assert made.landing.counts().events == 1
