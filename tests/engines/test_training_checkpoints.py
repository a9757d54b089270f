"""A checkpoint counts when it is whole; a training is one run's."""

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from assets.errors import DiskFull
from assets.ports.training import Left, Superseded
from orchestration.engines import training_checkpoints as checkpoints


def made(root: Path, number: int, state=None) -> Path:
    folder = root / f"checkpoint-{number}"
    (folder / "inner").mkdir(parents=True)
    (folder / "weights").write_bytes(b"w" * number)
    (folder / "inner" / "more").write_text("more")
    checkpoints.seal(folder, state or {"at": number})
    return folder


def test_newest_whole_checkpoint_is_found_by_its_number(tmp_path):
    for number in (9, 100, 20):
        made(tmp_path, number)
    assert checkpoints.newest(tmp_path) == (tmp_path / "checkpoint-100", {"at": 100})
    assert len(list(tmp_path.iterdir())) == 3


def cut(folder: Path) -> None:
    (folder / "weights").write_bytes(b"w")


def lost(folder: Path) -> None:
    (folder / "weights").unlink()


def added(folder: Path) -> None:
    (folder / "half").write_text("")


def unmarked(folder: Path) -> None:
    (folder / checkpoints.MARK).unlink()


def torn(folder: Path) -> None:
    (folder / checkpoints.MARK).write_text('{"files": {')


@pytest.mark.parametrize("damage", [cut, lost, added, unmarked, torn])
def test_one_that_is_not_whole_is_removed_and_the_one_before_is_taken(tmp_path, damage):
    before, after = made(tmp_path, 1), made(tmp_path, 2)
    damage(after)
    assert checkpoints.newest(tmp_path) == (before, {"at": 1})
    assert not after.exists()


def test_no_checkpoint_is_none(tmp_path):
    (tmp_path / "checkpoint-3").mkdir()
    (tmp_path / "out").mkdir()
    assert checkpoints.newest(tmp_path) is None


def test_fence_stops_all_but_the_last_owner(tmp_path):
    with pytest.raises(Superseded, match="nobody does"):
        checkpoints.require(tmp_path / "training", "first")
    checkpoints.take(tmp_path / "training", "first")
    checkpoints.require(tmp_path / "training", "first")
    checkpoints.take(tmp_path / "training", "second")
    with pytest.raises(Superseded, match="second does"):
        checkpoints.require(tmp_path / "training", "first")


def test_spent_is_kept_for_each_run(tmp_path):
    assert checkpoints.spent(tmp_path) == {}
    checkpoints.spend(tmp_path, "first", 1.5)
    checkpoints.spend(tmp_path, "second", 2)
    checkpoints.spend(tmp_path, "first", 3.25)
    (tmp_path / checkpoints.SPENT / f".first.{os.getpid()}").write_text("half a wri")
    assert checkpoints.spent(tmp_path) == {"first": 3.25, "second": 2.0}


def test_notes_of_two_threads_do_not_disturb_each_other(tmp_path):
    failed = []

    def note() -> None:
        try:
            for number in range(60):
                checkpoints.spend(tmp_path, "first", number)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=note) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert checkpoints.spent(tmp_path) == {"first": 59.0}
    assert [file.name for file in (tmp_path / checkpoints.SPENT).iterdir()] == ["first"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_said_in_our_words_and_the_old_file_stays(tmp_path, monkeypatch, code):
    checkpoints.take(tmp_path, "first")

    def full(_handle: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="Next: free disk space"):
        checkpoints.take(tmp_path, "second")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(checkpoints.FENCE, "first")]


def test_another_error_of_the_disk_stays_itself(tmp_path, monkeypatch):
    def broken(_handle: int) -> None:
        raise OSError(errno.EIO, "I/O error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="I/O error"):
        checkpoints.take(tmp_path, "first")
    assert list(tmp_path.iterdir()) == []


def test_left_is_what_was_spent_on_each_training_with_its_payer(tmp_path):
    for name in ("one", "two", "unpaid", "damaged"):
        checkpoints.take(tmp_path / name, "run-1")
        checkpoints.spend(tmp_path / name, "run-1", 1.5)
    checkpoints.charge(tmp_path / "one", "main", "cpu")
    checkpoints.charge(tmp_path / "two", "api", "cuda")
    (tmp_path / "damaged" / checkpoints.PAYER).write_text("{")
    (tmp_path / "a file").write_text("")
    assert checkpoints.left(tmp_path) == [
        Left("one", "main", "cpu", {"run-1": 1.5}),
        Left("two", "api", "cuda", {"run-1": 1.5}),
    ]
    assert checkpoints.left(tmp_path / "nothing") == []


def test_trainings_that_nobody_goes_on_with_are_removed_after_two_weeks(tmp_path):
    for name, days in (("old", 20), ("mine", 20), ("new", 1)):
        (tmp_path / name).mkdir()
        long_ago = time.time() - days * 86_400
        os.utime(tmp_path / name, (long_ago, long_ago))
    checkpoints.sweep(tmp_path, "mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "new"]
    checkpoints.sweep(tmp_path / "nothing", "mine")
