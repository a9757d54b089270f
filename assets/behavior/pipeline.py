"""The data side of the slow hand: from logs to daily facts. One method for each asset, and `backfill` for all of them.

The Dagster assets and the command line call the same methods. A day is rebuilt from the files that were landed, so a
correction, a deletion or a late event is one more rebuild of its day. What a day was built from is noted when its last
step is done and not before: a kill anywhere leaves the day dirty, and the next rebuild converges.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from assets.behavior import attribution, days, frozen, gaps, reference, variants
from assets.behavior.attribution import History
from assets.behavior.days import DayReport
from assets.behavior.landing.folder import IngestReport, Landing
from assets.behavior.schemas import INTERACTIONS, partition
from assets.fingerprints import digest
from assets.ports import Encoder, Lake, Progress, Warehouse

BUILT = "behavior/built.json"  # day -> what its marts were built from
REPORT = "behavior/report.json"  # what the models over all days, and the corpus report, were built from
LOCK_SECONDS = 600.0
EXAMPLES = 5  # failures shown in the UI


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may tune: days of data that the reference is frozen from, and the manners that are served.

    Interactions of other variants than these are counted, and have no reference to be compared with (variants.py).
    """

    reference_days: int = 28
    variants: tuple[str, ...] = ("main",)


@dataclass(frozen=True, slots=True)
class AttributionReport:
    """One day's attribution: rows written, failures by verdict and by "verdict/kind", the data version, examples."""

    day: date
    rows: int
    verdicts: Mapping[str, int] = field(default_factory=dict)
    kinds: Mapping[str, int] = field(default_factory=dict)
    digest: str = ""
    examples: tuple[Mapping[str, str], ...] = ()


@dataclass(slots=True)
class Built:
    """What a build handed to its readers, once it is done."""

    rows: int = 0


@dataclass(frozen=True, slots=True)
class ReportNote:
    """Which marts (`marts_version`) the models over all days and the corpus report were built from; since when."""

    models: str = ""
    report: str = ""
    at: str | None = None  # ISO 8601, of the models


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """What one rebuild did; `seconds` is wall time."""

    days: tuple[date, ...]
    interactions: int
    verdicts: Mapping[str, int]
    daily_rows: int
    seconds: float


class BehaviorData:
    """All that happens to interactions, over injected engines."""

    def __init__(
        self,
        *,
        lake: Lake,
        landing: Landing,
        warehouse: Warehouse,
        history: Callable[[], History],
        encoder: Encoder,
        options: Options = Options(),
    ) -> None:
        self.lake, self.landing, self.warehouse, self.encoder = lake, landing, warehouse, encoder
        self._history, self.options = history, options

    # ------------------------------------------------------------------------------------------------- stages

    def ingest(self, progress: Progress | None = None, days: Sequence[date] | None = ()) -> IngestReport:
        """Reads what is new in the landing folder and in the newest days of the warehouse's logs; `days` of these
        besides (None: every day)."""
        return self.landing.tick(progress, days)

    def interactions(self, day: date) -> DayReport:
        """The day's interactions, each id once, corrections and deletions applied."""
        return days.materialize(self.lake, day)

    def reference(self, *, force: bool = False) -> reference.ReferenceReport:
        """Freezes topics and thresholds once there are enough days, for all releases; `force` freezes them again."""
        return reference.freeze(
            self.lake,
            self.landing.days(),
            reference_days=self.options.reference_days,
            encoder=self.encoder,
            variants=self.options.variants,
            force=force,
        )

    def attributions(self, chosen: Sequence[date], progress: Progress | None = None) -> list[AttributionReport]:
        """Why each failed interaction of these days failed, and the topic of those that came without one."""
        history, frozen = self._history(), reference.load(self.lake)
        topics = frozen.assigner(self.encoder) if frozen else None
        reports = []
        for number, day in enumerate(chosen, start=1):
            reports.append(_attributed(day, self._attribute(day, history, topics.assign if topics else None)))
            if progress:
                progress("attributing failures", number, len(chosen))
        return reports

    def _attribute(self, day: date, history: History, topics: Callable[[list[str]], list[str]] | None) -> pa.Table:
        """One day's attributions, written only while the interactions that they explain are still the day's.

        Somebody may correct and rebuild the day meanwhile: then it is done again, with the new ones.
        """
        while True:
            made_of = days.inputs_of(self.lake, day)
            found = self.lake.read(partition("interactions", day))
            rows = found if found is not None else INTERACTIONS.empty_table()
            table = attribution.attribute_day(rows, history, topics=topics)
            if history.empty:
                table = attribution.without_history(table)
            with days.locked(self.lake, day):
                if days.inputs_of(self.lake, day) == made_of:
                    self.lake.write(partition("attributions", day), table)
                    return table

    def marts(self, chosen: Sequence[date]) -> int:
        """Rebuilds these days in the warehouse and hands them to their readers; returns the rows of behavior_daily."""
        with self.warehouse.locked():
            with self.building(chosen) as done:
                self.warehouse.build(chosen)
            if chosen:  # the build ended with the models over all days
                self._note(models=self.marts_version(), report=self.marts_version())
        return done.rows

    @contextmanager
    def building(self, chosen: Sequence[date]) -> Iterator[Built]:
        """Around a build of these days: the warehouse is ours, reads the lake's rows, and is exported afterwards.

        What the days are built from is looked up before, and noted after the export: an error or a kill in between
        leaves the days dirty.
        """
        done = Built()
        with self.warehouse.locked():
            inputs = self._inputs(chosen)
            self.warehouse.load(chosen)
            yield done
            done.rows = self.warehouse.export_daily(chosen, inputs)
            with self.lake.lock("behavior-built", LOCK_SECONDS):
                known = self._built() | {day.isoformat(): key for day, key in inputs.items()}
                variants.note(self.lake, known, inputs)
                self.lake.write_text(BUILT, json.dumps(known, sort_keys=True))

    @contextmanager
    def building_whole(self) -> Iterator[None]:
        """Around a build of the models over all days; what they are built from is noted when it succeeded."""
        with self.warehouse.locked():
            made_of = self.marts_version()
            yield
            self._note(models=made_of)

    def gaps(self, limit: int = 50, *, refresh: bool = False) -> list[gaps.Gap]:
        """What to write or mend in the corpus, worst first; `refresh` builds the models first that are out of date."""
        with self.warehouse.locked():
            if refresh and self.report_note().models != self.marts_version():
                with self.building_whole():
                    self.warehouse.build_whole()
            rows = self.warehouse.gaps()
            self._note(report=self.report_note().models)
        return gaps.report(rows, limit)

    def freeze(self, variant: str, first: date, last: date, request: str) -> frozen.Frozen:
        """The training candidates of these days, kept for one fine-tune."""
        rows = self.warehouse.candidates(span(first, last))
        return frozen.freeze(self.lake, rows, variant=variant, request=request, first=first, last=last)

    def texts(self) -> Callable[[str], str | None]:
        """Every passage that any document ever had, by its sha."""
        return self._history().as_of(datetime.now(UTC)).text

    # ------------------------------------------------------------------------------------------------ looking

    def dirty_inputs(self) -> dict[date, str]:
        """Days whose marts are not what they would be if they were built now: day -> what they would be built from.

        Because of landed events that are not in the day's interactions yet, or because of interactions, attributions,
        a reference or a model that the marts were not built from.
        """
        landed, built = self.landing.inputs(), self._built()
        dirty = set(self.landing.dirty_days())
        every = sorted(dirty | set(landed) | {date.fromisoformat(day) for day in built})
        inputs = self._inputs(every)
        return {
            day: digest([landed.get(day, ""), inputs[day]])
            for day in every
            if day in dirty or built.get(day.isoformat()) != inputs[day]
        }

    def marts_version(self) -> str:
        """Names what the daily marts hold now; empty where no day was ever built."""
        built = self._built()
        return digest(part for day, made_of in sorted(built.items()) for part in (day, made_of)) if built else ""

    def report_note(self) -> ReportNote:
        """What the corpus report was built from."""
        return ReportNote(**json.loads(self.lake.read_text(REPORT) or "{}"))

    def report_inputs(self) -> str:
        """What the corpus report would be built from now; empty where it is built from that already."""
        wanted = self.marts_version()
        return "" if self.report_note().report == wanted else wanted

    def daily(self, first: date | None = None, last: date | None = None) -> Iterable[dict[str, object]]:
        """Rows of behavior_daily in order; reads the lake, so it never waits for the warehouse."""
        for name in self.lake.names("behavior/daily"):
            day = date.fromisoformat(name.split("/")[2].removeprefix("day="))
            table = self.lake.read(name) if (not first or day >= first) and (not last or day <= last) else None
            for row in table.to_pylist() if table is not None else ():
                yield {**row, "day": row["day"].isoformat()}

    def landing_version(self) -> str:
        """Data version of what has landed."""
        return digest(part for day, made_of in sorted(self.landing.inputs().items()) for part in (str(day), made_of))

    def gaps_version(self, found: Sequence[gaps.Gap]) -> str:
        """Data version of the corpus report."""
        return digest(json.dumps(row, sort_keys=True) for row in gaps.as_json(found))

    def unknown_variants(self, fresh: Mapping[date, Mapping[str, int]] | None = None) -> dict[str, int]:
        """Interactions of variants that are not served and so never judged, the most first: of the built days, and of
        `fresh` ones by variant. Reads no interaction."""
        found = variants.counts(self.lake, self._built()) | {str(day): now for day, now in (fresh or {}).items()}
        return variants.lacking(found.values(), self.options.variants)

    def quarantined(self) -> list[dict[str, object]]:
        """Lines that were refused: file, line, reason, detail, at (unix seconds). Their content is not kept."""
        return days.quarantined(self.lake)

    # ------------------------------------------------------------------------------------------------ backfill

    def backfill(self, chosen: Sequence[date], progress: Progress | None = None) -> BackfillReport:
        """Rebuilds days from the landed files to the marts, as the graph does.

        Raises what kept it from looking at any origin: a day that was corrected must not be rebuilt as it was.
        """
        began = time.perf_counter()
        self.ingest(progress, chosen).check()
        total, verdicts = 0, Counter[str]()
        for number, day in enumerate(chosen, start=1):
            total += self.interactions(day).rows
            if progress:
                progress("interactions", number, len(chosen))
        self.reference()
        for report in self.attributions(chosen, progress):
            verdicts.update(report.verdicts)
        rows = self.marts(chosen)
        return BackfillReport(tuple(chosen), total, dict(verdicts), rows, time.perf_counter() - began)

    # ------------------------------------------------------------------------------------------------ plumbing

    def _inputs(self, chosen: Sequence[date]) -> dict[date, str]:
        """What the marts of each day are built from; the first sync of documents counts, later ones do not."""
        history = "no documents yet" if self._history().empty else ""
        return {day: digest([made_of, history]) for day, made_of in self.warehouse.inputs(chosen).items()}

    def _note(self, *, models: str | None = None, report: str | None = None) -> None:
        """Notes what was built just now; call it under the warehouse's lock."""
        known = self.report_note()
        note = replace(
            known,
            models=known.models if models is None else models,
            report=known.report if report is None else report,
            at=known.at if models is None else datetime.now(UTC).isoformat(timespec="seconds"),
        )
        if note != known:
            self.lake.write_text(REPORT, json.dumps(asdict(note), sort_keys=True))

    def _built(self) -> dict[str, str]:
        return json.loads(self.lake.read_text(BUILT) or "{}")


def ranges(chosen: Iterable[date]) -> list[tuple[date, date]]:
    """Days as contiguous ranges, both ends included: each is one run."""
    found: list[tuple[date, date]] = []
    for day in sorted(set(chosen)):
        if found and day - found[-1][1] == timedelta(days=1):
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


def span(first: date, last: date) -> list[date]:
    """All days of a range, both ends included."""
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]


def _attributed(day: date, table: pa.Table) -> AttributionReport:
    rows = table.select(["id", "verdict", "kind", "doc_id", "evidence"]).to_pylist()
    failures = [row for row in rows if row["verdict"]]
    return AttributionReport(
        day,
        table.num_rows,
        dict(Counter(row["verdict"] for row in failures)),
        dict(Counter(f"{row['verdict']}/{row['kind'] or '-'}" for row in failures)),
        days.content_digest(table.sort_by("id")),
        tuple(failures[:EXAMPLES]),
    )
