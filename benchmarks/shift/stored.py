"""Streams from files: rows of day, topic, event, n, S, as `twohands daily` prints them.

A directory holds one stream a file (.jsonl, .jsonl.gz, .csv or .parquet); a single file may hold several, told apart by
a column `stream`. A column `change` (a day, on every row of a stream or on its first) names the first day of changed
behavior; a file truth.json beside them, {stream: day or null}, does so too. A stream of neither is taken as quiet.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

from assets.decision.counts import DailyCounts, from_rows
from assets.errors import Final
from benchmarks.shift.streams import REFERENCE, Counts, Stream

ENDINGS = (".jsonl", ".jsonl.gz", ".csv", ".parquet")
TRUTH = "truth.json"


def read(path: Path) -> list[Stream]:
    """All streams of a directory or file. Final when there is none, or a stream is too short."""
    files = sorted(p for p in path.iterdir() if p.name.endswith(ENDINGS)) if path.is_dir() else [path]
    beside = (path if path.is_dir() else path.parent) / TRUTH
    truth: dict[str, str | None] = json.loads(beside.read_text()) if beside.exists() else {}
    found = [stream for file in files for stream in _streams(file, truth)]
    if not found:
        raise Final(
            f"no stream in {path}", expected=f"files that end in {', '.join(ENDINGS)}", next_step="name another path"
        )
    return found


def stream_of(name: str, daily: DailyCounts, change: date | None, number: int = 0) -> Stream:
    """Daily counts as a stream of the benchmark. Final when nothing is left to monitor."""
    if daily.days <= REFERENCE:
        raise Final(f"stream {name}: {daily.days} days", expected=f"more than the {REFERENCE} of the reference")
    counts = {event: Counts(daily.n[event], daily.S[event]) for event in daily.n}
    first = None if change is None else (change - daily.first_day).days - REFERENCE
    mean = float(daily.n["labelled"].sum() / daily.days) if "labelled" in daily.n else 0.0
    return Stream(name, number, counts, first, {}, mean)


def _streams(file: Path, truth: dict[str, str | None]) -> Iterator[Stream]:
    name = file.name.removesuffix(".gz").rsplit(".", 1)[0]
    parts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _rows(file):
        parts[str(row.get("stream", name))].append(row)
    for number, (stream, rows) in enumerate(parts.items()):
        said = next((row["change"] for row in rows if row.get("change")), truth.get(stream))
        yield stream_of(stream, from_rows(rows), date.fromisoformat(str(said)[:10]) if said else None, number)


def _rows(file: Path) -> Iterable[dict[str, Any]]:
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        return pq.read_table(file).to_pylist()
    if file.suffix == ".csv":
        with file.open(newline="") as text:
            return list(csv.DictReader(text))
    raw = file.read_bytes()
    text = (gzip.decompress(raw) if file.suffix == ".gz" else raw).decode("utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()]
