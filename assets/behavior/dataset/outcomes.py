"""What the lake says of frozen candidates today: whether they are still there, and why they failed.

Read at the build, beside the snapshot: a candidate that was deleted or attributed otherwise since must not teach.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute

from assets.behavior.schemas import partition
from assets.ports import Lake

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them
ADDED = ("there", "verdict", "kind", "schema_ok")


def joined(lake: Lake, candidates: pa.Table) -> pa.Table:
    """Candidates (columns of the mart) with `there`, `verdict`, `kind` and `schema_ok`, as of now; rows as given."""
    known: dict[str, list[Any]] = {name: [] for name in ("id", "day", *ADDED)}
    for day in pc.unique(candidates["day"]).to_pylist():
        rows = _read(lake, "interactions", day, ["id", "schema_ok"])
        judged = {row["id"]: row for row in _read(lake, "attributions", day, ["id", "verdict", "kind"]).to_pylist()}
        ids = rows["id"].to_pylist()
        known["id"] += ids
        known["day"] += [day] * len(ids)
        known["there"] += [True] * len(ids)
        known["schema_ok"] += rows["schema_ok"].to_pylist()
        for name in ("verdict", "kind"):
            known[name] += [judged[id_][name] if id_ in judged else None for id_ in ids]
    types = (pa.string(), pa.date32(), pa.bool_(), pa.string(), pa.string(), pa.bool_())
    schema = pa.schema(list(zip(("id", "day", *ADDED), types, strict=True)))
    keys = candidates.select(["id", "day"]).append_column("place", pa.array(range(candidates.num_rows), pa.int64()))
    found = keys.join(pa.table(known, schema=schema), ["id", "day"], join_type="left outer").sort_by("place")
    for name in ADDED:
        column = pc.fill_null(found[name], False) if name == "there" else found[name]
        candidates = candidates.append_column(name, column)
    return candidates


def produced(lake: Lake, wanted: Iterable[tuple[date, str]]) -> dict[str, str]:
    """What the model answered in these interactions (day, id), by id; those that are gone are left out."""
    days: dict[date, list[str]] = defaultdict(list)
    for day, id_ in wanted:
        days[day].append(id_)
    found: dict[str, str] = {}
    for day, ids in days.items():
        rows = _read(lake, "interactions", day, ["id", "response"])
        rows = rows.filter(pc.is_in(rows["id"], value_set=pa.array(ids, pa.string())))
        found |= {row["id"]: row["response"] for row in rows.to_pylist() if row["response"]}
    return found


def gone(lake: Lake, wanted: Mapping[str, date]) -> set[str]:
    """Those interactions (id -> event day) that the lake does not have any more."""
    days: dict[date, list[str]] = defaultdict(list)
    for id_, day in wanted.items():
        days[day].append(id_)
    there = (set(_read(lake, "interactions", day, ["id"])["id"].to_pylist()) for day in days)
    return set(wanted) - set().union(*there)


def _read(lake: Lake, table: str, day: date, columns: Sequence[str]) -> pa.Table:
    name = partition(table, day)
    if name not in lake.names(name.rsplit("/", 1)[0]):
        return pa.table({column: pa.array([], pa.string()) for column in columns})
    return lake.columns(name, columns)
