"""Interactions that were erased for good: whatever still lands under their ids is read as a tombstone, without a text.

A tombstone alone would not do: of an id's versions the latest counts, and feedback on an erased answer, or an export
that holds it, comes later than the tombstone.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from assets.behavior.landing.ledger import LOCK, LOCK_SECONDS
from assets.ports import Lake

NAME = "behavior/erased.parquet"
_SCHEMA = pa.schema([("id", pa.string())])


def read(lake: Lake) -> frozenset[str]:
    """The ids; nothing else is kept of them."""
    table = lake.read(NAME)
    return frozenset() if table is None else frozenset(table.column("id").to_pylist())


def add(lake: Lake, ids: Iterable[str]) -> None:
    """Adds ids. Under the lock of a tick: every tick from now on knows them."""
    with lake.lock(LOCK, LOCK_SECONDS):
        known = read(lake)
        found = known | set(ids)
        if found != known:
            lake.write(NAME, pa.table([pa.array(sorted(found), pa.string())], schema=_SCHEMA))
