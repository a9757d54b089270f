"""Where the lake's events hold somebody's interactions, and taking the texts out of them.

A row that was scrubbed keeps its id, its times and the hash of its line, so that the ledger, the days and a later
reading of the same file stay what they are; everything that anybody wrote is gone from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute

from assets.behavior.events import EVENTS
from assets.behavior.landing import ledger as landing_ledger
from assets.behavior.landing.ledger import LOCK, LOCK_SECONDS
from assets.ports import Lake

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them
_READ = ["id", "user_id", "occurred_at", "received_at", "deleted", "prompt"]
_BLANK = {"prompt": "", "response": "", "passages": "[]"}  # these may not be null
_NULL = ("user_id", "corrected_response", "topic", "tags")


@dataclass(frozen=True, slots=True)
class Held:
    """One version of an interaction in a part; `file` is the landed file, None where the ledger names it no more."""

    id: str
    day: date
    file: str | None
    occurred_at: datetime
    received_at: datetime
    deleted: bool
    prompt: str


def find(lake: Lake, ids: Collection[str] = (), users: Collection[str] = ()) -> list[Held]:
    """Every version of these interactions, and of those of these users, in whatever part."""
    entries = landing_ledger.read(lake).entries.values()
    owners = {part.name: entry.path for entry in entries for part in entry.parts}
    wanted = set(ids)
    if users:  # a version may name no user, and still be one of the same interaction
        wanted.update(held.id for held in _found(lake, owners, "user_id", set(users)))
    return list(_found(lake, owners, "id", wanted))


def scrub(lake: Lake, ids: Collection[str]) -> int:
    """Takes the texts of these interactions out of every part; returns how many rows had one."""
    if not ids:
        return 0
    values, count = pa.array(sorted(ids), pa.string()), 0
    with lake.lock(LOCK, LOCK_SECONDS):
        for name in lake.names("behavior/events"):
            found = pc.is_in(lake.columns(name, ["id"]).column("id"), value_set=values)
            table = lake.read(name) if pc.any(found).as_py() else None
            if table is not None:
                fresh = _blanked(table, found)
                if not fresh.equals(table):
                    count += pc.sum(found).as_py()
                    lake.write(name, fresh)
    return count


def _found(lake: Lake, owners: dict[str, str], column: str, wanted: set[str]) -> Iterator[Held]:
    if not wanted:
        return
    values = pa.array(sorted(wanted), pa.string())
    for name in lake.names("behavior/events"):
        if not pc.any(pc.is_in(lake.columns(name, [column]).column(column), value_set=values)).as_py():
            continue
        table, day = lake.columns(name, _READ), date.fromisoformat(name.split("/")[2])
        for row in table.filter(pc.is_in(table.column(column), value_set=values)).to_pylist():
            times: Sequence[datetime] = (row["occurred_at"], row["received_at"])
            yield Held(row["id"], day, owners.get(name), *times, bool(row["deleted"]), row["prompt"] or "")


def _blanked(table: pa.Table, chosen: pa.ChunkedArray) -> pa.Table:
    chosen = pc.and_(chosen, pc.invert(table.column("deleted")))
    columns = {}
    for field in EVENTS:
        column = table.column(field.name)
        if field.name in _BLANK:
            column = pc.if_else(chosen, pa.scalar(_BLANK[field.name], field.type), column)
        elif field.name in _NULL:
            column = pc.if_else(chosen, pa.scalar(None, field.type), column)
        columns[field.name] = column
    return pa.table(columns, schema=EVENTS.with_metadata(table.schema.metadata))
