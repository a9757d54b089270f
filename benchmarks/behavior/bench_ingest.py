"""Ingestion: events a second, materialization, what a tick costs that finds nothing, peak memory.

    python benchmarks/behavior/bench_ingest.py [--events 1000000] [--days 60] [--files 400]

Events are about 700 bytes with three passages without text, as JSON lines. One process; the data is made first.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from assets.behavior import days  # noqa: E402
from assets.behavior.landing.folder import Landing  # noqa: E402
from assets.knowledge.sources import open_source  # noqa: E402
from orchestration.engines.lake import FolderLake  # noqa: E402

START = datetime(2026, 1, 1, tzinfo=UTC)
SENTENCE = "how do I request access to the warehouse when my manager is away and the report is due on Monday"
WORDS = SENTENCE.split()


def event(number: int, day: int, choose: random.Random) -> bytes:
    at = START + timedelta(days=day, seconds=choose.randrange(86_400), microseconds=choose.randrange(1_000_000))
    sample = [f"{choose.getrandbits(128):032x}" for _ in range(3)]
    record = {
        "id": f"{choose.getrandbits(64):016x}-{number:08d}",
        "occurred_at": at.isoformat(),
        "received_at": (at + timedelta(seconds=choose.randrange(1, 3_000))).isoformat(),
        "user": f"user-{choose.randrange(5_000)}",
        "prompt": " ".join(choose.choices(WORDS, k=12)),
        "response": " ".join(choose.choices(WORDS, k=20)),
        "passages": [
            {"chunk_id": s[:12], "doc_id": f"handbook/{choose.randrange(200)}.md", "text_sha": s} for s in sample
        ],
        "release_id": "release-0007",
        "feedback": choose.choice(["up", "down", "none", "none"]),
    }
    return json.dumps(record).encode() + b"\n"


def write(folder: Path, events: int, days_: int, files: int) -> int:
    """Files that hold one day each, as a producer that rotates its log would leave them. Returns their bytes."""
    choose, size, each = random.Random(4), 0, max(1, events // files)  # noqa: S311
    for number in range(files):
        with (folder / f"{number:04d}.jsonl").open("wb") as file:
            for line in lines(number, each, days_, choose):
                size += file.write(line)
    return size


def lines(number: int, each: int, days_: int, choose: random.Random) -> Iterator[bytes]:
    for i in range(each):
        yield event(number * each + i, number % days_, choose)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def landing(home: Path) -> Landing:
    source = open_source(
        str(home / "landing"), include=["**/*.jsonl"], base=home, cache=home / "git", max_bytes=1 << 40
    )
    return Landing(FolderLake(home / "lake"), source)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--files", type=int, default=400)
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="twohands-bench-"))
    try:
        (home / "landing").mkdir()
        size = write(home / "landing", given.events, given.days, given.files)
        time.sleep(2.1)  # a source does not trust the time stamps of files younger than two seconds
        results = measure(home, given.files) | {"bytes_per_event": round(size / given.events)}
    finally:
        shutil.rmtree(home)
    if os.getloadavg()[0] > 0.5 * (os.cpu_count() or 1):
        print(f"The machine is busy (load {os.getloadavg()[0]:.1f}): the figures are too low.")
    for name, value in results.items():
        print(f"{name:28} {value:,}")
    out = ROOT / "benchmarks" / "out"
    out.mkdir(exist_ok=True)
    (out / "ingest.json").write_text(json.dumps(vars(given) | results, indent=1) + "\n")


def measure(home: Path, files: int) -> dict[str, float]:
    before = peak()
    began, cpu = time.perf_counter(), time.process_time()
    report = landing(home).tick()
    ingest, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert report.files == files, report
    after_ingest = peak()
    began = time.perf_counter()
    lake = FolderLake(home / "lake")
    rows = sum(days.materialize(lake, day).rows for day in report.days)
    build = time.perf_counter() - began
    assert rows == report.accepted, (rows, report)
    idle = []
    for _ in range(5):
        fresh = landing(home)
        began = time.perf_counter()
        assert fresh.tick().files == 0
        idle.append(time.perf_counter() - began)
    return {
        "events": report.accepted,
        "ingest_events_per_s": round(report.accepted / ingest),
        "ingest_events_per_cpu_s": round(report.accepted / cpu),  # of all threads: what other processes cost is not in
        "materialize_events_per_s": round(rows / build),
        "no_op_tick_s": round(sorted(idle)[2], 4),
        "append_tick_s": round(appended(home), 4),
        "peak_gib_before": round(before, 2),
        "peak_gib_ingest": round(after_ingest, 2),
        "peak_gib": round(peak(), 2),
    }


def appended(home: Path) -> float:
    """One event more at the end of one file: the tick that reads it."""
    with next((home / "landing").iterdir()).open("ab") as file:
        file.write(event(10**9, 0, random.Random(5)))  # noqa: S311
    began = time.perf_counter()
    assert landing(home).tick().accepted == 1
    return time.perf_counter() - began


if __name__ == "__main__":
    assert hashlib.sha256(b"").hexdigest()  # OpenSSL is loaded before the clock starts
    main()
