"""The ledger of the landing folder, made again from what the lake holds.

| what | where it is found again |
|---|---|
| which parts are current | those that a readable ledger names; else all but those that are known to be unused |
| whose they are | the file's name in the part's metadata; of older parts, the file whose hash names the part |
| ids on several days | from the parts |
| refused lines | the newest quarantine table of each file |
| how far a file was read | nowhere: every file that is still there is read again; equal days keep their parts |

So nothing is doubled (an event that is found twice is one row), and nothing is lost but parts that are missing or
unreadable and whose file is not there any more; they are named. Without a ledger and without the list of unused parts,
events of a deleted file that were withdrawn within the last hour may come back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from assets.behavior.events import sum_of
from assets.behavior.landing import ids as landing_ids
from assets.behavior.landing import ledger as landing_ledger
from assets.behavior.landing.ledger import FILE, UNUSED, Entry, Ledger, Part
from assets.errors import CorruptState
from assets.ports import Lake

_KEY = 16  # hex digits of a file's name in the lake


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found again: files, their events, and the tables that are missing or unreadable."""

    files: int
    events: int
    lost: tuple[str, ...]


def recover(lake: Lake, listed: Iterable[str]) -> Recovered:
    """Writes a ledger of what the lake holds; `listed` are the paths that the origins list now. Call it under the lock.

    The next tick reads every listed file again.
    """
    known = _readable(lake)
    current = _current(lake, known)
    paths = _Paths(lake, [*listed, *(known.entries if known else ())])
    parts: dict[str, list[Part]] = defaultdict(list)
    versions: dict[str, int] = defaultdict(int)
    lost = sorted(known.parts_and_quarantine() - {*current}) if known else []
    for name in (name for name in current if name.startswith("behavior/events/")):
        try:
            part, path = _part(lake, name, paths)
        except CorruptState:
            lost.append(name)
            continue
        parts[path].append(part)
        versions[path] = max(versions[path], _version(name))
    refused = {}
    for name in (name for name in current if name.startswith("behavior/quarantine/")):
        found = _refused(lake, name)
        if found is None:
            lost.append(name)
        elif found[0] not in refused or _version(name) > _version(refused[found[0]][0]):
            refused[found[0]] = (name, found[1])
            versions[found[0]] = max(versions[found[0]], _version(name))
    entries = {
        path: Entry(
            path,
            version=versions[path],
            quarantine=refused[path][0] if path in refused else None,
            quarantined=refused[path][1] if path in refused else 0,
            parts=tuple(parts.get(path, ())),
        )
        for path in sorted({*parts, *refused})
    }
    _commit(lake, entries, _generation(lake, known, versions))
    return Recovered(len(entries), sum(entry.accepted for entry in entries.values()), tuple(sorted(set(lost))))


def _readable(lake: Lake) -> Ledger | None:
    try:
        found = landing_ledger.read(lake)
    except CorruptState:
        return None
    return found if found.entries else None


def _current(lake: Lake, known: Ledger | None) -> list[str]:
    """The names of parts and quarantine tables that count."""
    there = [name for folder in ("events", "quarantine") for name in lake.names(f"behavior/{folder}")]
    if known is not None:
        named = known.parts_and_quarantine()
        return [name for name in there if name in named]
    try:
        table = lake.read(UNUSED)
    except CorruptState:
        table = None
    unused = set(table.column("name").to_pylist()) if table is not None else set()
    return [name for name in there if name not in unused]


class _Paths:
    """Whose a part is."""

    def __init__(self, lake: Lake, known: Sequence[str]) -> None:
        self._lake = lake
        self._by_key = {Entry(path).key: path for path in known}

    def of(self, name: str, metadata: Mapping[bytes, bytes] | None, day: date) -> str:
        """A file's path; one that nobody knows is named by the hash."""
        said = (metadata or {}).get(FILE)
        if said is not None:
            return said.decode("utf-8", "surrogatepass")
        key = name.rsplit("/", 1)[-1][:_KEY]
        if key not in self._by_key:
            guess = f"warehouse/day={day.isoformat()}"  # a day of logs in the warehouse, which nothing lists
            return guess if Entry(guess).key == key else f"recovered/{key}"
        return self._by_key[key]


def _part(lake: Lake, name: str, paths: _Paths) -> tuple[Part, str]:
    try:
        day = date.fromisoformat(name.split("/")[2])
    except ValueError as error:
        raise CorruptState(f"{name} is in no day's folder") from error
    table = lake.columns(name, ["sha"])
    return Part(day, name, table.num_rows, sum_of(table)), paths.of(name, table.schema.metadata, day)


def _refused(lake: Lake, name: str) -> tuple[str, int] | None:
    """The file of a quarantine table, and how many lines it has; None where it cannot be read."""
    try:
        table = lake.columns(name, ["file"])
    except CorruptState:
        return None
    return (table.column("file")[0].as_py(), table.num_rows) if table.num_rows else None


def _version(name: str) -> int:
    """The version in a part's or quarantine table's name: <key>-<version>[-more].parquet."""
    digits = name.rsplit("/", 1)[-1].removesuffix(".parquet")[_KEY + 1 :].split("-", 1)[0]
    return int(digits) if digits.isdecimal() else 0


def _generation(lake: Lake, known: Ledger | None, versions: Mapping[str, int]) -> int:
    """Above all that names were ever made of: no name of the lake is used twice."""
    found = [known.generation if known else 0, *versions.values()]
    for name in lake.names("behavior/landing"):
        found += [int(part) for part in name.rsplit("/", 1)[-1].split(".")[0].split("-") if part.isdecimal()]
    return max(found) + 1


def _commit(lake: Lake, entries: Mapping[str, Entry], generation: int) -> None:
    after = Ledger(entries, generation=generation)  # read by no rules: every listed file is read again
    index = landing_ids.IdIndex(lake, Ledger())
    hashes = (
        (part.day, lake.columns(part.name, ["id_hash"]).column("id_hash").to_numpy())
        for entry in entries.values()
        for part in entry.parts
    )
    added = landing_ids.pairs(hashes)
    moved, _ = landing_ids.relocated(lake, Ledger(), after, added, (), index)
    name = f"behavior/landing/moved-{generation}.parquet" if moved.num_rows else ""
    if name:
        lake.write(name, moved)
    index.add(added)
    landing_ledger.write(lake, replace(after, runs=index.write(generation), moved=name))
