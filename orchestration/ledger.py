"""The ledger over the lake: one small file for each entry, and one for all entries of a month that is over.

    ledger/2026-11/20261105T120301.123456Z-<number>-verdict-<hash of the id>.json    an entry, never changed
    ledger/2026-10/closed.parquet                                    all entries of a month, after `maintain`

A file is named by its entry's time, number, kind and id, so that most questions are answered without opening it.
Appending looks for the id under a lock, in every month: the clock may have gone back, or a month have ended, since the
id was first used. The number counts up whatever the clock says: it is the order of entries.

A month's own files are removed one `maintain` after the one that put them into the closed file. Readers never see an
entry twice (what is in the closed file is not read again from its own), and a kill anywhere, or a reader that lists the
folder meanwhile, loses none.

Between machines that share an object store it is Dagster's pool that keeps writers apart (`Lake.lock`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from assets.decision.ledger import BadEntry, Entry, Kind, damaged
from assets.errors import CorruptState, EngineBusy
from assets.fingerprints import sha256_text
from assets.ports import Lake

FOLDER = "ledger"
CLOSED = "closed.parquet"
LOCK_SECONDS = 30.0
ATTEMPTS = 5  # of reading while another process tidies up
_NAME = re.compile(r"(?P<at>\d{8}T\d{6}\.\d{6}Z)-(?P<number>\d{9})-(?P<kind>[a-z]+)-(?P<key>[0-9a-f]{32})\.json")
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("number", pa.int64()),
        ("at", pa.string()),
        ("kind", pa.string()),
        ("text", pa.string()),
    ]
)


class _Gone(Exception):
    """A file that was listed has been tidied away since."""


@dataclass(frozen=True, slots=True)
class _Small:
    """An entry's own file, as its name tells it."""

    name: str
    at: str
    number: int
    kind: str
    key: str


class _Row(NamedTuple):
    """An entry and its number."""

    number: int
    entry: Entry


@dataclass(slots=True)
class _Month:
    """The files of one month."""

    closed: str | None
    small: list[_Small]


class LakeLedger:
    """The ledger of one lake (assets/ports.Ledger)."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def append(self, entry: Entry) -> bool:
        """Adds an entry; False when its id is there already."""
        with self._locked():
            number = self._next_number(entry.id)
            if number is None:
                return False
            self._lake.write_text(_name(entry, number), entry.text())
            return True

    def entries(
        self,
        kinds: Collection[Kind] = (),
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        variant: str | None = None,
    ) -> list[Entry]:
        """Entries in the order in which they were appended; months that are not asked for are not opened."""
        wanted = _Wanted(
            frozenset(map(str, kinds or Kind)), _moment(since) if since else "", _moment(until) if until else "~"
        )
        for _ in range(ATTEMPTS):
            try:
                found = [row for month, files in self._months().items() for row in self._read(month, files, wanted)]
                break
            except _Gone:
                continue
        else:
            raise EngineBusy(
                "The ledger was tidied up each time that it was read",
                expected="one `maintain` at a time",
                next_step="run this again",
            )
        found.sort(key=lambda row: row.number)
        return [row.entry for row in found if variant is None or row.entry.variant == variant]

    def get(self, id: str) -> Entry | None:
        """The entry with this id, or None."""
        key = _key(id)
        for files in self._months().values():
            for small in files.small:
                if small.key == key and (text := self._text(small)) is not None:
                    return _parsed(text, small)
        for files in self._months().values():  # listed again: what was in its own file may have moved meanwhile
            table = self._closed(files.closed)
            row = table["id"].index(id).as_py()
            if row >= 0:
                return Entry.parse(table["text"][row].as_py(), files.closed or "")
        return None

    def maintain(self, now: datetime | None = None) -> Mapping[str, int]:
        """Puts the entries of months that are over into one file each; returns counts. Nothing that is read changes."""
        this_month, closed, removed = _month(now or datetime.now(UTC)), 0, 0
        with self._locked():
            for month, files in self._months().items():
                held = self._parsed_closed(files)
                done = [small.name for small in files.small if small.key in held]
                self._lake.remove(done)
                removed += len(done)
                fresh = [small for small in files.small if small.key not in held]
                if fresh and month < this_month:
                    whole = held | {small.key: self._row(small) for small in fresh}
                    self._lake.write(f"{FOLDER}/{month}/{CLOSED}", _table(whole.values()))
                    closed += len(fresh)
        return {"ledger_entries_closed": closed, "ledger_files_removed": removed}

    # ------------------------------------------------------------------------------------------------ plumbing

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lake.lock(FOLDER, LOCK_SECONDS):
            yield

    def _next_number(self, id: str) -> int | None:
        """The number of the next entry; None where this id is there already."""
        key, months, newest = _key(id), self._months().values(), 0
        for small in (small for files in months for small in files.small):
            if small.key == key:
                return None
            newest = max(newest, small.number)
        for files in months:
            table = self._closed(files.closed, ["id", "number"])
            if table["id"].index(id).as_py() >= 0:
                return None
            newest = max(newest, table["number"][-1].as_py() if len(table) else 0)
        return newest + 1

    def _months(self) -> dict[str, _Month]:
        """Files by month, in order of time; CorruptState names a file that nobody here wrote."""
        found: dict[str, _Month] = {}
        for name in self._lake.names(FOLDER):
            month, _, file = name.removeprefix(f"{FOLDER}/").partition("/")
            if file.startswith("."):
                continue  # of an editor or a file browser
            files = found.setdefault(month, _Month(None, []))
            match = _NAME.fullmatch(file)
            if match:
                files.small.append(_Small(name, match["at"], int(match["number"]), match["kind"], match["key"]))
            elif file == CLOSED:
                files.closed = name
            else:
                raise damaged(name, "no entry is named like this")
        return found

    def _read(self, month: str, files: _Month, wanted: _Wanted) -> Iterator[_Row]:
        if not wanted.has_month(month):
            return
        table = self._closed(files.closed)
        held = {_key(id) for id in table["id"].to_pylist()} if files.small else set()
        chosen = wanted.of(table)
        columns = (chosen[name].to_pylist() for name in ("number", "at", "kind", "text"))
        for number, at, kind, text in zip(*columns, strict=True):
            if wanted.has(at, kind):
                yield _Row(number, Entry.parse(text, files.closed or ""))
        for small in files.small:
            if small.key not in held and wanted.has(small.at, small.kind):
                yield self._row(small)

    def _row(self, small: _Small) -> _Row:
        text = self._text(small)
        if text is None:
            raise _Gone
        return _Row(small.number, _parsed(text, small))

    def _text(self, small: _Small) -> str | None:
        try:
            return self._lake.read_text(small.name)
        except UnicodeDecodeError as error:
            raise damaged(small.name, str(error)) from error

    def _closed(self, name: str | None, columns: Iterable[str] = ()) -> pa.Table:
        """The closed file of a month; an empty table where there is none yet."""
        if name is None:
            return _SCHEMA.empty_table()
        wanted = list(columns) or _SCHEMA.names
        try:
            table = self._lake.columns(name, wanted)
        except CorruptState as error:
            raise damaged(name, error.problem) from error
        if table.column_names != wanted:
            raise damaged(name, f"its columns are {', '.join(table.column_names)}")
        return table

    def _parsed_closed(self, files: _Month) -> dict[str, _Row]:
        table = self._closed(files.closed)
        rows = zip(table["number"].to_pylist(), table["text"].to_pylist(), strict=True)
        found = (_Row(number, Entry.parse(text, files.closed or "")) for number, text in rows)
        return {_key(row.entry.id): row for row in found}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a question asks for; moments are as in the files' names, so that they are compared as texts."""

    kinds: frozenset[str]
    since: str
    until: str

    def has_month(self, month: str) -> bool:
        compact = month.replace("-", "")
        return self.since[:6] <= compact and f"{compact}01T000000.000000Z" < self.until

    def of(self, table: pa.Table) -> pa.Table:
        """The rows of these kinds."""
        kinds = pc.SetLookupOptions(pa.array(sorted(self.kinds)))
        return table.filter(pc.call_function("is_in", [table["kind"]], kinds))

    def has(self, at: str, kind: str) -> bool:
        return kind in self.kinds and self.since <= at < self.until


def _key(id: str) -> str:
    return sha256_text(id)[:32]


def _moment(at: datetime) -> str:
    """A moment as files are named by it; texts of two moments compare like the moments."""
    if at.tzinfo is None:
        raise BadEntry(f"the moment {at} has no time zone", expected="an aware datetime, in UTC")
    utc = at.astimezone(UTC)
    return f"{utc.year:04d}{utc:%m%dT%H%M%S}.{utc.microsecond:06d}Z"


def _month(at: datetime) -> str:
    utc = at.astimezone(UTC)
    return f"{utc.year:04d}-{utc.month:02d}"


def _name(entry: Entry, number: int) -> str:
    return f"{FOLDER}/{_month(entry.at)}/{_moment(entry.at)}-{number:09d}-{entry.kind}-{_key(entry.id)}.json"


def _parsed(text: str, small: _Small) -> Entry:
    entry = Entry.parse(text, small.name)
    if _name(entry, small.number) != small.name:
        raise damaged(small.name, f"it holds the entry {entry.id} of {entry.at}, which is another file's")
    return entry


def _table(rows: Iterable[_Row]) -> pa.Table:
    """All of a month, in order: the last row has the greatest number."""
    listed = [
        {
            "id": entry.id,
            "number": number,
            "at": _moment(entry.at),
            "kind": str(entry.kind),
            "text": entry.text(),
        }
        for number, entry in sorted(rows, key=lambda row: row.number)
    ]
    return pa.Table.from_pylist(listed, schema=_SCHEMA)
