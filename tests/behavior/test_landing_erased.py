"""What lands under the id of an erased interaction: feedback, the line that stayed in its file, an export."""

from __future__ import annotations

import pytest

from assets.behavior.landing import erased
from tests.behavior.landing_tools import Desk, august, event, line, tombstone

SECRET = "Quetzalcoatl"


def forgotten(desk: Desk) -> Desk:
    """Erases "a" as an erasure does: its id first, then a tombstone."""
    erased.add(desk.lake, ["a"])
    desk.landing.ingest("erased.jsonl", line(tombstone(received=12)))
    desk.build()
    return desk


def texts(desk: Desk) -> str:
    tables = [table for table in desk.lake.stored.values() if hasattr(table, "to_pylist")]
    return repr([table.to_pylist() for table in tables])


@pytest.fixture
def desk() -> Desk:
    made = Desk({"a.jsonl": line(event("a", received=10), event("b", received=10))})
    made.tick()
    made.build()
    return forgotten(made)


def test_later_version_of_an_erased_interaction_brings_nothing_of_it_back(desk):
    assert desk.ids() == {"08-02": ["b"]}
    desk.folder.files["b.jsonl"] = line(event("a", received=19, feedback="up", corrected_response=SECRET, user=SECRET))
    report = desk.tick()
    assert (report.accepted, report.deleted, report.quarantined) == (1, 1, 0)
    desk.build()
    assert desk.ids() == {"08-02": ["b"]}
    assert SECRET not in texts(desk)


def test_later_version_on_another_day_brings_nothing_back_on_either(desk):
    desk.folder.files["b.jsonl"] = line(event("a", day=7, received=19, prompt=SECRET), event("c", day=7, received=19))
    desk.tick()
    desk.build()
    assert desk.ids() == {"08-02": ["b"], "08-07": ["c"]}
    assert SECRET not in texts(desk)


def test_line_that_stays_in_its_file_is_read_again_without_its_text(desk):
    desk.folder.files["a.jsonl"] = line(event("b", received=10), event("a", received=10, prompt=SECRET))
    desk.tick()
    desk.build()
    assert desk.ids() == {"08-02": ["b"]}
    assert SECRET not in texts(desk)


def test_appended_and_given_lines_of_it_are_read_so_too(desk):
    desk.folder.files["a.jsonl"] += line(event("a", received=18, prompt=SECRET))
    desk.tick()
    desk.landing.ingest("export.jsonl", line(event("a", received=19, prompt=SECRET)))
    desk.build()
    assert desk.ids() == {"08-02": ["b"]}
    assert SECRET not in texts(desk)


def test_tombstone_of_a_producer_can_still_be_overtaken(desk):
    desk.folder.files["b.jsonl"] = line(tombstone("b", received=15))
    desk.tick()
    desk.build()
    assert desk.ids() == {}
    desk.folder.files["c.jsonl"] = line(event("b", received=18))
    desk.tick()
    desk.build()
    assert desk.rows(august(2))[0]["id"] == "b"


def test_erased_ids_add_up_and_survive_the_upkeep_of_the_ledger(desk):
    erased.add(desk.lake, ["z", "a"])
    assert erased.read(desk.lake) == {"a", "z"}
    desk.clock += 90_000
    for name in ("d", "e"):
        desk.folder.files[f"{name}.jsonl"] = line(event(name, received=19))
        desk.tick()
    assert erased.read(desk.lake) == {"a", "z"}
