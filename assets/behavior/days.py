"""One event day: its events, de-duplicated.

| versions of an id | what the day has |
|---|---|
| all on this day | the greatest by (received_at, hash of the line); nothing where that is a tombstone |
| on several days, the greatest of all on this one | as above |
| on several days, the greatest on another | nothing |
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from assets.behavior.events import EVENTS, fixed
from assets.behavior.landing import ledger as landing_ledger
from assets.behavior.landing.ledger import DATA, INPUTS, NOTHING, Part
from assets.behavior.landing.reading import put_aside
from assets.behavior.schemas import INTERACTIONS, partition
from assets.errors import CorruptState
from assets.ports import Lake

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them
_TRIES = 3  # a tick may replace the ledger, and a later one remove parts, while a day is read
_LOCK_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class DayReport:
    """What a day came to.

    `corrected` versions were superseded by a later one, `deleted` ids are gone by a tombstone. `digest` is the data
    version: equal rows have an equal one, whatever files they came in. `inputs` is the digest of what it was made of,
    `variants` says how many of the rows each variant has.
    """

    day: date
    rows: int
    corrected: int
    deleted: int
    digest: str
    inputs: str
    variants: Mapping[str, int] = field(default_factory=dict)


def materialize(lake: Lake, day: date) -> DayReport:
    """Writes behavior/interactions/day=.../data.parquet from the current parts. EngineBusy, CorruptState."""
    with locked(lake, day):
        events, moved, inputs = _inputs(lake, day)
        table, corrected, deleted = _latest(events, moved, day)
        digest = content_digest(table)
        variants = {row["values"]: row["counts"] for row in table.column("variant").value_counts().to_pylist()}
        report = DayReport(day, table.num_rows, corrected, deleted, digest, inputs, variants)
        metadata = {INPUTS: inputs.encode(), DATA: digest.encode()}
        lake.remove(landing_ledger.memos(lake, day))
        lake.write(partition("interactions", day), table.replace_schema_metadata(metadata))
        lake.write_text(landing_ledger.memo(day, inputs), "")
        return report


def locked(lake: Lake, day: date) -> AbstractContextManager[object]:
    """The day for ourselves: nobody replaces its interactions meanwhile."""
    return lake.lock(f"behavior-{day}", _LOCK_SECONDS)


def inputs_of(lake: Lake, day: date) -> str:
    """What the day's interactions were made of; empty where there are none."""
    name = partition("interactions", day)
    if name not in lake.names(name.rsplit("/", 1)[0]):
        return ""
    return (lake.columns(name, ["id"]).schema.metadata or {}).get(INPUTS, b"").decode()


def quarantined(lake: Lake) -> list[dict[str, object]]:
    """Every refused line of the current versions of all files, by file and line: file, line, reason, detail, and `at`
    (unix seconds), when it was put aside."""
    rows: list[dict[str, object]] = []
    for entry in landing_ledger.read(lake).entries.values():
        rows += put_aside(lake, entry.quarantine, entry.seen_at).to_pylist()
    return sorted(rows, key=lambda row: (str(row["file"]), int(str(row["line"])), str(row["reason"])))


def _inputs(lake: Lake, day: date) -> tuple[pa.Table, pa.Table, str]:
    problem = ""
    for _ in range(_TRIES):
        ledger = landing_ledger.read(lake)
        parts = ledger.parts().get(day, [])
        moved = landing_ledger.moved(lake, ledger)
        tables = []
        for part in parts:
            try:
                table = lake.read(part.name)
            except CorruptState as error:
                problem = error.problem
                break
            if table is None:
                problem = f"{part.name} is missing from the lake, and the ledger of the landing folder still names it"
                break
            tables.append(table.select(EVENTS.names).cast(EVENTS))
        else:
            return pa.concat_tables([EVENTS.empty_table(), *tables]), moved, _digest(day, parts, moved)
    raise CorruptState(
        problem,
        expected="every part that the ledger names",
        next_step="restore it from a backup; or run `twohands ingest --recover`, which reads the landing folder anew: "
        "events of files that are no longer there, or were given by hand, are lost with the part",
    )


def _digest(day: date, parts: list[Part], moved: pa.Table) -> str:
    return landing_ledger.inputs({day: parts}, moved).get(day, NOTHING)


def _latest(events: pa.Table, moved: pa.Table, day: date) -> tuple[pa.Table, int, int]:
    """Rows of the day by id; how many versions were superseded; how many ids are deleted."""
    if not events.num_rows:
        return INTERACTIONS.empty_table(), 0, 0
    keys = events.select(["id", "deleted"]).append_column("at", pa.array(np.arange(events.num_rows)))
    sha = fixed(events.column("sha"))
    keys = keys.append_column("received", events.column("received_at").cast(pa.int64()))
    keys = keys.append_column("high", pa.array(sha[:, 0])).append_column("low", pa.array(sha[:, 1]))
    order = pc.sort_indices(keys, [(name, "ascending") for name in ("id", "received", "high", "low")])
    keys = keys.take(order).combine_chunks()
    ids = keys.column("id").combine_chunks()
    last = np.ones(len(ids), bool)
    last[:-1] = pc.not_equal(ids[:-1], ids[1:]).to_numpy(zero_copy_only=False)
    keys = keys.filter(pa.array(last))
    corrected = int(len(ids) - keys.num_rows)
    lost = moved.filter(pc.equal(moved.column("lost"), pa.scalar(day, pa.date32()))).column("id")
    if len(lost):
        keys = keys.filter(pc.invert(pc.is_in(keys.column("id"), value_set=lost.combine_chunks())))
    deleted = pc.sum(keys.column("deleted")).as_py() or 0
    keys = keys.filter(pc.invert(keys.column("deleted")))
    return events.select(INTERACTIONS.names).take(keys.column("at")).combine_chunks(), corrected, int(deleted)


def content_digest(table: pa.Table) -> str:
    """SHA-256 of what a table holds, column by column; how it is chunked and stored does not count."""
    whole = hashlib.sha256(str(table.num_rows).encode())
    for column in table.combine_chunks().columns:
        whole.update(pc.is_valid(column).cast(pa.uint8()).to_numpy().tobytes())
        if pa.types.is_string(column.type):
            full = pc.fill_null(column, "")
            whole.update(pc.binary_length(full).to_numpy().tobytes())
            for chunk in full.chunks:
                offsets = np.frombuffer(chunk.buffers()[1], np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
                data = chunk.buffers()[2]
                whole.update(memoryview(data)[offsets[0] : offsets[-1]] if data is not None and len(offsets) else b"")
        elif pa.types.is_boolean(column.type):
            whole.update(pc.fill_null(column, False).cast(pa.uint8()).to_numpy().tobytes())
        elif pa.types.is_floating(column.type):
            whole.update(pc.fill_null(column, 0.0).to_numpy().tobytes())
        else:
            column = column.cast(pa.int32()) if pa.types.is_date32(column.type) else column
            whole.update(pc.fill_null(column.cast(pa.int64()), 0).to_numpy().tobytes())
    return whole.hexdigest()
