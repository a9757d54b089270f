"""What the journal does when its writer fails, and when its folder or its disk is taken away."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from assets.errors import EngineBusy
from orchestration.web import disk, log, segments
from orchestration.web.journal import BUGS, JournalEnded, Limits
from tests.web.events import NOON, line
from tests.web.fakes import logged
from tests.web.world import error


@pytest.mark.parametrize("raised", [ZeroDivisionError, MemoryError])
def test_bug_in_the_writer_refuses_its_lines_and_the_next_go_to_a_new_file(opened, monkeypatch, raised):
    clock, real = [NOON.timestamp()], os.fsync
    one = opened(now=lambda: clock[0])
    one.append(line("before")).result(5)

    def fails(_):
        raise raised

    monkeypatch.setattr(segments.os, "fsync", fails)
    for id in ("a", "b"):
        with pytest.raises(EngineBusy, match=f"writer failed .{raised.__name__}.*Next: try again"):
            one.append(line(id)).result(5)
    with pytest.raises(EngineBusy, match="writer failed"):
        one.check()
    monkeypatch.setattr(segments.os, "fsync", real)
    one.append(line("after")).result(5)
    one.check()
    newest = max(one.folder.iterdir(), key=lambda path: int(path.stem.rsplit("-", 1)[1]))
    assert newest.read_bytes() == line("after")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_bug_that_stays_ends_the_writer_and_leaves_nobody_waiting(opened, monkeypatch):
    clock = [NOON.timestamp()]
    one = opened(now=lambda: clock[0])
    monkeypatch.setattr(one.recent, "add", lambda *_: 1 / 0)
    for number in range(BUGS):
        with pytest.raises(EngineBusy, match="writer failed"):
            one.append(line(f"e{number}")).result(5)
    clock[0] += 3_600
    for again in (one.check, lambda: one.append(line("b"))):
        with pytest.raises(JournalEnded, match="restart the server"):
            again()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_writer_that_is_ended_by_more_than_an_error_leaves_nobody_waiting(opened, monkeypatch):
    def ends(*_):
        raise SystemExit

    one = opened()
    monkeypatch.setattr(one.recent, "add", ends)
    with pytest.raises(JournalEnded, match="has ended"):
        one.append(line("a")).result(5)
    with pytest.raises(JournalEnded, match="restart the server"):
        one.check()


def test_folder_that_was_removed_is_made_again(opened):
    one = opened()
    one.append(line("a")).result(5)
    shutil.rmtree(one.folder)
    one.check()
    assert one.find("a") is None, "who took it out wanted it forgotten"
    one.append(line("b")).result(5)
    assert [row["id"] for row in logged(one.folder)] == ["b"]


def test_folder_that_was_removed_with_its_parent_is_waited_for(opened, tmp_path):
    clock = [NOON.timestamp()]
    one = opened(now=lambda: clock[0], folder=tmp_path / "disk" / "landing")
    one.append(line("a")).result(5)
    (tmp_path / "disk").rename(tmp_path / "away")
    for again in (one.check, lambda: one.find("a"), lambda: one.append(line("lost")).result(5)):
        with pytest.raises(EngineBusy, match=r"No such file.*Next: look at the disk, and at the folder"):
            again()
    assert not (tmp_path / "disk").exists()
    (tmp_path / "away").rename(tmp_path / "disk")
    clock[0] += 10
    one.check()
    one.append(line("b")).result(5)
    assert one.find("a") == line("a")
    assert [row["id"] for row in logged(one.folder)] == ["a", "b"]


@pytest.mark.parametrize("mount", ["disk", "disk/landing"])
def test_nothing_is_written_below_the_mount_point_of_a_disk_that_is_away(opened, tmp_path, monkeypatch, mount):
    """As after `umount`: the mount point is there and empty."""
    clock, mounted, real = [NOON.timestamp()], [True], os.path.ismount
    ismount = lambda path: mounted[0] if Path(path) == tmp_path / mount else real(path)  # noqa: E731
    monkeypatch.setattr(disk.os.path, "ismount", ismount)
    one = opened(now=lambda: clock[0], folder=tmp_path / "disk" / "landing")
    one.append(line("a")).result(5)
    (tmp_path / mount).rename(tmp_path / "away")
    (tmp_path / mount).mkdir()
    mounted[0] = False
    for again in (one.check, lambda: one.find("a"), lambda: one.append(line("lost")).result(5)):
        with pytest.raises(EngineBusy, match=f"nothing is mounted on {tmp_path / mount}"):
            again()
    (tmp_path / mount).rmdir()  # it holds nothing
    (tmp_path / "away").rename(tmp_path / mount)
    mounted[0] = True
    clock[0] += 10
    one.check()
    one.append(line("b")).result(5)
    assert [row["id"] for row in logged(one.folder)] == ["a", "b"]


def test_file_that_cannot_be_read_is_not_taken_for_an_unknown_interaction(opened, monkeypatch):
    one = opened()
    one.append(line("a")).result(5)

    def fails(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("orchestration.web.recent._line", fails)
    with pytest.raises(EngineBusy, match=r"cannot be read \(Permission denied\)"):
        one.find("a")


def test_server_goes_on_after_its_folder_was_removed(world):
    one = world()
    id = one.ask().json()["id"]
    shutil.rmtree(one.folder)
    assert one.client.get("/healthz").json()["status"] == "ok"
    assert one.ask().status_code == 200
    assert len(one.events()) == 1
    assert error(one.client.post("/v1/feedback", json={"id": id, "feedback": "up"})) == (404, "unknown_interaction")


def test_server_says_what_is_wrong_with_its_folder_until_it_is_restored(world, tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    one = world(folder=tmp_path / "disk" / "landing", limits=Limits(pause_seconds=0))
    id = one.ask().json()["id"]
    feedback = {"id": id, "feedback": "up"}
    (tmp_path / "disk").rename(tmp_path / "away")
    for response in (one.ask(), one.ask(stream=True), one.client.post("/v1/feedback", json=feedback)):
        assert error(response) == (503, "busy")
        assert "Next: look at the disk, and at the folder and its permissions" in response.text
    told = one.client.get("/healthz")
    assert (told.status_code, told.json()["status"]) == (503, "failing")
    assert "No such file or directory" in told.json()["problems"][0]
    (tmp_path / "away").rename(tmp_path / "disk")
    assert one.client.get("/healthz").json()["status"] == "ok"
    assert one.client.post("/v1/feedback", json=feedback).status_code == 200
    assert one.ask().status_code == 200


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_server_whose_writer_has_ended_says_that_it_needs_a_restart(world, monkeypatch):
    one = world(limits=Limits(pause_seconds=0))
    id = one.ask().json()["id"]
    monkeypatch.setattr(one.journal.recent, "add", lambda *_: 1 / 0)
    for _ in range(BUGS):
        assert error(one.ask()) == (503, "busy")
    began = time.monotonic()
    for response in (one.ask(), one.client.post("/v1/feedback", json={"id": id, "feedback": "up"})):
        assert error(response) == (503, "busy")
        assert "Next: look into the server's log, and restart the server." in response.text
    assert time.monotonic() - began < log.WAIT_SECONDS, "nobody waits for a place in the queue"
    told = one.client.get("/healthz")
    assert (told.status_code, told.json()["status"]) == (503, "failing")
    assert "restart the server" in told.json()["problems"][0]
