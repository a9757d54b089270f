"""One pass over one version of a landing file: lines to parts, refusals to the quarantine.

| the end of the file | young | unchanged for `settle_seconds` |
|---|---|---|
| a line end, or a whole JSON text | read | read |
| half a line | waits | quarantined as truncated |
| half a gzip stream | all of it waits | all of it is quarantined as truncated |

A compressed or Parquet file that is damaged or not whole takes nothing away: events of its last whole version stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
import pyarrow as pa

from assets.behavior.events import Collector, DayOfEvents, add, shas
from assets.behavior.interactions import parse
from assets.behavior.landing.ledger import FILE, Entry, Part
from assets.behavior.landing.lines import BOM, Cutter, Inflater, Limits, inflated, plain_chunks
from assets.behavior.landing.parquet import parquet_lines
from assets.behavior.landing.writes import Writes
from assets.behavior.mappings import formats as mappings
from assets.behavior.quarantine import Reason, Rejected
from assets.ports import Lake

QUARANTINE = pa.schema(
    [
        ("file", pa.string()),
        ("line", pa.int64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("at", pa.float64()),  # when it was put aside, unix seconds
    ]
)
_DAMAGED = {  # as the reason of a whole file
    Reason.CORRUPT_GZIP,
    Reason.INFLATES_TOO_MUCH,
    Reason.CORRUPT_PARQUET,
    Reason.TRUNCATED,
    Reason.NOT_JSON,
}
_HALF = {Reason.TRUNCATED, Reason.NOT_JSON, Reason.WRONG_ENCODING, Reason.BINARY, Reason.NUL, Reason.LONE_SURROGATE}
_RECHECK_SECONDS = 3600.0  # a file with future-dated events is not read again more often
_HELD_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Change:
    """What reading a file came to: its new entry, the parts that are new and gone, and what the new events are."""

    entry: Entry
    added: tuple[tuple[date, np.ndarray], ...] = ()  # hashes of the ids of new parts, by day
    dropped: tuple[Part, ...] = ()
    fresh: tuple[np.ndarray, ...] = ()  # hashes of the ids of events that the file did not have before
    deleted: int = 0  # tombstones among these
    reasons: Mapping[str, int] = field(default_factory=dict)  # of the lines that were refused now


def put_aside(lake: Lake, name: str | None, seen_at: float) -> pa.Table:
    """The refused lines that a ledger's entry names (schema QUARANTINE); `seen_at` stands for times not yet kept."""
    table = lake.read(name) if name else None
    if table is None:
        return QUARANTINE.empty_table()
    if "at" not in table.schema.names:
        table = table.append_column("at", pa.array([seen_at] * table.num_rows, pa.float64()))
    return table.select(QUARANTINE.names).cast(QUARANTINE)


class _Held:
    """Lines that are read together: one by one, each would cost twenty times as much."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.clear()

    def clear(self) -> None:
        """Holds none."""
        self.lines: list[bytes | None] = []
        self.numbers: list[int] = []
        self._bytes = 0

    def full(self, line: bytes, number: int) -> bool:
        """Holds one more; whether it is time to read them."""
        self.lines.append(line if len(line) <= self._limits.line_bytes else None)
        self.numbers.append(number)
        self._bytes += len(line)
        return len(self.lines) >= self._limits.batch_events or self._bytes >= _HELD_BYTES


class Reading:
    """One pass over one version of a file."""

    def __init__(
        self,
        lake: Lake,
        writes: Writes,
        entry: Entry,
        limits: Limits,
        now: float,
        erased: frozenset[str] = frozenset(),
    ) -> None:
        self.entry, self.lines = entry, 0
        self._stands = bool(entry.parts) and entry.consumed > 0  # a whole version of the file
        self.parts: list[Part] = []
        self._lake, self._writes, self._limits, self._now = lake, writes, limits, now
        self._collector = Collector(limits, now, erased)
        self._flushes = 0
        self.damaged = False  # nothing of this version may be believed
        self.whole = True  # the file was read to its end
        self._added: list[tuple[date, np.ndarray]] = []
        self._fresh: list[np.ndarray] = []
        self._deleted = 0

    @property
    def refused(self) -> list[tuple[int, str, str]]:
        """Line, reason, detail of what was refused."""
        return self._collector.refused

    def plain(self, data: bytes, start: int, settled: bool) -> tuple[int, bool]:
        """JSON lines from a place on. Returns how many bytes are read for good, and whether something waits."""
        cutter = Cutter(self._limits.line_bytes)
        for chunk in plain_chunks(data, start):
            self._take(cutter.feed(chunk))
        consumed = start + cutter.consumed + (len(BOM) if start == 0 and data.startswith(BOM) else 0)
        if not cutter.holds:
            return consumed, False
        waiting = self._last(cutter.last, settled)
        return (consumed if waiting else len(data)), waiting

    def gzip(self, data: bytes, settled: bool) -> bool:
        """Compressed JSON lines. Returns whether something waits.

        A flipped bit makes other, valid lines long before zlib or the checksum at the end notices: nothing of a file
        is taken before all of it was inflated once. A stream that is cut has no checksum yet: nothing of it is taken.
        """
        checked = inflated(data, self._limits)
        self.whole = checked.problem is None and not checked.incomplete
        if checked.problem is Reason.CORRUPT_GZIP or checked.incomplete or (self._stands and not self.whole):
            self.damaged = True
            if checked.incomplete and not settled:
                return True
            why = "the checksum does not fit" if checked.problem is Reason.CORRUPT_GZIP else "it ends early"
            why = "it is too large unpacked" if checked.problem is Reason.INFLATES_TOO_MUCH else why
            reason = checked.problem or Reason.TRUNCATED
            self._collector.refuse(0, Rejected(reason, f"{why}: nothing of it is read, and what was read before stays"))
            return False
        cutter, inflater = Cutter(self._limits.line_bytes), Inflater(data, self._limits)
        for chunk in inflater.chunks():
            self._take(cutter.feed(chunk))
        if inflater.problem is not None:
            self._collector.refuse(
                self.lines + 1, Rejected(inflater.problem, f"after line {self.lines}; the rest is lost")
            )
            return False
        return self._last(cutter.last, settled) if cutter.holds else False

    def mapped(self, data: bytes, kind: str, settled: bool) -> bool:
        """Parquet, or a format that is mapped as a whole. Returns whether it waits."""
        held = _Held(self._limits)
        try:
            whole = data if settled or kind == "parquet" else mappings.whole(data)
            waits = len(whole) < len(data)
            found = (
                parquet_lines(data, self._limits) if kind == "parquet" else mappings.lines(whole, kind, self._limits)
            )
            for number, line in found:
                self.lines = max(self.lines, number)
                if not isinstance(line, Rejected):
                    if held.full(line, number):
                        self._take_held(held)
                elif line.reason is Reason.CORRUPT_PARQUET and self._stands:
                    raise line
                else:
                    self._collector.refuse(number, line)
            self._take_held(held)
        except Rejected as refusal:
            self._take_held(held)  # what was read before it
            self.whole = False
            self.damaged = refusal.reason in _DAMAGED
            if refusal.reason in (Reason.CORRUPT_PARQUET, Reason.TRUNCATED) and not settled:
                return True
            self._collector.refuse(0, refusal)
            return False
        return waits

    def discard(self) -> None:
        """Forgets the events of this version; what was refused stays."""
        self._collector.discard()
        self.parts, self._added, self._fresh, self._deleted = [], [], [], 0

    def finish(self, old: Mapping[date, list[Part]]) -> list[Part]:
        """Stores what is held and returns the parts of this version. A day that is as it was keeps its old parts."""
        self._flush(old if not self._flushes else {})
        return self.parts

    def store(self, day: date, table: pa.Table, total: bytes, suffix: str = "") -> Part:
        """Writes one part."""
        name = f"behavior/events/{day}/{self.entry.key}-{self.entry.version}{suffix}.parquet"
        path = self.entry.path.encode("utf-8", "surrogatepass")
        self._writes.put(name, table.replace_schema_metadata({FILE: path}))
        return Part(day, name, table.num_rows, total)

    def recheck(self) -> float | None:
        """When the file is to be read again for its future-dated events."""
        due = self._collector.recheck
        return None if due is None else max(due, self._now + _RECHECK_SECONDS)

    def change(self, entry: Entry, dropped: list[Part], quarantine: str | None, quarantined: int) -> Change:
        """The outcome; writes the quarantine of this version, which holds what stood in the former one too."""
        if self.refused:
            old = put_aside(self._lake, quarantine, entry.seen_at)
            lines, reasons, details = zip(*self.refused, strict=True)
            files, times = [entry.path] * len(lines), [self._now] * len(lines)
            new = pa.table([files, lines, reasons, details, times], schema=QUARANTINE)
            name = f"behavior/quarantine/{entry.key}-{entry.version}.parquet"
            self._writes.put(name, pa.concat_tables([old, new]))
            entry = replace(entry, quarantine=name, quarantined=quarantined + new.num_rows)
        reasons = Counter(reason for _, reason, _ in self.refused)
        return Change(entry, tuple(self._added), tuple(dropped), tuple(self._fresh), self._deleted, reasons)

    def _take(self, lines: list[bytes | None]) -> None:
        self._collector.take(lines, range(self.lines + 1, self.lines + 1 + len(lines)))
        self.lines += len(lines)
        self._flush_if_full()

    def _take_held(self, held: _Held) -> None:
        self._collector.take(held.lines, held.numbers)
        held.clear()
        self._flush_if_full()

    def _last(self, line: bytes | None, settled: bool) -> bool:
        """The end of a file that is not the end of a line. Returns whether it waits."""
        half = None
        if line is None:
            half = Rejected(Reason.LINE_TOO_LONG, f"longer than {self._limits.line_bytes:,} bytes")
        elif line.strip():
            try:
                parse(line.strip())
            except Rejected as refusal:
                half = refusal if refusal.reason in _HALF else None
        if half is None:
            self._take([line])
            return False
        if not settled:
            return True
        if line is not None and line.lstrip().startswith(b"{") and not line.rstrip().endswith(b"}"):
            half = Rejected(Reason.TRUNCATED, "the file ends in the middle of this line")
        self.lines += 1
        self._collector.refuse(self.lines, half)
        return False

    def _flush_if_full(self) -> None:
        if self._collector.bytes > self._limits.flush_bytes:
            self._flush({})

    def _flush(self, old: Mapping[date, list[Part]]) -> None:
        suffix = f"-{self._flushes}" if self._flushes else ""
        self._flushes += 1
        for found in self._collector.days():
            before = old.get(found.day, [])
            if (
                before
                and add(p.sum for p in before) == found.sum
                and sum(p.rows for p in before) == found.table.num_rows
            ):
                self.parts += before
                continue
            self.parts.append(self.store(found.day, found.table, found.sum, suffix))
            self._note(found, before)

    def _note(self, found: DayOfEvents, before: list[Part]) -> None:
        """Counts what is new. Where a file was so large that it took several flushes, all of it counts as new."""
        hashes = found.table.column("id_hash").to_numpy()
        deleted = found.table.column("deleted").combine_chunks().to_numpy(zero_copy_only=False)
        self._added.append((found.day, hashes))
        if before:
            had = np.concatenate([shas(self._lake.columns(part.name, ["sha"]))[:, 0] for part in before])
            new = ~np.isin(shas(found.table)[:, 0], had)
            hashes, deleted = hashes[new], deleted[new]
        self._fresh.append(hashes)
        self._deleted += int(deleted.sum())
