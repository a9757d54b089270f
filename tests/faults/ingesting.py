"""An ingestion over a folder, for tests that kill it: `python -m tests.faults.ingesting FOLDER` ticks and builds."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from assets.behavior import days
from assets.behavior.landing import reading
from assets.behavior.landing import tick as ticks
from assets.behavior.landing.folder import Landing
from assets.behavior.landing.lines import Limits
from assets.knowledge.sources import open_source
from orchestration.engines.lake import FolderLake

FILES, EVENTS, DAYS = 12, 400, 8


def write(folder: Path, version: int) -> None:
    """One version of all files: some replaced, some grown, some with ids that move to another day, some bad lines."""
    target = folder / "landing"
    target.mkdir(exist_ok=True)
    for number in range(FILES):
        choose = random.Random(f"{version}/{number}")  # noqa: S311
        lines = [_event(number, i, version, choose) for i in range(choose.randrange(EVENTS // 2, EVENTS))]
        text = "\n".join([*lines, "not json", ""])
        with (target / f"{number}.jsonl").open("a" if number % 3 == 0 else "w") as file:
            file.write(text)


def _event(number: int, i: int, version: int, choose: random.Random) -> str:
    record = {
        "id": f"{number}-{i}" if i % 10 else f"shared-{i}",
        "occurred_at": f"2026-08-{1 + choose.randrange(DAYS):02d}T10:00:00Z",
        "received_at": f"2026-08-20T10:{version:02d}:{choose.randrange(60):02d}Z",
    }
    if i % 17 == 5:
        return json.dumps(record | {"deleted": True})
    rest = {"prompt": "p" * choose.randrange(500), "response": f"version {version}", "passages": [], "release_id": "r"}
    return json.dumps(record | rest)


def opened(folder: Path) -> tuple[Landing, FolderLake]:
    """A landing whose commits and flushes are small, so that a kill finds something half done."""
    ticks._COMMIT_EVENTS, reading._RECHECK_SECONDS = 700, 0.0
    lake = FolderLake(folder / "lake")
    source = open_source(str(folder / "landing"), include=["**/*.jsonl"], base=folder, cache=folder / "git")
    return Landing(lake, source, limits=Limits(batch_events=50, flush_bytes=40_000)), lake


def run(folder: Path) -> None:
    """A tick, and every dirty day."""
    found, lake = opened(folder)
    found.tick()
    for day in found.dirty_days():
        days.materialize(lake, day)


if __name__ == "__main__":
    print("ready", flush=True)  # noqa: T201
    run(Path(sys.argv[1]))
    print("done", flush=True)  # noqa: T201
