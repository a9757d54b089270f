from __future__ import annotations

import errno
import os
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from assets.behavior.interactions import parse
from assets.behavior.landing.folder import Landing
from assets.errors import BadQuestion, DiskFull, EngineBusy
from assets.knowledge.sources import open_source
from assets.serving.answers import Asker
from orchestration.engines.lake import open_lake
from orchestration.web import events, segments
from orchestration.web.journal import Limits
from tests.web.events import NOON, event, line
from tests.web.fakes import FERRY, FakeAnswering, logged


def test_append_is_on_disk_when_it_is_confirmed(opened):
    one = opened()
    one.append(line("a")).result(5)
    assert [row["id"] for row in logged(one.folder)] == ["a"]
    assert one.written == 1
    assert one.backlog == 0


def test_many_lines_share_one_sync(opened, monkeypatch):
    syncs = []
    real = os.fsync
    monkeypatch.setattr(segments.os, "fsync", lambda handle: (syncs.append(handle), time.sleep(0.02), real(handle)))
    one = opened()
    waiting = [one.append(line(f"e{number}")) for number in range(500)]
    for each in waiting:
        each.result(5)
    assert len(logged(one.folder)) == 500
    assert 2 <= len(syncs) < 20, "one for the folder, one for the first line, few for the rest"


def test_full_queue_refuses_and_loses_nothing(opened, monkeypatch):
    gate = threading.Event()
    real = os.fsync
    monkeypatch.setattr(segments.os, "fsync", lambda handle: (gate.wait(10), real(handle)))
    one = opened(Limits(backlog=5, batch=5))
    taken, refused = [], 0
    for number in range(30):
        try:
            taken.append(one.append(line(f"e{number}")))
        except EngineBusy:
            refused += 1
        time.sleep(0.002)
    assert 5 <= len(taken) <= 11
    assert refused == 30 - len(taken)
    gate.set()
    for each in taken:
        each.result(5)
    assert len(logged(one.folder)) == len(taken)


def fails_once(monkeypatch, number: int) -> None:
    """The next line is written by half, and then the disk fails."""
    real, done = os.write, []

    def write(handle, data):
        done.append(handle)
        if len(done) == 2:
            raise OSError(number, os.strerror(number))
        return real(handle, bytes(data)[:40] if len(done) == 1 else data)

    monkeypatch.setattr(segments.os, "write", write)


def test_full_disk_refuses_the_line_takes_half_of_it_back_and_goes_on(opened, monkeypatch):
    clock = [NOON.timestamp()]
    one = opened(now=lambda: clock[0])
    one.append(line("before")).result(5)
    fails_once(monkeypatch, errno.ENOSPC)
    with pytest.raises(DiskFull, match="Next: free some space"):
        one.append(line("lost")).result(5)
    assert isinstance(one.failure, DiskFull)
    with pytest.raises(DiskFull):
        one.check()
    clock[0] += 10
    one.check()  # somebody has to try again
    one.append(line("after")).result(5)
    assert one.failure is None
    [path] = one.folder.iterdir()
    assert path.read_bytes() == line("before") + line("after")


def test_failing_disk_moves_on_to_another_file(opened, monkeypatch):
    one = opened()
    one.append(line("before")).result(5)
    fails_once(monkeypatch, errno.EIO)
    with pytest.raises(EngineBusy, match="cannot be written"):
        one.append(line("lost")).result(5)
    one.append(line("after")).result(5)
    assert [path.read_bytes() for path in sorted(one.folder.iterdir())] == [line("before"), line("after")]


def test_little_space_is_refused_before_anything_is_answered(opened):
    with pytest.raises(DiskFull):
        opened(Limits(free_bytes=1 << 62)).check()


def test_half_line_of_a_killed_writer_is_ended_and_ingestion_takes_the_rest(opened, tmp_path):
    folder = tmp_path / "landing"
    folder.mkdir()
    dead = folder / "served-2026-11-28-aaaaaaaaaa-0.jsonl"
    dead.write_bytes(line("a") + line("b")[:-20])
    one = opened()
    assert dead.read_bytes().endswith(line("b")[:-20] + b"\n")
    one.append(line("c")).result(5)
    one.close()
    landing = Landing(open_lake(str(tmp_path / "lake"), locks=tmp_path / "locks"), open_source(
        str(folder), include=("*.jsonl",), base=tmp_path, cache=tmp_path / "git", max_bytes=1 << 30,
    ), now=lambda: NOON.timestamp() + 60)  # fmt: skip
    report = landing.tick()
    assert (report.accepted, report.quarantined, report.waiting) == (2, 1, 0)
    assert set(report.reasons) == {"truncated"}


def test_file_of_a_living_writer_is_left_alone(opened):
    one = opened()
    one.append(line("a")).result(5)
    [path] = one.folder.iterdir()
    with path.open("ab") as file:
        file.write(b"half")  # as a write that is under way looks to another process
    assert segments.mend(one.folder) == []
    assert path.read_bytes().endswith(b"half")


def test_recent_finds_the_newest_version_after_a_restart(opened):
    one = opened()
    one.append(line("a")).result(5)
    one.append(line("a", NOON + timedelta(seconds=5), topic="later")).result(5)
    one.close()
    two = opened()
    assert two.recent.find("a") == line("a", NOON + timedelta(seconds=5), topic="later")
    assert two.recent.find("b") is None


def test_recent_sees_what_another_server_adds(opened, monkeypatch):
    monkeypatch.setattr("orchestration.web.recent._LOOK_SECONDS", 0)
    one, two = opened(), opened()
    one.append(line("a")).result(5)
    assert two.recent.find("a") == line("a")
    two.append(line("a", NOON + timedelta(seconds=1), topic="two")).result(5)
    assert one.recent.find("a") == two.recent.find("a") == line("a", NOON + timedelta(seconds=1), topic="two")


def test_recent_forgets_days_that_are_over(opened):
    clock = [NOON.timestamp()]
    one = opened(now=lambda: clock[0])
    one.append(line("a")).result(5)
    clock[0] += 86_400
    assert one.recent.find("a") == line("a"), "yesterday's"
    clock[0] += 86_400
    assert one.recent.find("a") is None


def test_recent_does_not_take_half_a_line_for_a_version(opened, tmp_path):
    folder = tmp_path / "landing"
    folder.mkdir()
    later = line("a", NOON + timedelta(seconds=9))
    cut = later.index(b"}]") + 1  # after the brace of a passage
    (folder / "served-2026-11-28-aaaaaaaaaa-0.jsonl").write_bytes(line("a") + later[:cut])
    assert opened().recent.find("a") == line("a")


def test_files_are_changed_with_the_day_the_hour_and_the_size(opened):
    clock = [NOON.timestamp()]
    one = opened(Limits(segment_bytes=len(line("a")) * 2), now=lambda: clock[0])
    for id, seconds in (("a", 0), ("b", 0), ("c", 0), ("d", 3_600), ("e", 86_400)):
        clock[0] += seconds
        one.append(line(id)).result(5)
    names = [path.name for path in sorted(one.folder.iterdir())]
    assert [name.split(one.process)[1] for name in names] == ["-1.jsonl", "-2.jsonl", "-3.jsonl", "-4.jsonl"]
    assert [row["id"] for row in logged(one.folder)] == ["a", "b", "c", "d", "e"]


def test_busy_file_is_left_after_a_minute_so_that_ingestion_reads_it(opened):
    clock = [NOON.timestamp()]
    one = opened(Limits(busy_bytes=2 * len(line("a"))), now=lambda: clock[0])
    for id, seconds in (("a", 0), ("b", 59), ("c", 1), ("d", 60)):  # a and b fill it; c has the next one for itself
        clock[0] += seconds
        one.append(line(id)).result(5)
    assert [len(path.read_bytes().splitlines()) for path in sorted(one.folder.iterdir())] == [2, 2]


def test_edited_file_takes_nothing_that_is_confirmed_with_it(opened):
    one = opened()
    one.append(line("a")).result(5)
    one.append(line("b")).result(5)
    [path] = one.folder.iterdir()
    edited = path.with_suffix(".new")
    edited.write_bytes(line("b"))  # as `sed -i` does it: a new file in its place
    edited.replace(path)
    one.append(line("c")).result(5)
    assert [row["id"] for row in logged(one.folder)] == ["b", "c"]
    assert one.recent.find("a") is None, "who took it out wanted it forgotten"
    assert one.recent.find("c") == line("c")


def test_file_that_is_edited_in_place_is_written_on(opened):
    one = opened()
    for id in ("a", "b"):
        one.append(line(id)).result(5)
    [path] = one.folder.iterdir()
    path.write_bytes(line("b"))
    one.append(line("c")).result(5)
    assert path.read_bytes() == line("b") + line("c")
    assert one.recent.find("a") is None
    assert one.recent.find("c") == line("c")


def test_unused_journal_leaves_no_file(opened):
    one = opened()
    one.close()
    assert list(one.folder.iterdir()) == []
    with pytest.raises(EngineBusy, match="going down"):
        one.append(line("a"))


def test_events_revised_keep_all_that_was_and_come_later():
    first = event("a")
    up = events.revised(first, NOON - timedelta(hours=1), "up")
    assert up["received_at"] > first["received_at"], "whatever the clock says"
    both = events.revised(up, NOON + timedelta(seconds=1), None, "At eight.")
    assert (both["feedback"], both["corrected_response"], both["prompt"]) == ("up", "At eight.", "When?")
    assert events.revised(both, NOON, "down")["corrected_response"] == "At eight."
    assert events.revised(both, NOON, None, None)["corrected_response"] is None


@pytest.mark.parametrize("text", ["\ud800", "a\0b"])
def test_events_refuse_what_ingestion_would_put_aside(text):
    with pytest.raises(BadQuestion, match="cannot be noted"):
        events.line(event("a", corrected_response=text), 1 << 20)
    with pytest.raises(BadQuestion, match="at most 100"):
        events.line(event("a"), 100)


def test_exchange_is_an_interaction_of_the_contract(tmp_path: Path):

    *_, answer = FakeAnswering().stream("When?", variant="api", asker=Asker(), where={})
    made = events.exchange("i", NOON, "When?", answer, user="u")
    found = parse(events.line(made, 1 << 20))
    assert found["passages"][0] == {"chunk_id": FERRY.chunk_id, "doc_id": FERRY.doc_id, "text_sha": FERRY.text_sha}
    assert (found["variant"], found["release_id"], found["user"]) == ("api", "rel-1", "u")
