"""Landed files, and days of logs in the warehouse: interactions to parts of the lake, and which days differ from what
was materialized."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date

from assets.behavior.landing import ledger as landing_ledger
from assets.behavior.landing.ledger import LOCK, LOCK_SECONDS, NOTHING, Ledger
from assets.behavior.landing.lines import Limits
from assets.behavior.landing.origins import Origins, Seen
from assets.behavior.landing.recovery import Recovered, recover
from assets.behavior.landing.served import Served
from assets.behavior.landing.tick import IngestReport, Tick
from assets.behavior.landing.writes import Writes
from assets.errors import TwohandsError
from assets.fingerprints import digest
from assets.ports import DayLogs, Lake, Progress, Source

__all__ = ["DEFAULT", "Counts", "IngestReport", "Landing", "Pending", "Recovered"]

DEFAULT = Limits()


@dataclass(frozen=True, slots=True)
class Pending:
    """Listed files that the next tick will read: how many, what they are, and the age in seconds of the youngest.

    `problems` are origins that could not be looked at while another one could.
    """

    files: int
    digest: str
    youngest: float
    now: float
    problems: Mapping[str, TwohandsError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counts:
    """What has landed: files, their events and refused lines, files that are not whole, first and last event day."""

    files: int = 0
    events: int = 0
    quarantined: int = 0
    waiting: int = 0
    first_day: date | None = None
    last_day: date | None = None


class Landing:
    """A landing folder, logs in the warehouse, a server's journal apart from both, and what became of them.

    `now` is in unix seconds.
    """

    def __init__(
        self,
        lake: Lake,
        source: Source | None,
        *,
        logs: DayLogs | None = None,
        served: Served | None = None,
        now: Callable[[], float] = time.time,
        limits: Limits = DEFAULT,
    ) -> None:
        self._lake, self._now, self._limits = lake, now, limits
        self._origins = Origins(source, logs, served)

    def tick(self, progress: Progress | None = None, days: Sequence[date] | None = ()) -> IngestReport:
        """Reads what is new, grown or replaced. A file that changes while it is read waits for the next tick.

        Of logs in the warehouse the newest days are looked at, and `days` besides (None: every day). Raises what the
        lake raises, and what the origins raise where none can be looked at; the report has what one alone raised.
        Files that were read before that are kept or read again.
        """
        began = time.perf_counter()
        with self._lake.lock(LOCK, LOCK_SECONDS), Writes(self._lake) as writes:
            tick, seen = Tick(self._lake, writes, self._limits, self._now()), Seen()
            with closing(self._origins.files(seen, tick.wants, self._known(tick), days, progress)) as files:
                for file, data in files:
                    tick.take(file, data)
            ledger = tick.end()
            self._origins.looked(seen)
            return tick.report(self._dirty(ledger), time.perf_counter() - began, seen)

    def ingest(self, name: str, data: bytes, format: str = "auto", *, replacing: bool = False) -> IngestReport:
        """Reads one file by hand; the same file again changes nothing. `format`: auto, interactions, openai, langfuse.

        It is kept as manual/<hash>-<name>, and is complete: nothing in it waits. Other contents that were given under
        that name stay, unless `replacing`: then they are withdrawn in the commit that brings this one.
        """
        began = time.perf_counter()
        with self._lake.lock(LOCK, LOCK_SECONDS), Writes(self._lake) as writes:
            tick = Tick(self._lake, writes, self._limits, self._now())
            tick.give(name.rsplit("/", 1)[-1], data, wanted=format, replacing=replacing)
            ledger = tick.end()
            return tick.report(self._dirty(ledger), time.perf_counter() - began, Seen())

    def recover(self) -> Recovered:
        """Makes a lost or damaged ledger again from what the lake holds; the next tick reads every file again.

        Raises what an origin's listing raises: its files would be taken for deleted ones.
        """
        with self._lake.lock(LOCK, LOCK_SECONDS):
            found, problems = self._origins.glance({})
            for error in problems.values():
                raise error
            return recover(self._lake, [file.path for file in found])

    def pending(self) -> Pending:
        """What a tick would read now; reads no file and waits for nobody. Raises what all origins' listings raise."""
        now = self._now()
        with Writes(self._lake) as none:
            tick = Tick(self._lake, none, self._limits, now)
        found, problems = self._origins.glance(self._known(tick))
        files = [file for file in found if tick.wants(file)]
        ages = [now - file.modified for file in files if file.modified is not None]
        what = (part for f in files for part in (f.path, f.stamp, str(f.size), str(f.modified)))
        return Pending(len(files), digest(what), min(ages, default=math.inf), now, problems)

    def inputs(self) -> dict[date, str]:
        """What every day would be made of now, as a digest; reads no event."""
        return self._inputs(landing_ledger.read(self._lake))

    def dirty_days(self) -> list[date]:
        """Days that are not made of what is there now; reads no event."""
        return self._dirty(landing_ledger.read(self._lake))

    def days(self) -> list[date]:
        """Every day that has events, or a table of them."""
        return sorted({*landing_ledger.read(self._lake).parts(), *landing_ledger.stored_inputs(self._lake)})

    def lines(self) -> int:
        """Events and refused lines of the current versions of all files: what a share of refused lines is of."""
        counts = self.counts()
        return counts.events + counts.quarantined

    def counts(self) -> Counts:
        """What the current versions of all files hold; reads no event."""
        ledger = landing_ledger.read(self._lake)
        entries, days = ledger.entries.values(), ledger.parts()
        return Counts(
            len(entries),
            sum(entry.accepted for entry in entries),
            sum(entry.quarantined for entry in entries),
            sum(entry.waiting for entry in entries),
            min(days, default=None),
            max(days, default=None),
        )

    def missing(self) -> list[str]:
        """What the ledger stands on and the lake lacks; reads no event."""
        wanted = landing_ledger.read(self._lake).names()
        found = {name for folder in landing_ledger.FOLDERS for name in self._lake.names(f"behavior/{folder}")}
        return sorted(wanted - found) if len(wanted) > 1 else []  # a ledger that was never written stands on nothing

    def _known(self, tick: Tick) -> dict[str, str]:
        return tick.known(self._origins.owns)

    def _inputs(self, ledger: Ledger) -> dict[date, str]:
        return landing_ledger.inputs(ledger.parts(), landing_ledger.moved(self._lake, ledger))

    def _dirty(self, ledger: Ledger) -> list[date]:
        wanted, stored = self._inputs(ledger), landing_ledger.stored_inputs(self._lake)
        dirty = {day for day in wanted if day not in stored}
        for day, made_of in stored.items():
            known = landing_ledger.looked_up(self._lake, day) if made_of is None else made_of
            if known != wanted.get(day, NOTHING):
                dirty.add(day)
        return sorted(dirty)
