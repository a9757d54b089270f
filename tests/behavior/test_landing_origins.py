"""A landing folder and logs of a warehouse beside each other: each is read whatever becomes of the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from assets.behavior import days
from assets.behavior.landing.folder import Landing
from assets.behavior.landing.lines import Limits
from assets.behavior.landing.served import Served
from assets.errors import DiskFull, EngineBusy, EngineError, SourceError
from assets.ports import Listing, SourceFile
from tests.behavior.landing_tools import NOW, Folder, MemoryLake, august, event, line

DAY = "warehouse/day=2026-08-03"
DOWN = EngineBusy("the warehouse does not answer", next_step="wait")


class Logs:
    """Days in a dict, as `DayLogs`; `error` is raised by every look, `ready` says whether a glance can list."""

    prefix = "warehouse/"

    def __init__(self, **events) -> None:
        self.folder = Folder({f"warehouse/day=2026-08-{name[1:]}": line(*found) for name, found in events.items()})
        self.error: Exception | None = None
        self.ready, self.noted = True, 0
        self.known: list[Mapping[str, str]] = []
        self.days: list[object] = []

    def glance(self, known):
        if self.error:
            raise self.error
        return self._listing(known) if self.ready else None

    @contextmanager
    def look(self, known, days=()) -> Iterator[Logs]:
        self.known.append(known)
        self.days.append(days)
        if self.error:
            raise self.error
        yield self

    def looked(self):
        self.noted += 1

    def list(self):
        return self._listing(self.known[-1])

    def read(self, file):
        return b"" if file.stamp == "gone" else self.folder.read(file)

    def _listing(self, known):
        there = self.folder.list().files
        gone = known.keys() - {file.path for file in there}
        return Listing((*there, *(SourceFile(path, 0, "gone") for path in sorted(gone))))


class Both:
    def __init__(self, folder: Folder | None, logs: Logs | None, lake=None, served=None, **limits) -> None:
        self.folder, self.logs, self.lake = folder, logs, lake or MemoryLake()
        self.landing = Landing(self.lake, folder, logs=logs, served=served, now=lambda: NOW, limits=Limits(**limits))

    def ids(self) -> list[str]:
        for day in self.landing.dirty_days():
            days.materialize(self.lake, day)
        tables = [self.lake.stored[name] for name in self.lake.names("behavior/interactions") if "data.parquet" in name]
        return sorted(name for table in tables for name in table["id"].to_pylist())


@pytest.fixture
def both() -> Both:
    return Both(Folder({"a.jsonl": line(event("file", 2))}), Logs(d03=[event("row", 3)]))


def test_both_are_read_and_the_logs_hear_of_it_once_it_is_committed(both):
    assert both.landing.pending().files == 2
    assert both.landing.tick(days=[august(1)]).days == (august(2), august(3))
    assert (both.ids(), both.logs.noted, both.logs.days) == (["file", "row"], 1, [[august(1)]])
    assert both.landing.pending().files == 0
    both.landing.tick()
    assert both.logs.known == [{}, {DAY: both.logs.folder.list().files[0].stamp}]
    assert both.folder.reads == ["a.jsonl"]


def test_day_without_rows_is_withdrawn_once(both):
    both.landing.tick()
    both.ids()
    del both.logs.folder.files[DAY]
    assert both.landing.pending().files == 1
    assert both.landing.tick().days == (august(3),)
    assert both.ids() == ["file"]
    assert (both.landing.pending().files, both.landing.tick().files) == (0, 0)


def test_deleted_file_stays_though_the_logs_withdraw_what_is_gone(both):
    both.landing.tick()
    both.folder.files.clear()
    both.logs.folder.files.clear()
    both.landing.tick()
    assert both.ids() == ["file"]


@pytest.mark.parametrize("error", [DOWN, EngineError("there is no table")])
def test_logs_that_cannot_be_looked_at_keep_no_file_from_being_read(both, error):
    both.logs.error = error
    report = both.landing.tick()
    assert (report.accepted, both.ids(), both.logs.noted) == (1, ["file"], 0)
    assert report.left_out() == {"the warehouse's log table": str(error)}
    with pytest.raises(type(error)):
        report.check()
    pending = both.landing.pending()
    assert (pending.files, pending.problems) == (0, {"the warehouse's log table": error})
    both.logs.error = None
    assert both.landing.tick().accepted == 1


def test_folder_that_cannot_be_listed_keeps_no_row_from_being_read(both, monkeypatch):
    monkeypatch.setattr(both.folder, "list", failing(SourceError("no such folder")))
    report = both.landing.tick()
    assert (report.accepted, both.ids(), both.logs.noted) == (1, ["row"], 1)
    assert list(report.problems) == ["the landing folder"]


def test_nothing_that_can_be_looked_at_is_an_error_and_keeps_nothing(both, monkeypatch):
    both.logs.error = DOWN
    monkeypatch.setattr(both.folder, "read", failing(SourceError("a.jsonl may not be read")))
    with pytest.raises(SourceError):
        both.landing.tick()
    assert both.landing.days() == []
    alone = Both(None, both.logs)
    for look in (alone.landing.tick, alone.landing.pending):
        with pytest.raises(EngineBusy):
            look()


def test_error_in_the_middle_of_the_logs_keeps_what_was_read_before(both, monkeypatch):
    both.logs.folder.files["warehouse/day=2026-08-04"] = line(event("later", 4))
    read = both.logs.read

    def fails(file):
        if file.path.endswith("04"):
            raise DOWN
        return read(file)

    monkeypatch.setattr(both.logs, "read", fails)
    report = both.landing.tick()
    assert (report.accepted, list(report.problems), both.logs.noted) == (2, ["the warehouse's log table"], 0)
    assert both.ids() == ["file", "row"]


def test_error_of_the_lake_is_nobodys_problem_but_ours(both, monkeypatch):
    monkeypatch.setattr(both.lake, "write", failing(DiskFull("no space left")))
    with pytest.raises(DiskFull):
        both.landing.tick()
    assert both.logs.noted == 0


def test_busy_day_waits_for_the_next_tick(both):
    both.logs.folder.busy = {DAY}
    assert (report := both.landing.tick()).waiting == 1
    assert report.problems == {}
    both.logs.folder.busy = set()
    assert both.landing.tick().accepted == 1


def test_logs_that_want_more_than_a_listing_are_pending(both):
    both.landing.tick()
    both.logs.ready = False
    pending = both.landing.pending()
    assert (pending.files, pending.problems) == (1, {})
    assert both.landing.pending().digest == pending.digest


def test_every_day_that_was_read_is_read_again_under_other_limits(both):
    both.landing.tick()
    stricter = Both(both.folder, both.logs, both.lake, first_day=august(4))
    assert stricter.landing.tick().reasons == {"too_old": 2}
    assert both.logs.known[-1] == {DAY: ""}
    assert stricter.ids() == []


def failing(error: Exception):
    def fails(*_):
        raise error

    return fails


def test_journal_apart_is_read_once_it_is_there_and_its_names_are_its_own(tmp_path):
    folder, journal = Folder({"served.jsonl": line(event("file", 2))}), Folder({"served.jsonl": line(event("own", 3))})
    place = tmp_path / "served"
    one = Both(folder, None, served=Served(place, journal))
    one.landing.tick()
    assert (one.ids(), one.landing.pending().files) == (["file"], 0)
    place.mkdir()
    assert one.landing.pending().files == 1
    assert one.landing.tick().accepted == 1
    journal.files["served.jsonl"] += line(event("more", 3))
    assert one.landing.tick().accepted == 1
    assert one.ids() == ["file", "more", "own"]


def test_journal_alone_is_read_while_the_folder_is_down_and_no_journal_hides_that(tmp_path, monkeypatch):
    one = Both(Folder({}), None, served=Served(tmp_path / "served", Folder({"a.jsonl": line(event("own", 3))})))
    monkeypatch.setattr(one.folder, "list", failing(SourceError("no such bucket")))
    with pytest.raises(SourceError):
        one.landing.pending()
    (tmp_path / "served").mkdir()
    report = one.landing.tick()
    assert (report.accepted, list(report.problems), one.ids()) == (1, ["the landing folder"], ["own"])
