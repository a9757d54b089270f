from __future__ import annotations

import gzip
from contextlib import suppress

import pytest

from assets.errors import SourceError
from tests.behavior.landing_tools import NOW, Desk, MemoryLake, august, event, line, tombstone


def test_landing_reads_a_file_and_says_which_days_are_dirty():
    desk = Desk({"a.jsonl": line(event("a", 2), event("b", 3))})
    report = desk.tick()
    assert (report.files, report.accepted, report.quarantined) == (1, 2, 0)
    assert report.days == (august(2), august(3))
    desk.build()
    assert desk.ids() == {"08-02": ["a"], "08-03": ["b"]}
    assert desk.landing.dirty_days() == []


def test_answer_that_was_emptied_is_no_correction():
    """It would be read as a wish for another form."""
    said = {"a": "", "b": " \n", "c": "Better."}
    desk = Desk({"a.jsonl": line(*(event(id, corrected_response=text) for id, text in said.items()))})
    assert desk.tick().accepted == 3
    desk.build()
    assert [row["corrected_response"] for row in desk.rows(august(2))] == [None, None, "Better."]


def test_landing_reads_nothing_twice():
    desk = Desk({"a.jsonl": line(event("a"))})
    desk.tick()
    desk.build()
    before = dict(desk.lake.stored)
    report = desk.tick()
    assert (report.files, report.accepted, report.days) == (0, 0, ())
    assert desk.folder.reads == ["a.jsonl"]
    assert desk.lake.stored == before


def test_landing_parses_only_the_tail_of_a_file_that_grew(monkeypatch):
    from assets.behavior import events

    desk = Desk({"a.jsonl": line(*(event(f"e{i}") for i in range(50)))})
    desk.tick()
    parsed, read = [], events.read
    monkeypatch.setattr(events, "read", lambda text: parsed.append(text) or read(text))
    desk.folder.files["a.jsonl"] += line(event("new", 4))
    report = desk.tick()
    assert len(parsed) == 1
    assert report.accepted == 1
    desk.build()
    assert len(desk.rows(august(2))) == 50
    assert [row["id"] for row in desk.rows(august(4))] == ["new"]


def test_landing_rebuilds_only_the_days_that_a_replacement_changed():
    rows = [event(f"e{day}", day) for day in range(1, 11)]
    desk = Desk({"a.jsonl": line(*rows)})
    desk.tick()
    desk.build()
    rows[3]["response"] = "Corrected by hand."
    desk.folder.files["a.jsonl"] = line(*rows)
    report = desk.tick()
    assert report.days == (august(4),)
    assert report.accepted == 1


def test_landing_withdraws_what_a_replacement_lacks():
    desk = Desk({"a.jsonl": line(event("a", 2), event("b", 2), event("c", 3))})
    desk.tick()
    desk.build()
    desk.folder.files["a.jsonl"] = line(event("b", 2))
    assert desk.tick().days == (august(2), august(3))
    desk.build()
    assert desk.ids() == {"08-02": ["b"]}
    assert desk.landing.dirty_days() == []


def test_landing_keeps_the_events_of_a_file_that_is_deleted():
    desk = Desk({"a.jsonl": line(event("a"))})
    desk.tick()
    desk.build()
    del desk.folder.files["a.jsonl"]
    assert desk.tick().days == ()
    assert desk.ids() == {"08-02": ["a"]}


def test_landing_leaves_a_half_written_line_for_the_next_tick():
    whole = line(event("a"), event("b"))
    desk = Desk({"a.jsonl": whole[:-30]}, modified=NOW - 5)
    report = desk.tick()
    assert (report.accepted, report.quarantined, report.waiting) == (1, 0, 1)
    assert desk.tick().waiting == 1
    desk.folder.files["a.jsonl"] = whole
    report = desk.tick()
    assert (report.accepted, report.quarantined, report.waiting) == (1, 0, 0)


def test_landing_reads_a_half_line_that_was_overwritten_in_place():
    whole = line(event("a"))
    half = line(event("b"))[:-30]
    desk = Desk({"a.jsonl": whole + half}, modified=NOW - 5)
    desk.tick()
    desk.folder.files["a.jsonl"] = whole + b"x" * (len(half) - 1) + b"\n"
    assert desk.tick().reasons == {"not_json": 1}


def test_landing_quarantines_a_half_line_that_nobody_finishes():
    desk = Desk({"a.jsonl": line(event("a"), event("b"))[:-30]}, modified=NOW - 5)
    desk.tick()
    desk.clock += 3700
    assert desk.tick().reasons == {"truncated": 1}
    assert desk.quarantined() == [("a.jsonl", 2, "truncated")]
    assert desk.tick().files == 0
    desk.folder.files["a.jsonl"] = line(event("a"), event("b"), event("c"))  # its writer came back
    desk.tick()
    desk.build()
    assert desk.ids() == {"08-02": ["a", "b", "c"]}
    assert desk.quarantined() == []


def test_landing_reads_a_last_line_without_a_line_end_and_goes_on_behind_it():
    desk = Desk({"a.jsonl": line(event("a"))[:-1]}, modified=NOW - 5)
    assert desk.tick().accepted == 1
    desk.folder.files["a.jsonl"] += b"\n" + line(event("b")) + b"bad\n"
    assert desk.tick().accepted == 1
    assert desk.quarantined() == [("a.jsonl", 3, "not_json")]


def test_landing_waits_for_a_file_that_is_replaced_while_it_is_read():
    desk = Desk({"a.jsonl": line(event("a")), "b.jsonl": line(event("b"))})
    desk.folder.busy = {"a.jsonl"}
    report = desk.tick()
    assert (report.accepted, report.waiting) == (1, 1)
    desk.folder.busy = set()
    assert desk.tick().accepted == 1


def test_landing_keeps_nothing_of_a_tick_that_failed():
    desk = Desk({"a.jsonl": line(event("a")), "b.jsonl": line(event("b"))})
    read = desk.folder.read

    def fails(file):
        if file.path == "b.jsonl":
            raise SourceError("b.jsonl may not be read")
        return read(file)

    desk.folder.read = fails
    with pytest.raises(SourceError):
        desk.tick()
    assert desk.landing.days() == []
    desk.folder.read = read
    assert desk.tick().accepted == 2


def test_landing_of_the_latest_version_wins_across_files_and_days():
    desk = Desk({"a.jsonl": line(event("a", 2, 10)), "b.jsonl": line(event("a", 3, 9))})
    desk.tick()
    desk.build()
    assert desk.ids() == {"08-02": ["a"]}
    desk.folder.files["c.jsonl"] = line(event("a", 5, 12, response="latest"))
    report = desk.tick()
    assert report.days == (august(2), august(5))
    assert (report.accepted, report.corrected) == (1, 1)
    desk.build()
    assert desk.ids() == {"08-05": ["a"]}
    desk.folder.files["c.jsonl"] = b""
    assert desk.tick().days == (august(2), august(5))
    desk.build()
    assert desk.ids() == {"08-02": ["a"]}


def test_landing_of_a_tombstone_empties_the_id_on_every_day():
    desk = Desk({"a.jsonl": line(event("a", 2), event("b", 2))})
    desk.tick()
    desk.build()
    desk.folder.files["erase.jsonl"] = line(tombstone("a", 9))
    report = desk.tick()
    assert (report.accepted, report.corrected, report.deleted) == (1, 1, 1)
    assert report.days == (august(2), august(9))
    desk.build()
    assert desk.ids() == {"08-02": ["b"]}


def test_landing_of_a_late_event_dirties_exactly_its_day():
    desk = Desk({"a.jsonl": line(*(event(f"e{day}", day) for day in range(1, 20)))})
    desk.tick()
    desk.build()
    desk.folder.files["late.jsonl"] = line(event("late", 4, 28))
    assert desk.tick().days == (august(4),)


def test_landing_survives_the_loss_of_its_index_of_ids():
    desk = Desk({"a.jsonl": line(event("a", 2, 10))})
    desk.tick()
    desk.lake.remove([name for name in desk.lake.stored if "/ids-" in name])
    desk.folder.files["b.jsonl"] = line(event("a", 3, 12))
    desk.tick()
    desk.build()
    assert desk.ids() == {"08-03": ["a"]}


def test_landing_never_reads_parts_that_the_ledger_does_not_name_and_removes_them_later():
    desk = Desk({"a.jsonl": line(event("a"))})
    desk.tick()
    part = next(name for name in desk.lake.stored if name.startswith("behavior/events/"))
    orphan = part.replace(".parquet", "-9.parquet")
    desk.lake.write(orphan, desk.lake.stored[part])
    desk.folder.files["a.jsonl"] = line(event("b"))
    desk.tick()
    desk.build()
    assert desk.ids() == {"08-02": ["b"]}
    assert {part, orphan} <= desk.lake.stored.keys()
    desk.clock += 3700
    desk.folder.files["c.jsonl"] = line(event("c"))
    desk.tick()
    assert not {part, orphan} & desk.lake.stored.keys()
    desk.build()
    assert desk.ids() == {"08-02": ["b", "c"]}


def test_landing_ingests_a_file_by_hand_once():
    desk = Desk()
    data = line(event("a")) + b'{"half'
    first = desk.landing.ingest("export.jsonl", data)
    assert (first.accepted, first.quarantined, first.waiting, first.days) == (1, 1, 0, (august(2),))
    desk.build()
    again = desk.landing.ingest("export.jsonl", data)
    assert (again.accepted, again.quarantined, again.days) == (0, 0, ())
    assert desk.tick().days == ()
    assert desk.ids() == {"08-02": ["a"]}


def test_landing_replaces_what_was_given_by_hand_under_the_same_name():
    desk = Desk()
    first = line(event("a", 2), event("b", 2), event("c", 3))
    desk.landing.ingest("export.jsonl", first)
    desk.landing.ingest("other.jsonl", line(event("d", 5)))
    desk.build()
    second = desk.landing.ingest("export.jsonl", line(event("b", 2)))
    assert (second.earlier, second.days) == (1, (august(2),))  # one event more that is there already; nothing is lost
    desk.build()
    assert desk.ids() == {"08-02": ["a", "b"], "08-03": ["c"], "08-05": ["d"]}
    third = desk.landing.ingest("export.jsonl", line(event("a", 2), event("e", 4)), replacing=True)
    assert (third.earlier, third.accepted, third.days) == (2, 1, (august(2), august(3), august(4)))
    desk.build()
    assert desk.ids() == {"08-02": ["a"], "08-04": ["e"], "08-05": ["d"]}
    back = desk.landing.ingest("export.jsonl", first, replacing=True)
    assert back.earlier == 1
    desk.build()
    assert desk.ids() == {"08-02": ["a", "b"], "08-03": ["c"], "08-05": ["d"]}
    assert desk.landing.ingest("export.jsonl", first, replacing=True).days == ()


def test_landing_of_a_replacement_that_changes_nothing_dirties_no_day():
    desk = Desk()
    desk.landing.ingest("export.jsonl", line(event("a", 2), event("b", 3)))
    desk.build()
    again = line(event("b", 3)) + b"\n" + line(event("a", 2))
    assert desk.landing.ingest("export.jsonl", again, replacing=True).days == ()


def test_landing_keeps_what_stands_when_its_replacement_is_damaged():
    desk = Desk()
    desk.landing.ingest("export.jsonl.gz", gzip.compress(line(event("a", 2))))
    desk.build()
    damaged = bytearray(gzip.compress(line(event("b", 2))))
    damaged[-6] ^= 1
    report = desk.landing.ingest("export.jsonl.gz", bytes(damaged), replacing=True)
    assert (report.reasons, report.days) == ({"corrupt_gzip": 1}, ())
    assert desk.ids() == {"08-02": ["a"]}


class KilledAtWrite(MemoryLake):
    """A lake whose process dies before its n-th write; `after` then says whether the ledger was committed."""

    def __init__(self, stored) -> None:
        super().__init__()
        self.stored, self.left = dict(stored), 10**9

    def write(self, name, table):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        super().write(name, table)


def test_landing_killed_in_a_replacement_has_all_of_the_old_or_all_of_the_new():
    desk = Desk()
    for version in (line(event("a", 2), event("b", 3)), line(event("a", 2, 21), event("c", 4))):
        desk.landing.ingest("export.jsonl", version)
    desk.build()
    old = desk.ids()
    new = line(event("b", 4, 22), event("e", 2))
    seen = []
    for writes in range(20):
        lake = KilledAtWrite(desk.lake.stored)
        killed = Desk(lake=lake)
        lake.left = writes
        with suppress(KeyboardInterrupt):
            killed.landing.ingest("export.jsonl", new, replacing=True)
        lake.left = 10**9
        killed.build()
        seen.append(killed.ids())
        killed.landing.ingest("export.jsonl", new, replacing=True)
        killed.build()
        assert killed.ids() == {"08-02": ["e"], "08-04": ["b"]}
    assert seen[0] == old
    assert seen[-1] == {"08-02": ["e"], "08-04": ["b"]}
    assert all(ids in (old, seen[-1]) for ids in seen)
    assert seen.count(old) > 2  # the parts, the index and the moved ids come before the ledger


def test_landing_merges_the_parts_of_a_file_that_grows_line_by_line():
    desk = Desk({"a.jsonl": b""})
    for number in range(40):
        desk.folder.files["a.jsonl"] += line(event(f"e{number:02d}"))
        desk.tick()
    desk.build()
    assert len(desk.rows(august(2))) == 40
    desk.lake.reads.clear()
    from assets.behavior import days

    days.materialize(desk.lake, august(2))
    assert sum(name.startswith("behavior/events/") for name in desk.lake.reads) <= 16


def test_landing_knows_dirty_days_without_reading_an_event():
    desk = Desk({"a.jsonl": line(*(event(f"e{day}", day) for day in range(1, 20)))})
    desk.tick()
    desk.lake.reads.clear()
    assert len(desk.landing.dirty_days()) == 19
    assert all(name.startswith("behavior/landing/") for name in desk.lake.reads)


def test_landing_reads_all_files_again_under_other_limits():
    desk = Desk({"a.jsonl": line(event("a", 2), event("b", 9))})
    desk.tick()
    desk.build()
    stricter = Desk(desk.folder.files, lake=desk.lake, first_day=august(5))
    assert stricter.tick().reasons == {"too_old": 1}
    stricter.build()
    assert stricter.ids() == {"08-09": ["b"]}


def test_landing_reads_a_file_again_under_other_limits_though_it_was_busy_first():
    desk = Desk({"a.jsonl": line(event("a", 2)), "b.jsonl": line(event("b", 3))})
    desk.tick()
    stricter = Desk(desk.folder.files, lake=desk.lake, first_day=august(5))
    stricter.folder.busy = {"b.jsonl"}
    assert stricter.tick().reasons == {"too_old": 1}
    stricter.folder.busy = set()
    assert stricter.tick().reasons == {"too_old": 1}
    assert stricter.tick().files == 0


def test_landing_tells_what_a_tick_would_read():
    desk = Desk({"a.jsonl": line(event("a"))}, modified=NOW - 7)
    before = desk.landing.pending()
    assert (before.files, before.youngest) == (1, 7)
    desk.tick()
    assert desk.landing.pending().files == 0
    desk.folder.files["a.jsonl"] += line(event("b"))
    after = desk.landing.pending()
    assert after.files == 1
    assert after.digest != before.digest
