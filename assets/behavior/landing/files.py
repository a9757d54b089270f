"""One version of one landing file to parts of the lake.

| the file, compared with what was read of it | what is read |
|---|---|
| begins with the same bytes, and these end a line | what follows them |
| anything else; any file but plain JSON lines | all of it; events that it no longer has are withdrawn |
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import replace
from datetime import date
from typing import Any

import pyarrow as pa

from assets.behavior.events import EVENTS, add
from assets.behavior.landing.ledger import Entry, Part
from assets.behavior.landing.lines import GZIP, PARQUET, Limits
from assets.behavior.landing.reading import Change, Reading
from assets.behavior.landing.writes import Writes
from assets.behavior.mappings import formats as mappings
from assets.ports import Lake

_MOST_PARTS = 16  # of one file and day, before they are made one


class FileReader:
    """Reads files into a lake. `now` is in unix seconds, `erased` are the ids of which only tombstones are taken."""

    def __init__(
        self, lake: Lake, writes: Writes, limits: Limits, now: float, erased: frozenset[str] = frozenset()
    ) -> None:
        self._lake, self._writes, self._limits, self._now, self._erased = lake, writes, limits, now, erased

    def read(self, before: Entry, data: bytes, *, settled: bool, wanted: str = "auto") -> Change | None:
        """What became of a file whose bytes are now `data`; None where nothing did.

        `before` is its entry as it stands, with the new stamp; `settled` says that nobody is writing to it any more.
        """
        due = before.recheck_at is not None and self._now >= before.recheck_at
        kind = _kind(before.path, data, wanted)
        if kind == before.format and not due:
            if kind == "interactions" and (whole := _continued(before, data)) is not None:
                return self._tail(before, data, whole, settled)
            same = before.size == len(data) and before.sha == hashlib.sha256(data).hexdigest()
            if same and kind != "interactions" and not (before.waiting and settled):
                return None
        return self._whole(before, data, kind, settled)

    def _reading(self, before: Entry) -> Reading:
        entry = replace(before, version=before.version + 1)
        return Reading(self._lake, self._writes, entry, self._limits, self._now, self._erased)

    def _tail(self, before: Entry, data: bytes, whole: Any, settled: bool) -> Change | None:
        if len(data) == before.consumed:
            return None if before.size == len(data) else Change(replace(before, size=len(data), waiting=False))
        reading = self._reading(before)
        reading.lines = before.lines
        if before.consumed and data[before.consumed - 1 : before.consumed] != b"\n":
            reading.lines -= 1  # the line end that the last line still lacked comes first now
        consumed, waiting = reading.plain(data, before.consumed, settled)
        whole.update(memoryview(data)[before.consumed : consumed])
        parts = [*before.parts, *reading.finish({})]
        merged, dropped = self._merged(parts, reading)
        entry = replace(
            before if not (reading.parts or reading.refused) else reading.entry,
            size=len(data),
            consumed=consumed,
            sha=whole.hexdigest(),
            lines=reading.lines,
            waiting=waiting,
            parts=tuple(merged),
            recheck_at=_earlier(before.recheck_at, reading.recheck()),
        )
        return reading.change(entry, dropped, before.quarantine, before.quarantined)

    def _whole(self, before: Entry, data: bytes, kind: str, settled: bool) -> Change:
        reading = self._reading(before)
        consumed, waiting = len(data), False
        if kind == "interactions":
            consumed, waiting = reading.plain(data, 0, settled)
        elif kind == "gzip interactions":
            waiting = reading.gzip(data, settled)
        else:
            waiting = reading.mapped(data, kind, settled)
        old: dict[date, list[Part]] = defaultdict(list)
        for part in before.parts:
            old[part.day].append(part)
        if reading.damaged:
            reading.discard()
            parts = list(before.parts)  # the last whole version stays
        else:
            parts = reading.finish(old)
        kept = {part.name for part in parts}
        read = data if kind != "interactions" else memoryview(data)[:consumed]
        if not reading.whole:
            consumed = before.consumed if reading.damaged else 0
        entry = replace(
            reading.entry,
            size=len(data),
            format=kind,
            consumed=consumed,
            sha=hashlib.sha256(read).hexdigest(),
            lines=reading.lines,
            waiting=waiting,
            parts=tuple(parts),
            recheck_at=reading.recheck(),
            quarantine=None,
            quarantined=0,
        )
        return reading.change(entry, [part for part in before.parts if part.name not in kept], None, 0)

    def _merged(self, parts: list[Part], reading: Reading) -> tuple[list[Part], list[Part]]:
        """Makes the many small parts of a file that grows line by line one part a day."""
        days: dict[date, list[Part]] = defaultdict(list)
        for part in parts:
            days[part.day].append(part)
        merged, dropped = [], []
        for day, found in days.items():
            if len(found) <= _MOST_PARTS:
                merged += found
                continue
            self._writes.drain()  # the newest of them is one
            tables = [self._lake.read(part.name) for part in found]
            table = pa.concat_tables([table.cast(EVENTS) for table in tables if table is not None])
            merged.append(reading.store(day, table, add(part.sum for part in found), suffix="-m"))
            dropped += found
        return merged, dropped


def _kind(path: str, data: bytes, wanted: str) -> str:
    """What the bytes are: interactions, gzip interactions, parquet, openai or langfuse (these two also in gzip)."""
    if data.startswith(PARQUET) or (path.endswith(".parquet") and wanted in ("auto", "interactions")):
        return "parquet"
    packed = data.startswith(GZIP) or path.endswith(".gz")
    if wanted == "auto":
        wanted = mappings.sniff(data, packed=packed)
    return f"gzip {wanted}" if packed and wanted == "interactions" else wanted


def _continued(before: Entry, data: bytes) -> Any:
    """The hash of what was read of the file, to be gone on with; None where it no longer begins with that.

    Neither does it go on where what was read did not end a line, and no line end follows.
    """
    end = before.consumed
    if end > len(data):
        return None
    if not (end in (0, len(data)) or data[end - 1 : end] == b"\n" or data[end : end + 2].startswith((b"\n", b"\r\n"))):
        return None
    whole = hashlib.sha256(memoryview(data)[:end])
    return whole if whole.hexdigest() == before.sha else None


def _earlier(first: float | None, second: float | None) -> float | None:
    return min((time for time in (first, second) if time is not None), default=None)
