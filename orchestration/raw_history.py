"""Raw interactions to daily counts, in a home of their own: landing, attribution and dbt models as in production."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute

from assets.decision.counts import BadCounts, from_table
from assets.ports import Progress
from orchestration.assembly_behavior import behavior_data, documents
from orchestration.decision_files import History
from orchestration.settings import Settings, WarehouseSettings

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them


@dataclass(frozen=True, slots=True)
class Landed:
    """The counts of a folder of interactions; what its lines came to."""

    history: History
    interactions: int
    failures: Mapping[str, int]
    quarantined: Mapping[str, int]  # lines by reason
    left_out: Mapping[str, str]  # files that were not read, and why
    documents: bool  # whether there were some to attribute failures with


def read(settings: Settings, folder: Path, progress: Progress | None = None) -> Landed:
    """Counts every day of the folder. Nothing is written but to a temporary home, which is removed.

    Failures are attributed with the documents of the settings' own home, where there are some. BadCounts where the
    folder has no interactions.
    """
    with tempfile.TemporaryDirectory(prefix="twohands-replay-") as home:
        corpus = documents(settings)
        data = behavior_data(_elsewhere(settings, folder, Path(home)), corpus)
        report = data.ingest(progress)
        report.check()
        days = data.landing.days()
        if not days:
            raise BadCounts(
                f"{folder} has no interactions that can be read ({report.quarantined:,} lines quarantined, "
                f"{len(report.left_out())} files not read)",
                expected="files of JSON lines or Parquet as docs/interactions.md describes them",
                next_step="`twohands ingest FILE` says what is wrong with a file",
            )
        built = data.backfill(days, progress)
        tables = [data.lake.read(name) for name in data.lake.names("behavior/daily")]
        history = _by_variant(pa.concat_tables([table for table in tables if table is not None]))
        known = not corpus().empty
    return Landed(history, built.interactions, built.verdicts, Counter(report.reasons), report.left_out(), known)


def _elsewhere(settings: Settings, folder: Path, home: Path) -> Settings:
    """The same settings over this folder and an empty home."""
    behavior = settings.behavior.model_copy(update={"landing": str(folder.resolve()), "options": {}})
    return settings.model_copy(
        update={"home": home, "lake": None, "behavior": behavior, "warehouse": WarehouseSettings()}
    )


def _by_variant(table: pa.Table) -> History:
    names = sorted(set(table["variant"].to_pylist()))
    found = {name: from_table(table.filter(pc.equal(table["variant"], name))) for name in names}
    last = max(counts.last_day for counts in found.values())
    return History({name: counts.between(counts.first_day, last) for name, counts in found.items()}, True)
