"""From settings to the slow hand's data: which engine stands behind each port. Opens nothing, imports no torch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assets.behavior.attribution import History
from assets.behavior.landing.folder import Landing
from assets.behavior.landing.lines import Limits
from assets.behavior.landing.served import Served
from assets.behavior.pipeline import BehaviorData, Options
from assets.knowledge.sources import folder_of, open_source
from assets.ports import Lake, Source
from orchestration.assembly import open_encoder, open_the_lake
from orchestration.engines.corpus_history import LakeHistory
from orchestration.engines.warehouse import PostgresSettings, Warehouse
from orchestration.engines.warehouse_logs import WarehouseLogs
from orchestration.engines.warehouse_mapping import LogTable
from orchestration.overview_words import place
from orchestration.settings import Settings

if TYPE_CHECKING:
    from assets.behavior.marts.assets import Project

PROJECT = Path(__file__).resolve().parent.parent / "dbt_project"
LANDED = ("**/*.jsonl", "**/*.jsonl.gz", "**/*.ndjson", "**/*.ndjson.gz", "**/*.json", "**/*.json.gz", "**/*.parquet")
SAMPLE = "sample/interactions"
SERVED = "served"  # in the home
MAX_LANDED = 2**30  # bytes of one landed file, which is read as a whole


def behavior_data(settings: Settings, history: Callable[[], History] | None = None) -> BehaviorData:
    """The data side of the slow hand over the configured engines; `history` has other documents than the lake's."""
    lake, behavior = open_the_lake(settings), settings.behavior
    warehouse, table = open_warehouse(settings, lake), log_table(settings)
    limits = Limits(
        line_bytes=behavior.max_line_kilobytes * 1_024,
        future_seconds=behavior.future_minutes * 60,
        first_day=behavior.first_day,
    )
    return BehaviorData(
        lake=lake,
        landing=Landing(
            lake,
            _folder(settings),
            logs=WarehouseLogs(warehouse, table) if table else None,
            served=_served(settings),
            limits=limits,
        ),
        warehouse=warehouse,
        history=history or documents(settings, lake),
        encoder=open_encoder(settings),
        options=Options(settings.decision.reference_days, variants=tuple(settings.variants)),
    )


def documents(settings: Settings, lake: Lake | None = None) -> Callable[[], History]:
    """The documents through time, as the lake has them."""
    found = lake or open_the_lake(settings)
    return lambda: LakeHistory(found, [spec.name for spec in settings.slices()])


def _folder(settings: Settings) -> Source | None:
    """The landing folder. Whoever has logs in the warehouse and names no folder has none: the sample is no default."""
    behavior = settings.behavior
    if behavior.landing is None and settings.warehouse.logs:
        return None
    return open_source(
        behavior.landing or SAMPLE,
        include=LANDED,
        base=settings.root,
        cache=settings.home / "git",
        max_bytes=MAX_LANDED,
        storage_options=behavior.options,
    )


def journal_folder(settings: Settings) -> tuple[Path, str]:
    """Where the server writes its events: the landing folder. Where that is none of this machine, a folder in the home,
    which is read as well, and the reason."""
    landing = settings.behavior.landing
    if landing is None and settings.warehouse.logs is None:
        landing = SAMPLE
    if landing is None:
        return settings.home / SERVED, "there is no landing folder ([warehouse.logs] is read instead)"
    folder = folder_of(landing, settings.root)
    if folder is not None:
        return folder.resolve(), ""
    return settings.home / SERVED, f"{place(landing)} cannot be added to line by line"


def _served(settings: Settings) -> Served | None:
    """The server's journal, where it is not in the landing folder."""
    folder, apart = journal_folder(settings)
    if not apart:
        return None
    files = open_source(
        str(folder), include=LANDED, base=settings.root, cache=settings.home / "git", max_bytes=MAX_LANDED
    )
    return Served(folder, files)


def log_table(settings: Settings) -> LogTable | None:
    """A team's own log table in the warehouse, where there is one."""
    logs = settings.warehouse.logs
    return logs and LogTable(
        logs.schema_name,
        logs.table,
        model=logs.model,
        look_back_days=logs.look_back_days,
        sensor_seconds=logs.sensor_seconds,
        first_day=settings.behavior.first_day,
    )


def open_warehouse(settings: Settings, lake: Lake | None = None) -> Warehouse:
    """The dbt project over DuckDB in the home, or over a Postgres server."""
    warehouse = settings.warehouse
    postgres = PostgresSettings(
        host=warehouse.host,
        port=warehouse.port,
        user=warehouse.user,
        dbname=warehouse.database,
        schema=warehouse.schema_name,
        password_env=warehouse.password_env,
    )
    return Warehouse(
        project=PROJECT,
        home=settings.home,
        lake=lake or open_the_lake(settings),
        lake_root=settings.lake or str(settings.home / "lake"),
        target=warehouse.engine,
        postgres=postgres if warehouse.engine == "postgres" else None,
        lock_seconds=warehouse.lock_seconds,
        variables=table.variables() if (table := log_table(settings)) else None,
    )


def project(settings: Settings) -> Project:
    """The dbt project, parsed: once for each version of it, then in no time."""
    from assets.behavior.marts.assets import Project

    return Project(PROJECT, open_warehouse(settings).manifest())


def dbt() -> Any:
    """dagster-dbt's resource over our dbt project, run by the dbt that is installed beside this interpreter."""
    from dagster_dbt import DbtCliResource

    executable = Path(sys.executable).with_name("dbt")
    return DbtCliResource(project_dir=str(PROJECT), profiles_dir=str(PROJECT), dbt_executable=str(executable))
