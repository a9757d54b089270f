"""One tick over landed files: what is read is collected, and committed to the ledger together.

A tick writes parts first and commits the ledger last. What it leaves is a function of the files alone: any order of
ticks, appends, replacements and re-reads ends in the same tables as one read of the same files.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
import pyarrow as pa

from assets.behavior.landing import erased
from assets.behavior.landing import ids as landing_ids
from assets.behavior.landing import ledger as landing_ledger
from assets.behavior.landing.files import FileReader
from assets.behavior.landing.ledger import UNUSED, Entry, Ledger
from assets.behavior.landing.lines import Limits
from assets.behavior.landing.origins import Seen
from assets.behavior.landing.reading import Change
from assets.behavior.landing.writes import Writes
from assets.errors import TwohandsError
from assets.ports import Lake, Refusal, SourceFile

_COMMIT_EVENTS = 1_000_000  # of so many events a kill costs the reading at most
_UNUSED_SECONDS = 3600.0  # what the ledger no longer names stays as long: a day may be reading it
MANUAL, _HASH = "manual/", 12  # a file that was given by hand: manual/<so many digits of its hash>-<its name>
READING = "1"  # of the contract and its reader: under a new one all files are read again
_UNUSED_SCHEMA = pa.schema([("name", pa.string()), ("since", pa.float64())])


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one tick brought.

    `files` were read; `accepted` events are new, of these `corrected` have an id that was there before, and `deleted`
    are tombstones. `quarantined` lines were refused, by `reasons`. `waiting` files are busy or end in something half
    written. `days` are dirty now, whoever made them so. `refused` are files that the source may not hand over.
    `earlier` other contents were given by hand under the name of this one before: they stand, or were replaced.
    `problems` are the errors of origins that could not be looked at, while another one was read. `given` is what is
    known now of a file that was given by hand.
    """

    files: int = 0
    accepted: int = 0
    corrected: int = 0
    deleted: int = 0
    quarantined: int = 0
    waiting: int = 0
    days: tuple[date, ...] = ()
    seconds: float = 0.0
    reasons: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, Refusal] = field(default_factory=dict)
    earlier: int = 0
    problems: Mapping[str, TwohandsError] = field(default_factory=dict)
    given: Entry | None = None

    @property
    def fruitless(self) -> bool:
        """Whether a file that was given by hand has refused lines and not one event, now or when it came before."""
        if self.given is None or not self.given.quarantined:
            return False
        unread = self.given.consumed != self.given.size  # damaged: the events that stand are those of a former version
        return not self.given.accepted or (unread and not self.accepted)

    def left_out(self) -> dict[str, str]:
        """All that was not read, with the reason."""
        refused = {path: refusal.detail for path, refusal in self.refused.items()}
        return refused | {name: str(error) for name, error in self.problems.items()}

    def check(self) -> None:
        """Raises the first of the problems: for callers who count on everything having been looked at."""
        for error in self.problems.values():
            raise error


class Tick:
    """One pass under the lock: changes are collected and committed together."""

    def __init__(self, lake: Lake, writes: Writes, limits: Limits, now: float) -> None:
        self._lake, self._writes, self._limits, self._now = lake, writes, limits, now
        self._ledger = landing_ledger.read(lake)
        self._rules = f"{READING} {limits}"
        known = self._ledger.entries if self._ledger.rules != self._rules else ()
        self._anew = {path for path in known if not path.startswith(MANUAL)}  # read under other rules
        self._reader = FileReader(lake, writes, limits, now, erased.read(lake))
        self._pending: dict[str, Change] = {}
        self._committed = False
        self._waits: set[str] = set()
        self._withdrawn: set[str] = set()  # files whose place another one takes
        self._earlier, self._given = 0, ""
        self._files = self._accepted = self._corrected = self._deleted = 0
        self._reasons: Counter[str] = Counter()

    def known(self, chosen: Callable[[str], bool]) -> dict[str, str]:
        """The stamps of the chosen paths that were read before; an empty one where a file is to be read again."""
        entries = self._ledger.entries.items()
        return {path: "" if path in self._anew else entry.stamp for path, entry in entries if chosen(path)}

    def wants(self, file: SourceFile) -> bool:
        """Whether a listed file has to be read."""
        entry = self._ledger.entries.get(file.path)
        if entry is None or not file.stamp or file.stamp != entry.stamp or file.path in self._anew:
            return True
        if entry.waiting:
            self._waits.add(file.path)
        due = entry.recheck_at is not None and self._now >= entry.recheck_at
        return due or (entry.waiting and self._settled(entry, file))

    def give(self, name: str, data: bytes, *, wanted: str = "auto", replacing: bool = False) -> None:
        """Reads a file that a person hands over; it is known by its content and its name, and nothing in it waits.

        `replacing` makes it the next version of all that stands under that name, as if one landed file had changed.
        """
        path = f"{MANUAL}{hashlib.sha256(data).hexdigest()[:_HASH]}-{name}"
        self._given = path
        others = [found for found in self._ledger.entries if found != path and _name_by_hand(found) == name]
        self._earlier = len(others)
        before = None
        if replacing and others:
            former = [self._ledger.entries[found] for found in (path, *others) if found in self._ledger.entries]
            parts = tuple(part for entry in former for part in entry.parts)
            read = max(entry.consumed for entry in former)
            before = Entry(path, version=self._ledger.generation, consumed=read, parts=parts)
            self._withdrawn.update(others)
        self.take(SourceFile(path, len(data), "", None), data, settled=True, wanted=wanted, before=before)

    def take(
        self,
        file: SourceFile,
        data: bytes,
        *,
        settled: bool | None = None,
        wanted: str = "auto",
        before: Entry | None = None,
    ) -> None:
        """Reads a file's bytes. `before` is what the file is a new version of, where the ledger does not know that."""
        before = before or self._ledger.entries.get(file.path) or Entry(file.path, version=self._ledger.generation)
        if file.path in self._anew:
            before = replace(before, format="")
        if settled is None:
            settled = self._settled(before, file)
        self._files += 1
        change = self._reader.read(before, data, settled=settled, wanted=wanted)
        entry = change.entry if change else before
        seen_at = before.seen_at if change is None and before.seen_at else self._now
        entry = replace(entry, stamp=file.stamp, seen_at=seen_at)
        (self._waits.add if entry.waiting else self._waits.discard)(file.path)
        if entry == before:
            return
        self._anew.discard(file.path)
        self._pending[file.path] = replace(change, entry=entry) if change else Change(entry)
        if sum(len(hashes) for c in self._pending.values() for _, hashes in c.added) > _COMMIT_EVENTS:
            self._commit()

    def end(self) -> Ledger:
        """Commits, tidies up, and returns the ledger that is in force."""
        self._commit()
        if self._committed:
            self._tidy()
        return self._ledger

    def report(self, dirty: Sequence[date], seconds: float, seen: Seen) -> IngestReport:
        """What happened."""
        return IngestReport(
            self._files,
            self._accepted,
            self._corrected,
            self._deleted,
            self._reasons.total(),
            len(self._waits) + seen.busy,
            tuple(dirty),
            seconds,
            dict(self._reasons),
            seen.refused,
            self._earlier,
            seen.problems,
            self._ledger.entries.get(self._given),
        )

    def _settled(self, entry: Entry, file: SourceFile) -> bool:
        since = file.modified
        if since is None:
            since = entry.seen_at if entry.seen_at and entry.size == file.size else self._now
        return self._now - since >= self._limits.settle_seconds

    def _commit(self) -> None:
        if not self._pending:
            return
        self._writes.drain()
        changes, self._pending = list(self._pending.values()), {}
        before = self._ledger
        unread = {path: replace(before.entries[path], stamp="", format="") for path in self._anew}
        kept = {path: entry for path, entry in before.entries.items() if path not in self._withdrawn}
        entries = {**kept, **unread, **{change.entry.path: change.entry for change in changes}}
        after = replace(before, entries=entries, generation=before.generation + 1, rules=self._rules)
        added = landing_ids.pairs(pair for change in changes for pair in change.added)
        dropped = [part for change in changes for part in change.dropped]
        fresh = [hashes for change in changes for hashes in change.fresh]
        if len(added[0]) or dropped:
            after = self._indexed(before, after, added, dropped, fresh)
        landing_ledger.write(self._lake, after)
        self._ledger, self._committed = after, True
        self._accepted += sum(len(hashes) for hashes in fresh)
        self._deleted += sum(change.deleted for change in changes)
        for change in changes:
            self._reasons.update(change.reasons)

    def _indexed(
        self,
        before: Ledger,
        after: Ledger,
        added: landing_ids.Pairs,
        dropped: Sequence[landing_ledger.Part],
        fresh: Sequence[np.ndarray],
    ) -> Ledger:
        """Updates the index of ids and the list of moved ones, beside those that are in force."""
        index = landing_ids.IdIndex(self._lake, before)
        if fresh:
            events = np.sort(np.concatenate(fresh))
            ids = landing_ids.firsts(events)
            known = landing_ids.firsts(index.find(ids)[0])
            self._corrected += len(events) - (len(ids) - len(known))
        moved, differs = landing_ids.relocated(self._lake, before, after, added, dropped, index)
        name = before.moved
        if differs:
            name = f"behavior/landing/moved-{after.generation}.parquet" if moved.num_rows else ""
            if name:
                self._lake.write(name, moved)
        index.add(landing_ids.without(added, index.find(landing_ids.firsts(added[0]))))
        return replace(after, runs=index.write(after.generation), moved=name)

    def _tidy(self) -> None:
        """Removes what the ledger has not named for a while: replaced parts, and those of killed ticks."""
        there = [name for folder in landing_ledger.FOLDERS for name in self._lake.names(f"behavior/{folder}")]
        idle = {*there} - self._ledger.names() - {UNUSED}
        table = self._lake.read(UNUSED)
        known = {row["name"]: row["since"] for row in table.to_pylist()} if table is not None else {}
        since = {name: known.get(name, self._now) for name in sorted(idle)}
        old = [name for name, at in since.items() if self._now - at >= _UNUSED_SECONDS]
        kept = {name: at for name, at in since.items() if name not in old}
        if kept != known:
            rows = [{"name": name, "since": at} for name, at in kept.items()]
            self._lake.write(UNUSED, pa.Table.from_pylist(rows, schema=_UNUSED_SCHEMA))
        self._lake.remove(old)


def _name_by_hand(path: str) -> str | None:
    """The name under which a file was given by hand; None for a landed one."""
    digits, dash, name = path.removeprefix(MANUAL).partition("-")
    return name if path.startswith(MANUAL) and dash and len(digits) == _HASH else None
