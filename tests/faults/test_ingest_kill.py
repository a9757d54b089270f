"""kill -9 in a tick or while days are built: the next run comes to the tables of one that was never killed."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assets.behavior import days
from tests.faults.ingesting import opened, run, write

ROOT = Path(__file__).resolve().parent.parent.parent
KILLS = 8


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.faults.ingesting", str(folder)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    return child


def tables(folder: Path) -> dict[str, list]:
    _, lake = opened(folder)
    names = [name for name in lake.names("behavior/interactions") if name.endswith("data.parquet")]
    return {name: rows for name in names if (rows := lake.read(name).to_pylist())}


def quarantined(folder: Path) -> list[dict]:
    """All but when."""
    return [{**row, "at": None} for row in days.quarantined(opened(folder)[1])]


@pytest.mark.timeout(600)
def test_killed_ingestion_loses_and_doubles_nothing(tmp_path):
    killed, fresh = tmp_path / "killed", tmp_path / "fresh"
    killed.mkdir()
    write(killed, 0)
    child, began = start(killed), time.perf_counter()  # the start of the interpreter is not worth a kill
    assert child.wait(120) == 0
    duration = time.perf_counter() - began
    choose = random.Random(7)  # noqa: S311
    hits = 0
    for version in range(1, KILLS + 1):
        write(killed, version)
        child = start(killed)
        time.sleep(choose.uniform(0, duration))
        child.kill()
        hits += child.wait() != 0
        if version % 2:
            run(killed)
    assert hits >= KILLS // 2, f"only {hits} of {KILLS} kills came in time"
    run(killed)
    fresh.mkdir()
    (fresh / "landing").symlink_to(killed / "landing")
    run(fresh)
    assert tables(killed) == tables(fresh)
    assert len(tables(fresh)) > 1
    assert quarantined(killed) == quarantined(fresh)
    assert opened(killed)[0].dirty_days() == []
    assert sum(map(len, tables(killed).values())) == len(
        {row["id"] for rows in tables(killed).values() for row in rows}
    )
