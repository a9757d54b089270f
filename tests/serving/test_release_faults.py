"""kill -9 between any two steps, a full disk, two at once: the last good release stays, and nothing is lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from pathlib import Path

import pytest

from assets.errors import DiskFull, GateRefused
from orchestration.engines.lake import FolderLake
from tests.serving.models import House

FORK = multiprocessing.get_context("fork")


class Stumbling(FolderLake):
    """Does something at the n-th change of the disk: before it happens, or (halves) just after it."""

    def __init__(self, root: Path, moment: float, fall) -> None:
        super().__init__(root)
        self.left, self.fall = moment, fall

    def _step(self) -> None:
        self.left -= 0.5
        if self.left < 0:
            self.fall()

    def write_text(self, name, text):
        self._step()
        super().write_text(name, text)
        self._step()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def full() -> None:
    raise DiskFull("No space left while writing")


def killed(act) -> bool:
    """Runs `act` in a process of its own; whether it was killed on the way."""
    child = FORK.Process(target=act)
    child.start()
    child.join(60)
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode != 0


def moving(house: House, what: str, second: str) -> None:
    if what == "promote":
        house.releases.promote("main", second, why="w", by="ann")
    else:
        house.releases.rollback("main", why="w", by="ann")


@pytest.mark.parametrize("what", ["promote", "rollback"])
@pytest.mark.parametrize("moment", [0.0, 0.5, 1.0, 1.5, 2.0])
def test_kill_between_any_two_steps_leaves_one_release_or_the_other(tmp_path, what, moment):
    house = House(tmp_path, FolderLake(tmp_path / "lake"))
    below, first = house.promote("a0"), house.promote("a1")
    second = house.propose("a2")
    after = second if what == "promote" else below
    dying = House(tmp_path, Stumbling(tmp_path / "lake", moment, die))
    assert killed(lambda: moving(dying, what, second)) is (moment < 2)
    # a move that was written and not pointed to has not happened
    there = moment >= 1.5
    assert house.releases.served("main").id == (after if there else first)
    assert len(list(house.releases.moves.back("main"))) == (3 if there else 2)
    if not there:
        moving(house, what, second)  # the next one is not in the way of what was left
    assert house.releases.served("main").id == after
    assert [move.id for move in house.releases.moves.back("main")] == [after, first, below]


def test_kill_within_the_very_first_promote_leaves_none(tmp_path):
    house = House(tmp_path, FolderLake(tmp_path / "lake"))
    first = house.propose("a1")
    dying = House(tmp_path, Stumbling(tmp_path / "lake", 0.5, die))
    assert killed(lambda: dying.releases.promote("main", first, why="w", by="ann"))
    assert house.releases.moves.now("main") is None
    house.releases.promote("main", first, why="w", by="ann")
    assert house.releases.served("main").id == first


def test_kill_within_the_write_of_the_pointer_leaves_the_former_one(tmp_path):
    """The temporary file is written, and was not renamed yet."""
    house = House(tmp_path, FolderLake(tmp_path / "lake"))
    first, second = house.promote("a1"), house.propose("a2")
    real = Path.replace

    def act() -> None:
        Path.replace = lambda self, target: die() if str(target).endswith("pointer") else real(self, target)
        house.releases.promote("main", second, why="w", by="ann")

    assert killed(act)
    assert any((tmp_path / "lake" / "serving" / "releases" / "main").glob(".tmp-*"))
    assert house.releases.served("main").id == first


@pytest.mark.parametrize("what", ["promote", "rollback"])
@pytest.mark.parametrize("moment", [0.0, 1.0])
def test_full_disk_leaves_the_last_good_release(tmp_path, what, moment):
    house = House(tmp_path, FolderLake(tmp_path / "lake"))
    house.promote("a0")
    first, second = house.promote("a1"), house.propose("a2")
    with pytest.raises(DiskFull):
        moving(House(tmp_path, Stumbling(tmp_path / "lake", moment, full)), what, second)
    assert house.releases.served("main").id == first
    assert len(list(house.releases.moves.back("main"))) == 2
    moving(house, what, second)
    assert house.releases.served("main").id != first


def _promote(folder: Path, ids: list[str], barrier, ends) -> None:
    house = House(folder, FolderLake(folder / "lake"))
    barrier.wait()
    for id in ids:
        try:
            house.releases.promote("main", id, why="w", by=str(os.getpid()))
            ends.put((id, True))
        except GateRefused:
            ends.put((id, False))


def test_of_two_promotes_at_once_one_is_in_force_and_the_other_is_told(tmp_path):
    house = House(tmp_path, FolderLake(tmp_path / "lake"))
    for number in range(5):
        pair = [house.propose(f"a{number}-{side}") for side in "lr"]
        barrier, ends = FORK.Barrier(2), FORK.Queue()
        workers = [FORK.Process(target=_promote, args=(tmp_path, [id], barrier, ends)) for id in pair]
        for worker in workers:
            worker.start()
        told = dict(ends.get(timeout=60) for _ in workers)
        for worker in workers:
            worker.join(60)
        assert sorted(told.values()) == [False, True]
        assert told[house.releases.served("main").id]
    assert len(list(house.releases.moves.back("main"))) == 5


def test_reader_sees_whole_releases_while_they_change(tmp_path):
    house = House(tmp_path, FolderLake(tmp_path / "lake"))
    ids = {house.promote("a0"), house.promote("a1")}
    seen, ended, errors = set(), threading.Event(), []

    def read() -> None:
        mine = House(tmp_path, FolderLake(tmp_path / "lake")).releases
        while not ended.is_set():
            try:
                seen.add(mine.moves.now("main").id)
                assert len(list(mine.moves.back("main"))) >= 2
            except BaseException as error:  # noqa: BLE001 - reported by the test
                errors.append(error)
                return

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(30):
        if number % 2:
            house.releases.promote("main", sorted(ids)[number % 4 // 2], why="w", by="ann")
        else:
            house.releases.rollback(
                "main", why="w", by="ann", to=next(iter(ids - {house.releases.moves.now("main").id}))
            )
    ended.set()
    reader.join()
    assert not errors, errors
    assert seen == ids
