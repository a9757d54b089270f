"""Lines to tables of events: validated, timed, hashed, and split by event day."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic_core import to_json

from assets.behavior.interactions import (
    ALWAYS,
    PASSAGE_KEYS,
    PASSAGE_KEYS_NEEDED,
    UNLESS_DELETED,
    check,
    incomplete,
    read,
    surely_checked,
)
from assets.behavior.landing.lines import Limits
from assets.behavior.quarantine import Reason, Rejected
from assets.behavior.schemas import INTERACTIONS

# A stored event: an interaction, whether it is a tombstone, the hash of its line, and a short hash of its id.
EVENTS = pa.schema([*INTERACTIONS, ("deleted", pa.bool_()), ("sha", pa.binary(16)), ("id_hash", pa.uint64())])
DAY = "day"
_STORED = EVENTS.append(pa.field(DAY, pa.int32()))
_DAY_US = 86_400_000_000
_ODD = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))
_EPOCH = date(1970, 1, 1)
_TIME = pa.timestamp("us", tz="UTC")


def id_hashes(ids: pa.Array) -> np.ndarray:
    """64 bits for each id that find it again; whoever uses them compares the ids themselves.

    A polynomial of the bytes, evaluated from the end modulo 2^64, and mixed (the finalizer of MurmurHash3).
    """
    offsets = np.frombuffer(ids.buffers()[1], np.int32)[ids.offset : ids.offset + len(ids) + 1]
    data = np.frombuffer(ids.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]
    starts, lengths = offsets[:-1] - offsets[0], np.diff(offsets)
    from_end = np.repeat(starts + lengths, lengths) - np.arange(len(data)) - 1
    powers = np.multiply.accumulate(np.full(lengths.max(initial=1), _ODD)) * _ODD
    found = np.add.reduceat((data.astype(np.uint64) + np.uint64(1)) * powers[from_end], starts)
    for factor in _MIX:
        found = (found ^ (found >> np.uint64(33))) * factor
    return found ^ (found >> np.uint64(33))


def day_of(number: int) -> date:
    """Days since 1970 as a date."""
    return _EPOCH + timedelta(days=int(number))


def number_of(day: date) -> int:
    """A date as days since 1970."""
    return (day - _EPOCH).days


@dataclass(frozen=True, slots=True)
class DayOfEvents:
    """Events of one day, in the order of their lines, and the sum of their hashes (see `add`)."""

    day: date
    table: pa.Table
    sum: bytes


def add(sums: Iterable[bytes]) -> bytes:
    """The digest of a multiset of events, from the digests of its parts: two sums modulo 2^64, 16 bytes.

    However events are spread over files and parts, and in whatever order, equal events have an equal sum.
    """
    pairs = np.frombuffer(b"".join(sums), "<u8").reshape(-1, 2)
    return pairs.sum(axis=0, dtype=np.uint64).astype("<u8").tobytes()


def sum_of(table: pa.Table) -> bytes:
    """As `add`, of a table's events."""
    return add(shas(table).reshape(-1).tobytes() for _ in (0,))


def shas(table: pa.Table) -> np.ndarray:
    """The hashes of a table's events: uint64 [rows, 2]."""
    return fixed(table.column("sha"))


def fixed(column: pa.ChunkedArray) -> np.ndarray:
    """16-byte values without nulls as uint64 [rows, 2]."""
    pieces = [
        np.frombuffer(c.buffers()[1], "<u8")[2 * c.offset : 2 * (c.offset + len(c))] for c in column.chunks if len(c)
    ]
    return (np.concatenate(pieces) if pieces else np.empty(0, "<u8")).reshape(-1, 2)


class Collector:
    """Takes lines, keeps events until they are taken away by day, and keeps the reasons of what it refused.

    Of the interactions whose ids are `erased` every line is a tombstone, whatever it says.
    """

    def __init__(self, limits: Limits, now: float, erased: frozenset[str] = frozenset()) -> None:
        self._limits, self._erased = limits, erased
        self._now_us = int(now * 1e6)
        self._tables: list[pa.Table] = []
        self.bytes = 0  # of the events held
        self.refused: list[tuple[int, str, str]] = []  # line, reason, detail
        self.recheck: float | None = None  # when the first of the future-dated events has come to pass, unix seconds

    def take(self, lines: Sequence[bytes | None], numbers: Sequence[int]) -> None:
        """Reads lines; each has its number. None is a line over the limit. Many at once cost far less each than one."""
        most = self._limits.batch_events
        for start in range(0, len(lines), most):
            self._batch(lines[start : start + most], numbers[start : start + most])

    def _batch(self, lines: Sequence[bytes | None], places: Sequence[int]) -> None:
        rows: list[dict[str, Any]] = []
        whole: list[bytes] = []
        numbers: list[int] = []
        for number, line in zip(places, lines, strict=True):
            try:
                if line is None:
                    raise Rejected(Reason.LINE_TOO_LONG, f"longer than {self._limits.line_bytes:,} bytes")
                line = line.strip()
                if line:
                    rows.append(read(line))
                    whole.append(line)
                    numbers.append(number)
            except Rejected as refusal:
                self.refuse(number, refusal)
        if not rows:
            return
        keys, plain = 0, True
        for row in rows:
            keys += len(row)
            for passage in row.get("passages") or ():
                keys += len(passage)
                plain = plain and (len(passage) == PASSAGE_KEYS_NEEDED or passage.keys() <= PASSAGE_KEYS)
        if not surely_checked(whole, keys, plain):
            self._check(rows, whole, numbers)
        self._keep(rows, whole, numbers)

    def _check(self, rows: list[dict[str, Any]], lines: list[bytes], numbers: list[int]) -> None:
        good = []
        for at, (row, line, number) in enumerate(zip(rows, lines, numbers, strict=True)):
            try:
                check(line, row)
                good.append(at)
            except Rejected as refusal:
                self.refuse(number, refusal)
        if len(good) < len(rows):
            for given in (rows, lines, numbers):
                given[:] = [given[at] for at in good]  # type: ignore[misc]

    def refuse(self, line: int, refusal: Rejected) -> None:
        """Notes a line for the quarantine; 0 is the whole file."""
        self.refused.append((line, refusal.reason.value, refusal.detail))

    def discard(self) -> None:
        """Forgets all events that are held; what was refused stays."""
        self._tables, self.bytes, self.recheck = [], 0, None

    def days(self) -> Iterator[DayOfEvents]:
        """Hands over all events that are held, by day."""
        if not self._tables:
            return
        table = pa.concat_tables(self._tables)
        self._tables, self.bytes = [], 0
        days = table.column(DAY).to_numpy()
        table = table.drop_columns([DAY])
        if days.min() != days.max():
            order = np.argsort(days, kind="stable")
            table, days = table.take(pa.array(order)), days[order]
        starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
        for start, end in zip(starts, [*starts[1:], len(days)], strict=True):
            part = table.slice(start, end - start)
            yield DayOfEvents(day_of(days[start]), part, sum_of(part))

    def _keep(self, rows: list[dict[str, Any]], lines: list[bytes], numbers: list[int]) -> None:
        if rows:
            blake = hashlib.blake2b
            hashes = [blake(line, digest_size=16).digest() for line in lines]
            if self._erased:
                rows = [_tombstone(row) if row["id"] in self._erased else row for row in rows]
            table, numbers = self._complete(_table(rows, hashes), numbers)
            table = self._timed(table, numbers)
            if table.num_rows:
                self._tables.append(table)
                self.bytes += table.nbytes

    def _complete(self, table: pa.Table, lines: list[int]) -> tuple[pa.Table, list[int]]:
        """Refuses events that lack what only a tombstone may lack; what is left, with the numbers of its lines."""
        lacking = [name for name in UNLESS_DELETED if table.column(name).null_count]
        if not lacking:
            return table, lines
        whole = table.column("deleted").to_numpy()
        complete = np.ones(table.num_rows, bool)
        for name in lacking:
            absent = table.column(name).is_null().to_numpy() & ~whole & complete
            for at in np.flatnonzero(absent):
                self.refuse(lines[at], incomplete(name))
            complete &= ~absent
        return table.filter(pa.array(complete)), [lines[at] for at in np.flatnonzero(complete)]

    def _timed(self, table: pa.Table, lines: list[int]) -> pa.Table:
        """Refuses events whose times cannot be; adds the day of the others."""
        limits = self._limits
        occurred, received = _micros(table, "occurred_at"), _micros(table, "received_at")
        early = occurred < number_of(limits.first_day) * _DAY_US
        future = occurred > self._now_us + int(limits.future_seconds * 1e6)
        ahead = received > self._now_us + int(limits.future_seconds * 1e6)  # no correction of today could win over it
        skewed = received < occurred - int(limits.skew_seconds * 1e6)
        bad = early | future | skewed | ahead
        for at in np.flatnonzero(bad):
            if early[at]:
                refusal = Rejected(Reason.TOO_OLD, f"occurred_at is before {limits.first_day}")
            elif future[at]:
                refusal = Rejected(Reason.FUTURE_DATED, "occurred_at has not come yet")
                due = occurred[at] / 1e6 - limits.future_seconds
                self.recheck = due if self.recheck is None else min(self.recheck, due)
            elif ahead[at]:
                refusal = Rejected(Reason.CLOCK_SKEWED, "received_at has not come yet")
            else:
                refusal = Rejected(Reason.CLOCK_SKEWED, "received_at is more than a day before occurred_at")
            self.refuse(lines[at], refusal)
        table = table.append_column(DAY, pa.array((occurred // _DAY_US).astype(np.int32)))
        return table.filter(pa.array(~bad)) if bad.any() else table


def _tombstone(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ALWAYS} | {"deleted": True}


def _micros(table: pa.Table, name: str) -> np.ndarray:
    return table.column(name).combine_chunks().cast(pa.int64()).to_numpy()


def _table(rows: list[dict[str, Any]], hashes: list[bytes]) -> pa.Table:
    def texts(name: str) -> pa.Array:
        return pa.array([row.get(name) for row in rows], pa.string())

    def names(name: str) -> pa.Array:  # an empty name is no name
        return pa.array([row.get(name) or None for row in rows], pa.string())

    def written(name: str) -> pa.Array:  # an answer that was emptied is no other answer
        return pa.array([said if (said := row.get(name)) and said.strip() else None for row in rows], pa.string())

    ids = texts("id")
    columns = {
        "id": ids,
        "occurred_at": _times(rows, "occurred_at"),
        "received_at": _times(rows, "received_at"),
        "user_id": names("user"),
        "variant": pa.array([row.get("variant") or "main" for row in rows], pa.string()),
        "prompt": texts("prompt"),
        "response": texts("response"),
        "passages": _json(rows, "passages"),
        "release_id": texts("release_id"),
        "feedback": pa.array([row.get("feedback") or "none" for row in rows], pa.string()),
        "corrected_response": written("corrected_response"),
        "schema_ok": pa.array([row.get("schema_ok") for row in rows], pa.bool_()),
        "topic": names("topic"),
        "tags": _json(rows, "tags"),
        "deleted": pa.array([bool(row.get("deleted")) for row in rows], pa.bool_()),
        "sha": pa.array(hashes, pa.binary(16)),
        "id_hash": pa.array(id_hashes(ids)),
    }
    return pa.table(columns, schema=EVENTS)


def _json(rows: list[dict[str, Any]], name: str) -> pa.Array:
    values = (row.get(name) for row in rows)
    return pa.array([None if v is None else to_json(v, exclude_none=True) for v in values], pa.string())


def _times(rows: list[dict[str, Any]], name: str) -> pa.Array:
    times = [row[name] for row in rows]
    try:
        return pa.array(times, _TIME)
    except (OverflowError, ValueError):  # at the ends of the calendar UTC may lie beyond it: taken without the offset
        edges = [time if 1 < time.year < datetime.max.year else time.replace(tzinfo=UTC) for time in times]
        return pa.array(edges, _TIME)
