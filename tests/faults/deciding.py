"""A decision over a folder, for tests that kill it: the process kills itself in the middle of its n-th write."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assets.behavior import frozen
from assets.decision.acting import Claim
from assets.decision.assets import freeze
from assets.decision.ending import end
from assets.decision.pipeline import Decision
from orchestration.engines.lake import FolderLake
from orchestration.ledger import LakeLedger
from tests.decision.house import CHANGE, House

FIRED = CHANGE + 3
FINETUNE = "cli-1"


class DyingLake(FolderLake):
    """`kill -9` comes when the n-th write (from 1) lies in its temporary file and not yet in its place; 0: never."""

    def __init__(self, root: Path, dies_at: int) -> None:
        super().__init__(root)
        self.writes, self._dies_at = 0, dies_at

    @contextmanager
    def _replacing(self, name: str) -> Iterator[Any]:
        with super()._replacing(name) as file:
            yield file
            self.writes += 1
            if self.writes == self._dies_at:
                os.fsync(file.fileno())
                os.kill(os.getpid(), signal.SIGKILL)


class Data:
    """Freezing, from a house's warehouse."""

    def __init__(self, house: House, lake: FolderLake) -> None:
        self._house, self._lake = house, lake

    def freeze(self, variant: str, first, last, request: str) -> frozen.Frozen:
        rows = self._house.marts.candidates(
            [self._house.day(n) for n in range(FIRED + 1) if self._house.day(n) >= first]
        )
        return frozen.freeze(self._lake, rows, variant=variant, request=request, first=first, last=last)


def opened(folder: Path, dies_at: int = 0) -> tuple[House, Decision, DyingLake]:
    """A house as a process finds it, on the day on which the shift is shown."""
    house, lake = House(folder).at(FIRED), DyingLake(folder / "lake", dies_at)
    return house, house.opened(lake=lake, ledger=LakeLedger(lake)), lake


def finetune(folder: Path, dies_at: int = 0) -> int:
    """Evidence, verdict, request, freezing, end: whatever of it is still to be done. Returns the number of writes."""
    house, decision, lake = opened(folder, dies_at)
    decision.observe("main")
    decision.judge("main")
    if (claim := _claim(decision)) is not None:
        freeze(decision, Data(house, lake), claim, FINETUNE)  # pyright: ignore[reportArgumentType]
        end(decision.ledger, "main", FINETUNE, "the gate refused it")
    decision.judge("main")
    return lake.writes


def _claim(decision: Decision) -> Claim | None:
    due = decision.finetunes.due("main")
    cause = due[0] if due else decision.finetunes.resumable("main", "cli-")
    return decision.finetunes.begin("main", cause, FINETUNE, "test") if cause else None


def judge(folder: Path, dies_at: int = 0) -> int:
    """Only evidence and verdict."""
    _, decision, lake = opened(folder, dies_at)
    decision.judge("main")
    return lake.writes


def refreeze(folder: Path, dies_at: int = 0) -> int:
    """A person freezes what is usual anew."""
    _, decision, lake = opened(folder, dies_at)
    decision.refreeze("main", "another style", "ann")
    decision.judge("main")
    return lake.writes


def main() -> None:
    """For each line of input, [story, folder, dies at], forks a child that runs it; prints its exit code."""
    stories = {story.__name__: story for story in (finetune, judge, refreeze)}
    for line in sys.stdin:
        story, folder, dies_at = json.loads(line)
        if (child := os.fork()) == 0:
            stories[story](Path(folder), dies_at)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 -- to the test


if __name__ == "__main__":
    main()
