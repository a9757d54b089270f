"""A lake and a source in memory, and events to land in them."""

from __future__ import annotations

import hashlib
import json
from contextlib import nullcontext
from datetime import date

import pyarrow as pa

from assets.behavior import days
from assets.behavior.landing.folder import Landing
from assets.errors import SourceBusy
from assets.ports import Listing, SourceFile

NOW = 1_790_000_000.0  # 2026-09-21
LONG_AGO = NOW - 10_000_000


class MemoryLake:
    """Tables and texts in a dict."""

    def __init__(self) -> None:
        self.stored: dict[str, object] = {}
        self.reads: list[str] = []

    def read(self, name):
        self.reads.append(name)
        return self.stored.get(name)

    def write(self, name, table):
        self.stored[name] = table

    def columns(self, name, columns):
        self.reads.append(name)
        return self.stored[name].select(list(columns))

    def read_text(self, name):
        return self.stored.get(name)

    def write_text(self, name, text):
        self.stored[name] = text

    def names(self, prefix):
        return sorted(name for name in self.stored if name.startswith(prefix + "/"))

    def remove(self, names):
        for name in list(names):
            self.stored.pop(name, None)

    def size(self, prefix):
        return 0

    def lock(self, name, timeout):
        return nullcontext()


class Folder:
    """Files in a dict; `modified` is when the files last changed, `busy` are those that change while they are read."""

    def __init__(self, files=None, modified=LONG_AGO) -> None:
        self.files: dict[str, bytes] = dict(files or {})
        self.modified: float | None = modified
        self.busy: set[str] = set()
        self.reads: list[str] = []

    def list(self) -> Listing:
        return Listing(
            tuple(
                SourceFile(path, len(data), hashlib.sha256(data).hexdigest(), self.modified)
                for path, data in sorted(self.files.items())
            )
        )

    def read(self, file: SourceFile) -> bytes:
        if file.path in self.busy:
            raise SourceBusy(f"{file.path} changed")
        self.reads.append(file.path)
        return self.files[file.path]


class Desk:
    """A landing with all that it stands on, and a clock."""

    def __init__(self, files=None, lake=None, modified=LONG_AGO, **limits) -> None:
        from assets.behavior.landing.lines import Limits

        self.folder = Folder(files, modified)
        self.lake = lake if lake is not None else MemoryLake()
        self.clock = NOW
        self.landing = Landing(self.lake, self.folder, now=lambda: self.clock, limits=Limits(**limits))

    def tick(self):
        return self.landing.tick()

    def build(self):
        return {day: days.materialize(self.lake, day) for day in self.landing.dirty_days()}

    def rows(self, day):
        table = self.lake.stored.get(f"behavior/interactions/day={day}/data.parquet")
        return table.to_pylist() if table is not None else []

    def tables(self) -> dict[str, list]:
        """Every day that has rows, and its rows."""
        names = self.lake.names("behavior/interactions")
        found = {n: self.lake.stored[n].to_pylist() for n in names if n.endswith("data.parquet")}
        return {name: rows for name, rows in found.items() if rows}

    def ids(self) -> dict[str, list[str]]:
        return {name[31:36]: [row["id"] for row in rows] for name, rows in self.tables().items()}

    def quarantined(self):
        return [(row["file"], row["line"], row["reason"]) for row in days.quarantined(self.lake)]


def event(id="a", day=2, received=20, **fields) -> dict:
    """An interaction of a day of August 2026, received on another."""
    return {
        "id": id,
        "occurred_at": f"2026-08-{day:02d}T10:00:00Z",
        "received_at": f"2026-08-{received:02d}T11:00:00+00:00",
        "prompt": "How do I ask for leave?",
        "response": "Ask your manager.",
        "passages": [{"chunk_id": "c1", "doc_id": "handbook/leave.md", "text_sha": "ab" * 32}],
        "release_id": "r1",
        **fields,
    }


def tombstone(id="a", day=2, received=25) -> dict:
    full = event(id, day, received)
    return {name: full[name] for name in ("id", "occurred_at", "received_at")} | {"deleted": True}


def line(*events: dict) -> bytes:
    return b"".join(json.dumps(e).encode() + b"\n" for e in events)


def august(day: int) -> date:
    return date(2026, 8, day)


def table(name, lake) -> pa.Table:
    return lake.stored[name]
