"""What Dagster's event log says of people: metadata that quotes them, and taking it away.

A run's events cannot be changed. So the runs whose metadata may quote an erased interaction are deleted, and what they
were the newest to say of an asset or a partition is said again, without quotes and without a run.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path

import dagster as dg

from assets.behavior.assets import ATTRIBUTIONS, GROUP
from assets.behavior.gaps import quoted
from assets.behavior.preview import QUOTES
from assets.errors import EngineBusy

GAPS = dg.AssetKey([GROUP, "gaps"])
_PAGE = 500
_WAIT = 30.0  # seconds that a running UI may hold a database

Place = tuple[dg.AssetKey, str | None]  # an asset, and its partition


def folder(home: Path) -> Path | None:
    """The folder of Dagster's instance: $DAGSTER_HOME, or that of `make run`; None where neither is there."""
    found = Path(os.environ.get("DAGSTER_HOME") or home / "dagster")
    return found if (found / "dagster.yaml").is_file() else None


def quoting_runs(instance: dg.DagsterInstance, days: Sequence[date], prompts: Collection[str]) -> list[str]:
    """Runs whose metadata may quote interactions of these days that asked this.

    Of attributions every run that showed examples for one of the days; of corpus reports those with one of the prompts.
    """
    runs: dict[str, None] = {}
    partitions = [day.isoformat() for day in days]
    for record in _materializations(instance, ATTRIBUTIONS, partitions) if partitions else ():
        if "examples" in _metadata(record):
            runs[record.run_id] = None
    wanted = {quoted(prompt) for prompt in prompts}
    for record in _materializations(instance, GAPS, None):
        report = _metadata(record).get("report")
        if isinstance(report, dg.MarkdownMetadataValue) and any(text in (report.md_str or "") for text in wanted):
            runs[record.run_id] = None
    return [run for run in runs if run]


def purge(instance: dg.DagsterInstance, runs: Collection[str], home: Path) -> None:
    """Deletes these runs with their events and logs; see above. EngineBusy when a database stays locked.

    `home` is the instance's folder: its SQLite files are rewritten. Another storage is its owner's to vacuum.
    """
    places = {place for run in runs for place in _places(instance, run)}
    newest = [found for place in sorted(places, key=str) if (found := _newest(instance, place)).run_id in runs]
    again = [_without_quotes(record) for record in newest]
    for run in runs:
        instance.delete_run(run)
        instance.compute_log_manager.delete_logs(prefix=[run])
    for event in again:
        instance.report_runless_asset_event(event)
    for file in sorted((home / "history").rglob("*.db")):
        _rewrite(file)


def _materializations(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Sequence[str] | None
) -> Iterator[dg.EventLogRecord]:
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=partitions)
    cursor, more = None, True
    while more:
        found = instance.fetch_materializations(wanted, limit=_PAGE, cursor=cursor)
        yield from found.records
        cursor, more = found.cursor, found.has_more


def _metadata(record: dg.EventLogRecord) -> dict[str, dg.MetadataValue]:
    said = record.asset_materialization
    return dict(said.metadata) if said else {}


def _places(instance: dg.DagsterInstance, run: str) -> Iterator[Place]:
    cursor, more = None, True
    while more:
        found = instance.get_records_for_run(
            run, cursor=cursor, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION, limit=_PAGE
        )
        for record in found.records:
            if record.asset_materialization:
                yield record.asset_materialization.asset_key, record.asset_materialization.partition
        cursor, more = found.cursor, found.has_more


def _newest(instance: dg.DagsterInstance, place: Place) -> dg.EventLogRecord:
    key, partition = place
    return instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition else None), limit=1
    ).records[0]


def _without_quotes(record: dg.EventLogRecord) -> dg.AssetMaterialization:
    said = record.asset_materialization
    if said is None:
        raise TypeError(f"record {record.storage_id} is no materialization")
    kept = {name: value for name, value in said.metadata.items() if name not in QUOTES}
    return dg.AssetMaterialization(
        said.asset_key, said.description, kept, partition=said.partition, tags=dict(said.tags or {})
    )


def _rewrite(file: Path) -> None:
    """SQLite keeps the bytes of deleted rows until something lies over them."""
    try:
        with closing(sqlite3.connect(file, timeout=_WAIT, isolation_level=None)) as connection:
            connection.execute("pragma wal_checkpoint(truncate)")
            connection.execute("vacuum")
            connection.execute("pragma wal_checkpoint(truncate)")
    except sqlite3.OperationalError as error:
        raise EngineBusy(
            f"{file} cannot be rewritten ({error}): its deleted rows are still on the disk",
            expected="a moment in which Dagster does not write to it",
            next_step="stop the UI and its daemon, and run this again",
        ) from error
