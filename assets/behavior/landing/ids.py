"""Ids that occur on more than one day: which day keeps them.

An index of (hash of the id, day) finds where else an id may be; the parts of just those days then say what is there.
The index only ever grows, in sorted runs that are merged like those of a log-structured tree, so a tick costs what it
brings and not what there is. It may name days that an id has left, and is made again from the parts when it is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from assets.behavior.events import fixed, number_of
from assets.behavior.landing.ledger import MOVED, Ledger, Part, moved
from assets.ports import Lake

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them
_RUN = pa.schema([("hash", pa.uint64()), ("day", pa.int32())])
_READ = ["id", "id_hash", "received_at", "sha"]

Pairs = tuple[np.ndarray, np.ndarray]  # hashes (uint64) and days since 1970 (int32), sorted by both, each pair once
_EMPTY: Pairs = (np.empty(0, np.uint64), np.empty(0, np.int32))


class IdIndex:
    """The index of one committed ledger, and what the next one will hold."""

    def __init__(self, lake: Lake, ledger: Ledger) -> None:
        self._lake = lake
        self._names = list(ledger.runs)
        tables = [lake.read(name) for name in ledger.runs]
        if any(table is None for table in tables) or (not tables and ledger.parts()):
            self._names, self._runs, self._changed = [], [_indexed(lake, ledger)], True
        else:
            columns = [table.combine_chunks() for table in tables if table is not None]
            self._runs = [(t.column("hash").to_numpy(), t.column("day").to_numpy()) for t in columns]
            self._changed = False

    def find(self, hashes: np.ndarray) -> Pairs:
        """Every pair that is known of these (sorted, unique) hashes."""
        found = [_within(run, hashes) for run in self._runs]
        return _unique(found) if found else _EMPTY

    def add(self, pairs: Pairs) -> None:
        """Takes up pairs that are not known yet; merges runs until each is less than half of the one before."""
        if not len(pairs[0]):
            return
        self._runs.append(pairs)
        while len(self._runs) > 1 and len(self._runs[-1][0]) * 2 > len(self._runs[-2][0]):
            self._runs[-2:] = [_unique(self._runs[-2:])]
        self._changed = True

    def write(self, generation: int) -> tuple[str, ...]:
        """Stores the runs that are new; returns the names of all."""
        if not self._changed:
            return tuple(self._names)
        kept = min(len(self._names), len(self._runs) - 1)
        names = self._names[:kept]
        for place, run in enumerate(self._runs[kept:], kept):
            names.append(f"behavior/landing/ids-{generation}-{place}.arrow")
            self._lake.write(names[-1], pa.table([pa.array(run[0]), pa.array(run[1])], schema=_RUN))
        return tuple(names)


def relocated(
    lake: Lake, before: Ledger, after: Ledger, added: Pairs, dropped: Iterable[Part], index: IdIndex
) -> tuple[pa.Table, bool]:
    """The moved ids (schema MOVED) of the ledger `after`, and whether they differ from those of `before`.

    `added` are the pairs of new parts, which `index` does not hold yet; `dropped` are the parts that `after` lacks.
    """
    old = moved(lake, before)
    fresh = firsts(added[0])
    known = _unique([index.find(fresh), added])
    several = np.unique(known[0][1:][known[0][1:] == known[0][:-1]])
    old_hashes = old.column("id_hash").to_numpy()
    gone = [_hashes(lake, part) for part in dropped] if len(old_hashes) else []
    affected = np.unique(np.concatenate([several, *(np.intersect1d(old_hashes, hashes) for hashes in gone)]))
    if not len(affected):
        return old, False
    days = {*_unique([index.find(affected), _within(added, affected)])[1].tolist()}
    rest = old.filter(pa.array(~np.isin(old_hashes, affected)))
    new = pa.concat_tables([rest, _losers(lake, after.parts(), days, affected)])
    new = new.sort_by([("id", "ascending"), ("lost", "ascending")])
    return new, not new.equals(old)


def _losers(lake: Lake, parts: Mapping[date, Sequence[Part]], days: set[int], affected: np.ndarray) -> pa.Table:
    """Of the affected ids, one row for each day that is not the one of the greatest (received_at, hash)."""
    tables = []
    for day in sorted(day for day in parts if number_of(day) in days):
        for part in parts[day]:
            table = lake.columns(part.name, _READ)
            table = table.filter(pa.array(np.isin(table.column("id_hash").to_numpy(), affected)))
            tables.append(table.append_column("lost", pa.array([day] * table.num_rows, pa.date32())))
    if not tables:
        return MOVED.empty_table()
    rows = pa.concat_tables(tables)
    sha = fixed(rows.column("sha"))
    rows = rows.append_column("high", pa.array(sha[:, 0])).append_column("low", pa.array(sha[:, 1]))
    rows = rows.sort_by([(name, "ascending") for name in ("id", "received_at", "high", "low", "lost")])
    ids = rows.column("id").combine_chunks()
    last = np.ones(len(ids), bool)
    last[:-1] = pc.not_equal(ids[:-1], ids[1:]).to_numpy(zero_copy_only=False)
    ends = np.flatnonzero(last)
    winner = rows.take(pa.array(np.repeat(ends, np.diff(ends, prepend=-1))))
    found = pa.table(
        [rows.column("id"), rows.column("id_hash"), rows.column("lost")]
        + [winner.column(name) for name in ("lost", "received_at", "sha")],
        schema=MOVED,
    )
    found = found.filter(pc.not_equal(found.column("lost"), found.column("day")))
    return found.group_by(MOVED.names).aggregate([]).select(MOVED.names).cast(MOVED)


def pairs(parts: Iterable[tuple[date, np.ndarray]]) -> Pairs:
    """Hashes by day as sorted pairs."""
    given = [(hashes, np.full(len(hashes), number_of(day), np.int32)) for day, hashes in parts]
    return _unique(given) if given else _EMPTY


def firsts(ordered: np.ndarray) -> np.ndarray:
    """Each value of a sorted array once."""
    return ordered[np.diff(ordered, prepend=ordered[:1] - 1) != 0] if len(ordered) else ordered


def without(pairs: Pairs, known: Pairs) -> Pairs:
    """The pairs that are not among the known ones."""
    if not len(known[0]):
        return pairs
    hashes, days = np.concatenate([known[0], pairs[0]]), np.concatenate([known[1], pairs[1]])
    order = np.lexsort((days, hashes))  # stable: a known pair stands before its equal
    hashes, days = hashes[order], days[order]
    again = np.zeros(len(hashes), bool)
    again[1:] = (hashes[1:] == hashes[:-1]) & (days[1:] == days[:-1])
    keep = (order >= len(known[0])) & ~again
    return hashes[keep], days[keep]


def _unique(given: Sequence[Pairs]) -> Pairs:
    hashes, days = np.concatenate([g[0] for g in given]), np.concatenate([g[1] for g in given])
    order = np.lexsort((days, hashes))
    hashes, days = hashes[order], days[order]
    first = np.ones(len(hashes), bool)
    first[1:] = (hashes[1:] != hashes[:-1]) | (days[1:] != days[:-1])
    return hashes[first], days[first]


def _within(run: Pairs, hashes: np.ndarray) -> Pairs:
    low, high = np.searchsorted(run[0], hashes, "left"), np.searchsorted(run[0], hashes, "right")
    counts = high - low
    places = np.repeat(low - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    return run[0][places], run[1][places]


def _hashes(lake: Lake, part: Part) -> np.ndarray:
    return lake.columns(part.name, ["id_hash"]).column("id_hash").to_numpy()


def _indexed(lake: Lake, ledger: Ledger) -> Pairs:
    def all_hashes() -> Iterator[tuple[date, np.ndarray]]:
        for day, parts in ledger.parts().items():
            for part in parts:
                yield day, _hashes(lake, part)

    return pairs(all_hashes())
