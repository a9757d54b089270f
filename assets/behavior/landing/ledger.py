"""The ledger of the landing folder: what was read of which file, and which parts of the lake came of it.

It is one Parquet file, replaced at once. Parts, the index of ids and the list of moved ids are only what the ledger
names: a tick that is killed leaves parts that nobody reads.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from assets.behavior.events import add, day_of
from assets.behavior.schemas import partition
from assets.errors import CorruptState
from assets.ports import Lake

LEDGER = "behavior/landing/ledger.parquet"
UNUSED = "behavior/landing/unused.parquet"  # what it no longer names, and since when
LANDED = "behavior/landed"  # a mark beside the folder that there was a ledger once
FILE = b"twohands.file"  # in the metadata of a part: the file that it is of
FOLDERS = ("events", "quarantine", "landing")  # under behavior/: where everything is that it names
RECOVER = (
    "restore it from a backup, or run `twohands ingest --recover`, which makes it again from the events in the lake "
    "and reads the landing folder anew"
)
LOCK, LOCK_SECONDS = "behavior-landing", 600.0
INPUTS = b"twohands.inputs"  # in the metadata of a day's table: what it was made of
DATA = b"twohands.data"  # and the digest of its content
VERSION = "1"  # of what is made of equal inputs: a new one makes every day dirty
_MEMO = "_inputs-"  # beside a day's table; readers of partitioned folders skip names with an underscore

_PART = pa.struct([("day", pa.date32()), ("name", pa.string()), ("rows", pa.int64()), ("sum", pa.binary(16))])
_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("stamp", pa.string()),
        ("size", pa.int64()),
        ("format", pa.string()),
        ("consumed", pa.int64()),
        ("sha", pa.string()),
        ("lines", pa.int64()),
        ("version", pa.int64()),
        ("accepted", pa.int64()),
        ("quarantined", pa.int64()),
        ("quarantine", pa.string()),
        ("waiting", pa.bool_()),
        ("seen_at", pa.float64()),
        ("recheck_at", pa.float64()),
        ("days", pa.list_(pa.date32())),
        ("parts", pa.list_(_PART)),
    ]
)
# One row for every day on which an id lost to another day; `day` is the winner's.
MOVED = pa.schema(
    [
        ("id", pa.string()),
        ("id_hash", pa.uint64()),
        ("lost", pa.date32()),
        ("day", pa.date32()),
        ("received_at", pa.timestamp("us", tz="UTC")),
        ("sha", pa.binary(16)),
    ]
)


class Part(NamedTuple):
    """A stored table of events of one file and day. `sum` is the digest of their multiset."""

    day: date
    name: str
    rows: int
    sum: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one landing file.

    `consumed` bytes with the hash `sha` and so many `lines` were read for good. While `waiting`, something follows
    them that is not whole. `seen_at` is when this stamp was first seen, `recheck_at` when a future-dated event is due
    (unix seconds).
    """

    path: str
    stamp: str = ""
    size: int = -1
    format: str = ""
    consumed: int = 0
    sha: str = ""
    lines: int = 0
    version: int = 0
    quarantined: int = 0
    quarantine: str | None = None
    waiting: bool = False
    seen_at: float = 0.0
    recheck_at: float | None = None
    parts: tuple[Part, ...] = ()

    @property
    def key(self) -> str:
        """The file's name in the lake."""
        return hashlib.sha256(self.path.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def accepted(self) -> int:
        """Events of the file that are stored now."""
        return sum(part.rows for part in self.parts)


@dataclass(frozen=True, slots=True)
class Ledger:
    """All entries by path; the runs of the index of ids; the name of the moved ids' table.

    `rules` is what the files were read by: under others they are all read again.
    """

    entries: Mapping[str, Entry] = field(default_factory=dict)
    runs: tuple[str, ...] = ()
    moved: str = ""
    generation: int = 0
    rules: str = ""

    def parts(self) -> dict[date, list[Part]]:
        """The current parts of every day."""
        found: dict[date, list[Part]] = defaultdict(list)
        for entry in self.entries.values():
            for part in entry.parts:
                found[part.day].append(part)
        return found

    def names(self) -> set[str]:
        """Every name of the lake that this ledger stands on, its own included."""
        return {LEDGER, *self.runs, self.moved, *self.parts_and_quarantine()} - {""}

    def parts_and_quarantine(self) -> set[str]:
        """What of that was made of files alone."""
        names = {part.name for entry in self.entries.values() for part in entry.parts}
        return names | {entry.quarantine for entry in self.entries.values() if entry.quarantine}


def read(lake: Lake) -> Ledger:
    """The ledger that was committed last; an empty one where there never was one. CorruptState where it is lost."""
    try:
        table = lake.read(LEDGER)
        if table is None:
            if lake.read_text(LANDED) is None:
                return Ledger()
            raise CorruptState(f"The ledger of the landing folder, {LEDGER}, is gone from the lake")
        return _ledger(table)
    except (CorruptState, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        problem = error.problem if isinstance(error, CorruptState) else f"{LEDGER} is no ledger ({error})"
        raise CorruptState(problem, expected="what the last tick wrote", next_step=RECOVER) from error


def _ledger(table: pa.Table) -> Ledger:
    metadata = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
    entries = {}
    for row in table.drop_columns(["days", "accepted"]).to_pylist():
        parts = tuple(Part(**part) for part in row.pop("parts"))
        entries[row["path"]] = Entry(**row, parts=parts)
    runs = tuple(name for name in metadata.get("runs", "").split() if name)
    return Ledger(
        entries, runs, metadata.get("moved", ""), int(metadata.get("generation", "0")), metadata.get("rules", "")
    )


def write(lake: Lake, ledger: Ledger) -> None:
    """Commits: from here on readers see these parts and no others."""
    rows: list[dict[str, Any]] = []
    for entry in sorted(ledger.entries.values(), key=lambda entry: entry.path):
        row = asdict(replace(entry, parts=()))
        row["parts"] = [part._asdict() for part in entry.parts]
        row["days"] = sorted({part.day for part in entry.parts})
        row["accepted"] = entry.accepted
        rows.append(row)
    metadata = {
        "runs": " ".join(ledger.runs),
        "moved": ledger.moved,
        "generation": str(ledger.generation),
        "rules": ledger.rules,
    }
    lake.write(LEDGER, pa.Table.from_pylist(rows, schema=_SCHEMA.with_metadata(metadata)))
    if lake.read_text(LANDED) is None:
        lake.write_text(LANDED, "")


def moved(lake: Lake, ledger: Ledger) -> pa.Table:
    """The ids that lost on some day (schema MOVED). CorruptState where they are missing: ids would be doubled."""
    if not ledger.moved:
        return MOVED.empty_table()
    table = lake.read(ledger.moved)
    if table is None:
        raise CorruptState(f"{ledger.moved} is missing", expected="what the ledger names", next_step=RECOVER)
    return table


def inputs(parts: Mapping[date, Iterable[Part]], moved: pa.Table) -> dict[date, str]:
    """What each day is made of, as a digest: its events as a multiset, and the ids that it lost to other days."""
    lost: dict[date, tuple[int, int]] = {}
    if moved.num_rows:
        days = moved.column("lost").combine_chunks().cast(pa.int32()).to_numpy()
        hashes = moved.column("id_hash").to_numpy()
        for day in np.unique(days):
            chosen = hashes[days == day]
            lost[day_of(day)] = (len(chosen), int(chosen.sum(dtype=np.uint64)))
    digests = {}
    for day in {*parts, *lost}:
        held = list(parts.get(day, ()))
        count, total = lost.get(day, (0, 0))
        whole = f"{VERSION} {sum(part.rows for part in held)} {add(p.sum for p in held).hex()} {count} {total:016x}"
        digests[day] = hashlib.sha256(whole.encode()).hexdigest()
    return digests


NOTHING = inputs({date.min: ()}, MOVED.empty_table())[date.min]  # of a day all of whose events were withdrawn


def stored_inputs(lake: Lake) -> dict[date, str | None]:
    """What each stored day was made of, by one listing of names; None where that takes a look into its table."""
    memos: dict[date, list[str]] = defaultdict(list)
    stored = set()
    for name in lake.names("behavior/interactions"):
        _, _, folder, leaf = (*name.split("/", 3), "", "", "", "")[:4]
        try:
            day = date.fromisoformat(folder.removeprefix("day="))
        except ValueError:
            continue
        if leaf == "data.parquet":
            stored.add(day)
        elif leaf.startswith(_MEMO):
            memos[day].append(leaf.removeprefix(_MEMO))
    return {day: memos[day][0] if len(memos[day]) == 1 else None for day in stored}


def looked_up(lake: Lake, day: date) -> str:
    """What a stored day was made of, from its table's metadata."""
    metadata = lake.columns(partition("interactions", day), []).schema.metadata or {}
    return metadata.get(INPUTS, b"").decode()


def memos(lake: Lake, day: date) -> list[str]:
    """The names that repeat what a stored day was made of. None may stand while its table is replaced."""
    folder = partition("interactions", day).rsplit("/", 1)[0]
    return [name for name in lake.names(folder) if name.rsplit("/", 1)[-1].startswith(_MEMO)]


def memo(day: date, inputs: str) -> str:
    """The name that repeats what a day was made of."""
    return partition("interactions", day).replace("data.parquet", _MEMO + inputs)
