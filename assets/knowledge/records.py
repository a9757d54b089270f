"""Rows by document, kept as an append-only log of parts and one small state.

    <folder>/part-*.parquet    every row that was ever written, each with the time `at` (unix ns): the version log
    <folder>/base-*.parquet    many small parts joined into one
    <folder>/state.parquet     which part and time hold the rows of each document now, and a few facts about it

The parts are written first and the state replaces the former one last, so a kill leaves the former state and at most
an unused part. Writing costs what changed, plus the state, which has one short row a document.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assets.errors import CorruptState
from assets.ports import Lake

GRACE_NS = 3_600 * 10**9  # how long a joined part's rows stay in their old place too
COMPACT_AT = 64  # parts; a sync reads all parts that hold something current, and each file costs a little


@dataclass(slots=True)
class State:
    """What is current: `rows` by key (each with its "part"), and `facts` about the whole (digest, fingerprint ...)."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)


class Records:
    """One kind of record of one slice: documents, or chunks. `key` names the column that identifies a document."""

    def __init__(self, lake: Lake, folder: str, key: str, state_schema: pa.Schema) -> None:
        self._lake = lake
        self.folder = folder
        self._key = key
        self._schema = state_schema
        self._name = f"{folder}/state.parquet"

    def state(self) -> State:
        """The current state; an empty one where nothing was ever committed."""
        table = self._lake.read(self._name)
        if table is None:
            return State()
        facts = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items() if k.startswith(b"twohands.")}
        rows = {row[self._key]: row for row in table.to_pylist()}
        return State(rows, {name.removeprefix("twohands."): value for name, value in facts.items()})

    def append(self, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> tuple[str, int]:
        """Writes rows to the log; returns their part and time, which the state's rows of their documents must name."""
        at = time.time_ns()
        part = f"part-{at:020d}-{uuid.uuid4().hex[:8]}.parquet"
        table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
        stamps = pa.array([at] * table.num_rows, pa.int64())
        self._lake.write(f"{self.folder}/{part}", table.append_column("at", stamps))
        return part, at

    def commit(self, state: State) -> None:
        """Makes `state` the current one."""
        rows = [state.rows[key] for key in sorted(state.rows)]
        facts = {f"twohands.{name}": value for name, value in state.facts.items()}
        self._lake.write(self._name, pa.Table.from_pylist(rows, schema=self._schema.with_metadata(facts)))

    def current(
        self, state: State, keys: Iterable[str] | None = None, columns: Sequence[str] = ()
    ) -> Iterator[pa.Table]:
        """The current rows of all documents, or of those with these keys: one table for each part that holds some."""
        wanted: dict[str, list[str]] = {}
        for key in state.rows if keys is None else keys:
            row = state.rows.get(key)
            if row is not None and row["part"]:
                wanted.setdefault(row["part"], []).append(_address(key, row["at"]))
        for part, addresses in sorted(wanted.items()):
            name = f"{self.folder}/{part}"
            table = self._lake.columns(name, [*columns, self._key, "at"]) if columns else self._lake.read(name)
            if table is None:
                raise CorruptState(
                    f"{name} is missing from the lake",
                    expected="every part that the state names",
                    next_step=f"delete {self.folder} in the lake; the next sync reads the sources again",
                )
            values = pa.array(addresses, pa.string())
            yield table.filter(pc.call_function("is_in", [self._addresses(table)], pc.SetLookupOptions(values)))

    def log(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """All rows that were ever written, each once, part by part: the version log."""
        joined = self._joined()
        for name in self._parts():
            if name.rsplit("/", 1)[1] not in joined:
                yield self._lake.columns(name, [*columns, self._key, "at"])

    def compact(self) -> bool:
        """Joins small parts into one when there are many. The log keeps every version of every row.

        The joined part names those that it replaces, so a kill at any point leaves no row twice. They are removed a
        good while later: somebody may have read the former state a moment ago and still open them.
        """
        joined = self._joined()
        small = [n for n in self._parts() if "/part-" in n and n.rsplit("/", 1)[1] not in joined]
        done = len(small) >= COMPACT_AT
        if done:
            base = f"base-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.parquet"
            names = [name.rsplit("/", 1)[1] for name in small]
            whole = pa.concat_tables(
                [table for name in small if (table := self._lake.read(name)) is not None], promote_options="default"
            )
            self._lake.write(f"{self.folder}/{base}", whole.replace_schema_metadata({_REPLACES: json.dumps(names)}))
            joined |= dict.fromkeys(names, base)
        state = self.state()
        for row in state.rows.values():
            row["part"] = joined.get(row["part"], row["part"])
        if joined:
            self.commit(state)
        old = time.time_ns() - GRACE_NS
        self._lake.remove(f"{self.folder}/{part}" for part, base in joined.items() if int(base.split("-")[1]) < old)
        return done

    def _joined(self) -> dict[str, str]:
        """Part -> the joined part that holds its rows, of parts that were not removed yet."""
        names = [name.rsplit("/", 1)[1] for name in self._parts()]
        found: dict[str, str] = {}
        for base in (name for name in names if name.startswith("base-")):
            metadata = self._lake.columns(f"{self.folder}/{base}", ["at"]).schema.metadata or {}
            found |= dict.fromkeys(json.loads(metadata.get(_REPLACES.encode(), b"[]")), base)
        return {part: base for part, base in found.items() if part in names}

    def _parts(self) -> list[str]:
        return [name for name in self._lake.names(self.folder) if "/part-" in name or "/base-" in name]

    def _addresses(self, table: pa.Table) -> pa.ChunkedArray:
        columns = [table.column(self._key), pc.cast(table.column("at"), pa.string()), pa.scalar(_UNIT)]
        return pc.call_function("binary_join_element_wise", columns)


_UNIT = "\x1f"
_REPLACES = "twohands.replaces"


def _address(key: str, at: int) -> str:
    return f"{key}{_UNIT}{at}"
