"""Logs that lie in the warehouse already, as a source of interactions: every day of the mapping model is one file.

| the day, compared with what was read of it | how it is listed |
|---|---|
| has the same rows | with the same stamp |
| has rows more or less, or with other contents | with another stamp: it is read again, as a replaced file is |
| has no rows any more | with the stamp GONE, and no bytes: what was read of it is withdrawn |
| older than the look-back window, and not asked for | not at all: what was read stays |
| before `first_day` | as one without rows |

A look costs one query over the days of the window. When the view was built anew, every day that was ever read is
looked at again: the same rows may mean something else now.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from assets.ports import Listing, Reason, Refusal, Source, SourceFile
from orchestration.engines.warehouse import Warehouse
from orchestration.engines.warehouse_days import condition
from orchestration.engines.warehouse_mapping import COLUMNS, Built, LogTable, MappingModel, day_sql, listing_sql
from orchestration.engines.warehouse_sessions import Outdated, Session

PREFIX = "warehouse/day="  # of a day's path; one table at a time, whatever it and its model are called
GONE = "gone"
GLANCE_SECONDS = 1.0  # the sensor waits so long for the DuckDB file
GLANCE_QUERY_SECONDS = 20.0  # and so long for a server's answer
_RENAMED = {"user_id": "user"}  # `user` is a reserved word of SQL


def _today() -> date:
    return datetime.now(UTC).date()


@dataclass(frozen=True, slots=True)
class _Span:
    """The days of one look: from `since` on, and `more`, none of them before `first`."""

    first: date
    since: date
    more: tuple[date, ...]

    @property
    def where(self) -> str:
        """SQL; rows without a day are looked at too, so that they can be told of."""
        older = f" or {condition(self.more)}" if self.more else ""
        return f"(day >= date '{self.since.isoformat()}'{older} or day is null)"

    def covers(self, path: str) -> bool:
        """Whether a day would be listed if it had rows; one before `first` is as good as gone."""
        day = _day(path)
        return day is None or day >= self.since or day in self.more or day < self.first


@dataclass(frozen=True, slots=True)
class _Kept:
    """The sensor's last look: its days, the state of the warehouse before it, its time, and what it listed."""

    where: str
    state: str | None
    at: float
    listing: Listing


class WarehouseLogs:
    """A team's log table as `DayLogs`; see there. `today` is the UTC date, `clock` counts seconds."""

    prefix = PREFIX

    def __init__(
        self,
        warehouse: Warehouse,
        table: LogTable,
        *,
        today: Callable[[], date] = _today,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._warehouse, self._table, self._today, self._clock = warehouse, table, today, clock
        self._model = MappingModel(warehouse, table)
        self._built: Built | None = None
        self._kept: _Kept | None = None

    def glance(self, known: Mapping[str, str]) -> Listing | None:
        """What a look would list now; None where the view is to be built, or an older day is to be read again.

        A former glance is believed while the DuckDB file has not changed, or for `sensor_seconds`, as long as it found
        nothing new. Neither dbt nor the lock is waited for: EngineBusy.
        """
        built = self._model.built()
        if built is None or "" in known.values():
            return None
        span, state = self._span(known, ()), self._warehouse.engine.changed()
        if kept := self._believed(known, span, state):
            return kept.listing
        try:
            with self._looking(built, known, span, GLANCE_SECONDS, GLANCE_QUERY_SECONDS) as source:
                listing = source.list()
        except Outdated:
            return None
        self._kept = _Kept(span.where, state, self._clock(), listing)
        return listing

    @contextmanager
    def look(self, known: Mapping[str, str], days: Sequence[date] | None = ()) -> Iterator[Source]:
        """One view of the days of the window and of these besides (None: of all). Builds the view where it must."""
        with ExitStack() as stack:
            built, source = self._model.built(), None
            if built is not None:
                with contextlib.suppress(Outdated):  # somebody dropped the view, or changed the table below it
                    source = stack.enter_context(self._looking(built, known, self._span(known, days)))
            if source is None:
                built = self._model.build()
                source = stack.enter_context(self._looking(built, known, self._span(known, days, anew=True)))
            self._built = built
            yield source

    def looked(self) -> None:
        """What the last look listed has been read for good: its view needs not be built again."""
        if self._built is not None:
            self._model.keep(self._built)

    def _span(self, known: Mapping[str, str], days: Sequence[date] | None, anew: bool = False) -> _Span:
        first, read = self._table.first_day, [day for path in known if (day := _day(path))]
        window = max(first, self._today() - timedelta(days=self._table.look_back_days))
        if days is None:
            return _Span(first, first, ())
        if anew:
            return _Span(first, max(first, min([window, *read])), ())
        unread = (day for path, stamp in known.items() if not stamp and (day := _day(path)))
        return _Span(first, window, tuple(sorted({day for day in (*days, *unread) if first <= day < window})))

    def _believed(self, known: Mapping[str, str], span: _Span, state: str | None) -> _Kept | None:
        kept = self._kept
        if kept is None or kept.where != span.where:
            return None
        fresh = self._clock() - kept.at < self._table.sensor_seconds or (state is not None and state == kept.state)
        return kept if fresh and all(known.get(file.path) == file.stamp for file in kept.listing.files) else None

    @contextmanager
    def _looking(
        self, built: Built, known: Mapping[str, str], span: _Span, wait: float | None = None, most: float = 0
    ) -> Iterator[_Look]:
        with self._warehouse.look(wait, most) as session:
            yield _Look(session, self._model.relation, built.columns, known, span)


class _Look:
    """One consistent view: what it lists is what it reads. Errors of the warehouse, and Outdated at once."""

    def __init__(
        self, session: Session, relation: str, columns: Sequence[str], known: Mapping[str, str], span: _Span
    ) -> None:
        self._session, self._relation, self._columns = session, relation, columns
        names = [_RENAMED.get(name, name) for name in columns if name != "day"]
        kinds = [pa.bool_() if COLUMNS[name] == "boolean" else pa.string() for name in columns if name != "day"]
        self._schema = pa.schema(list(zip(names, kinds, strict=True)))
        self._listing = self._listed(known, span)

    def list(self) -> Listing:
        """Every day that has rows, and known ones that have none any more. A row without a day is refused."""
        return self._listing

    def read(self, file: SourceFile) -> bytes:
        """A day's rows as Parquet in the contract's columns, ordered by id; no bytes where there are none any more."""
        import pyarrow.parquet as pq

        if file.stamp == GONE:
            return b""
        text = file.path.removeprefix(PREFIX).replace("'", "''")
        where = f"day = date '{text}'" if _day(file.path) else f"cast(day as text) = '{text}'"
        sink = io.BytesIO()
        with pq.ParquetWriter(sink, self._schema, compression="zstd") as writer:
            for rows in self._session.batches(day_sql(self._session, self._relation, self._columns, where)):
                columns = zip(*rows, strict=True)
                arrays = [pa.array(found, field.type) for found, field in zip(columns, self._schema, strict=True)]
                writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        return sink.getvalue()

    def _listed(self, known: Mapping[str, str], span: _Span) -> Listing:
        files: dict[str, SourceFile] = {}
        refused: dict[str, Refusal] = {}
        for day, count, newest, checksum in self._session.rows(
            listing_sql(self._session, self._relation, self._columns, span.where)
        ):
            path = f"{PREFIX}{day}"
            if day is None:
                refused[f"{PREFIX}null"] = _without_a_day(count, self._relation)
            else:
                files[path] = SourceFile(path, count, f"{count} {newest} {checksum}")
        for path, stamp in known.items():
            if path not in files and stamp != GONE and span.covers(path):
                files[path] = SourceFile(path, 0, GONE)
        return Listing(tuple(files[path] for path in sorted(files)), refused)


def _day(path: str) -> date | None:
    """The day of a path; None for one that no calendar has, which a table may hold all the same."""
    try:
        return date.fromisoformat(path.removeprefix(PREFIX))
    except ValueError:
        return None


def _without_a_day(count: int, relation: str) -> Refusal:
    return Refusal(
        Reason.UNREADABLE,
        f"{count} rows of {relation} have no day. Expected: a date in the column `day` of every row. Next: write the "
        "mapping model's `day` so that it is never null, or correct those rows",
    )
