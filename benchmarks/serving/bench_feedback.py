"""Feedback over HTTP: events a second that are confirmed, each on disk, and what a kill -9 in the middle loses.

    python -m benchmarks.serving.bench_feedback [--seconds 20] [--exchanges 20000] [--connections 64]

A real server (one process) over a folder with answered questions, and one client process that sends feedback on random
ones of them over kept connections, with a correction in every third. Then the server is killed while it is written to,
and the folder is read: every event that was confirmed must be there. Beside it: appends to the journal alone, and syncs
of single lines, which is what feedback would cost without group commit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from orchestration.web import events
from orchestration.web.journal import Journal, Limits

GOAL = 1_000.0  # events a second, on two cores
PORT = 39_471


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--exchanges", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        report(Path(folder), options.seconds, options.exchanges, options.connections)


def serve(folder: Path) -> None:
    """The server, over an answering that nobody asks."""
    import uvicorn

    from orchestration.settings_serve import ServeSettings
    from orchestration.web.app import app

    nobody: Any = type("Nobody", (), {"variants": lambda _: ["main"], "problems": lambda _: []})()
    made = app(nobody, Journal(folder), ServeSettings(), library=nobody)
    uvicorn.run(made, host="127.0.0.1", port=PORT, log_level="warning")


def report(folder: Path, seconds: float, exchanges: int, connections: int) -> None:
    ids, alone = answered(folder, exchanges)
    single = one_by_one(folder / "single")
    server = subprocess.Popen([sys.executable, "-m", __spec__.name, "--serve", str(folder)])
    try:
        load = Load(ids, connections)
        asyncio.run(load.run(seconds, server))
    finally:
        server.kill()
        server.wait()
    lost = missing(folder, load.confirmed)
    rate = len(load.confirmed) / load.took
    p50, p99 = np.percentile(load.latencies, [50, 99]) * 1_000
    print(f"{exchanges:,} exchanges, {connections} connections, {len(os.sched_getaffinity(0))} cores, ", end="")
    print(f"load {os.getloadavg()[0]:.1f}")
    print(f"{'single lines, a sync each':46}{single:>12,.0f} events/s")
    print(f"{'the journal alone, group commit':46}{alone:>12,.0f} events/s")
    print(f"{'POST /v1/feedback':46}{rate:>12,.0f} events/s   p50 {p50:.1f} ms, p99 {p99:.1f} ms (goal: {GOAL:,.0f}/s)")
    cost = load.cpu / len(load.confirmed)
    print(
        f"{'as one core has time for (CPU of the server)':46}{1 / cost:>12,.0f} events/s   {cost * 1e6:.0f} us an event"
    )
    print(f"{'refused meanwhile':46}{load.refused:>12,}")
    print(f"{'confirmed, then kill -9: lost':46}{len(lost):>12,} of {len(load.confirmed):,}")


def answered(folder: Path, count: int) -> tuple[list[str], float]:
    """So many answered questions in the folder; their ids, and how many a second were appended."""
    at = datetime.now(UTC)
    ids = [events.new_id(at) for _ in range(count)]
    lines = [events.line(exchange(id, at), 1 << 20) for id in ids]
    journal = Journal(folder, Limits(backlog=count))
    journal.start()
    began = time.perf_counter()
    for waiting in [journal.append(line) for line in lines]:
        waiting.result()
    taken = time.perf_counter() - began
    journal.close()
    return ids, count / taken


def exchange(id: str, at: datetime) -> dict[str, Any]:
    """An event of a usual size: five passages, about 1.5 kB."""
    time = at.isoformat(timespec="microseconds")
    passages = [{"chunk_id": f"{n:08d}-0000-5000-8000-{n:012d}", "doc_id": f"handbook/a/{n}.md", "text_sha": "a" * 64}
                for n in range(5)]  # fmt: skip
    return {
        "id": id, "occurred_at": time, "received_at": time, "user": None, "variant": "main",
        "prompt": "How many unused days can I take into the next year?",
        "response": "You may take up to 8 unused days into the next year. [1]", "passages": passages,
        "release_id": "rel-0123456789ab", "feedback": "none", "corrected_response": None, "tags": ["served"],
    }  # fmt: skip


def one_by_one(folder: Path, count: int = 300) -> float:
    """Lines a second where each waits for its own sync."""
    folder.mkdir()
    line = events.line(exchange("x", datetime.now(UTC)), 1 << 20)
    with (folder / "lines").open("ab", buffering=0) as file:
        began = time.perf_counter()
        for _ in range(count):
            file.write(line)
            os.fsync(file.fileno())
        return count / (time.perf_counter() - began)


class Load:
    """Connections that send feedback one after the other; `confirmed` are (id, received_at) of the answers."""

    def __init__(self, ids: list[str], connections: int) -> None:
        self._ids, self._connections = ids, connections
        self.confirmed: list[tuple[str, str]] = []
        self.latencies: list[float] = []
        self.refused, self.took, self.cpu = 0, 0.0, 0.0

    async def run(self, seconds: float, server: subprocess.Popen[bytes]) -> None:
        """Sends for so long, and kills the server while requests are under way."""
        await self._up()
        began, before = time.perf_counter(), spent(server.pid)
        sending = [asyncio.create_task(self._send(number)) for number in range(self._connections)]
        await asyncio.sleep(seconds)
        self.cpu = spent(server.pid) - before
        server.kill()
        self.took = time.perf_counter() - began
        for ended in await asyncio.gather(*sending, return_exceptions=True):
            if not isinstance(ended, (OSError, asyncio.IncompleteReadError)):
                raise SystemExit(f"a connection ended with {ended!r}")

    async def _up(self) -> None:
        for _ in range(600):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", PORT)
                writer.close()
                return
            except OSError:
                await asyncio.sleep(0.1)
        raise SystemExit("the server did not start")

    async def _send(self, number: int) -> None:
        draw = random.Random(number)  # noqa: S311 - which answers are rated
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        while True:
            body: dict[str, Any] = {"id": draw.choice(self._ids), "feedback": draw.choice(["up", "down"])}
            if draw.random() < 1 / 3:
                body["corrected_response"] = "Up to 8 days. [1]"
            data = json.dumps(body).encode()
            began = time.perf_counter()
            writer.write(
                b"POST /v1/feedback HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
                + str(len(data)).encode() + b"\r\n\r\n" + data
            )  # fmt: skip
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))[15:])
            told = json.loads(await reader.readexactly(length))
            if head.startswith(b"HTTP/1.1 200"):
                self.confirmed.append((told["id"], told["received_at"]))
                self.latencies.append(time.perf_counter() - began)
            else:
                self.refused += 1


def spent(pid: int) -> float:
    """CPU seconds of a process."""
    used = psutil.Process(pid).cpu_times()
    return used.user + used.system


def missing(folder: Path, confirmed: list[tuple[str, str]]) -> set[tuple[str, str]]:
    """What was confirmed and is not there."""
    there = set()
    for path in folder.glob("served-*.jsonl"):
        for line in path.read_bytes().split(b"\n"):
            if line.endswith(b"}"):
                event = json.loads(line)
                there.add((event["id"], event["received_at"]))
    return set(confirmed) - there


if __name__ == "__main__":
    main()
