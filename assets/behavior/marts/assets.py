"""The marts: dbt's models as assets, day by day where they have days, and the corpus report.

dbt runs to its end before Dagster hears of it, and what a test refused is neither reported nor handed to its readers
(docs/decisions/0007-behavior-data.md). (No postponed annotations in this file: Dagster reads those of resources.)
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliResource, dbt_assets
from dagster_dbt.core.dbt_event_iterator import DbtEventIterator

from assets.assets import shown, translated
from assets.behavior import preview
from assets.behavior.assets import GROUP, OWNERS, Policy, chosen_days
from assets.behavior.pipeline import BehaviorData

WAREHOUSE_POOL = "warehouse"  # one writer at a time: a DuckDB file locks out everybody else while it is written
DAILY = "tag:daily"  # models that are rebuilt day by day; all others are small and rebuilt whole
MAPPING = "tag:mapping"  # views over logs that lie in the warehouse already: landing has them built
LOGS_GROUP = "warehouse_logs"
DAILY_COUNTS = dg.AssetKey([GROUP, "behavior_daily"])
SHOWN_DAYS = 62  # of one run whose counts are shown in the UI


@dataclass(frozen=True)
class Project:
    """The dbt project: its folder and its parsed manifest."""

    folder: Path
    manifest: Path


def report_keys(assets: Sequence[Any]) -> list[dg.AssetKey]:
    """What has no days among these assets: the models over all days, and the report that is made of them."""
    return [key for made in assets for key in made.keys if made.partitions_def is None]


def build(days: dg.PartitionsDefinition, policy: Policy, project: Project) -> Sequence[Any]:
    """dbt's models and the corpus report."""
    return [*_models(days, policy, project), _gaps(policy)]


def logs(schema: str, table: str, model: str) -> list[dg.AssetSpec]:
    """A team's own log table, and the view of it that landing reads: not made in this graph, shown for the lineage."""
    own = dg.AssetSpec(
        dg.AssetKey(["warehouse", schema, table]),
        group_name=LOGS_GROUP,
        owners=OWNERS,
        kinds={"table"},
        description="Logs that lie in the warehouse already ([warehouse.logs] of twohands.toml).",
    )
    view = dg.AssetSpec(
        dg.AssetKey(["warehouse", model]),
        deps=[own],
        group_name=LOGS_GROUP,
        owners=OWNERS,
        kinds={"dbt", "view"},
        description="That table in the columns of the interactions contract. Built by dbt when its SQL or settings "
        "changed; each of its days is read like a landed file.",
    )
    return [own, view]


class _Translator(DagsterDbtTranslator):
    """dbt's names as ours: behavior/<model>, one group, our owners."""

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_asset_checks=True))

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        return dg.AssetKey([GROUP, dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:  # noqa: ARG002 - dagster-dbt's signature
        return GROUP

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str]:  # noqa: ARG002
        return OWNERS


def _models(days: dg.PartitionsDefinition, policy: Policy, project: Project) -> Iterator[Any]:
    @dbt_assets(
        manifest=project.manifest,
        select=DAILY,
        name="daily_marts",
        partitions_def=days,
        backfill_policy=dg.BackfillPolicy.single_run(),
        dagster_dbt_translator=_Translator(),
        pool=WAREHOUSE_POOL,
    )
    def daily(
        context: dg.AssetExecutionContext, dbt: DbtCliResource, behavior_data: dg.ResourceParam[BehaviorData]
    ) -> Iterator[Any]:
        chosen, events = chosen_days(context), []
        try:
            with translated(policy.retries, policy.retry_seconds), behavior_data.building(chosen) as done:
                events, failure = _built(context, dbt, behavior_data, chosen)
                if failure:
                    raise failure
        except dg.Failure:
            yield from events
            raise
        context.log.info(f"{done.rows:,} rows of behavior_daily for {len(chosen)} days")
        for day in chosen[-SHOWN_DAYS:]:
            counts = shown(preview.of_daily(behavior_data.daily(day, day)))
            context.add_asset_metadata(counts, asset_key=DAILY_COUNTS, partition_key=day.isoformat())
        yield from events

    @dbt_assets(
        manifest=project.manifest,
        select="fqn:*",
        exclude=f"{DAILY} {MAPPING}",
        name="whole_marts",
        dagster_dbt_translator=_Translator(),
        pool=WAREHOUSE_POOL,
    )
    def whole(
        context: dg.AssetExecutionContext, dbt: DbtCliResource, behavior_data: dg.ResourceParam[BehaviorData]
    ) -> Iterator[Any]:
        events: list[Any] = []
        try:
            with translated(policy.retries, policy.retry_seconds), behavior_data.building_whole():
                events, failure = _built(context, dbt, behavior_data, None)
                if failure:
                    raise failure
        except dg.Failure:
            yield from events
            raise
        yield from events

    yield daily
    yield whole


def _built(
    context: dg.AssetExecutionContext, dbt: DbtCliResource, data: BehaviorData, chosen: Sequence[date] | None
) -> tuple[list[Any], dg.Failure | None]:
    """Runs dbt to its end before anything is reported: a model whose test fails must not look materialized.

    Returns what to report, and the failure to raise after it: then only the checks that were evaluated are reported.
    """
    os.environ.update(data.warehouse.environment)  # dagster-dbt has no other way to tell dbt
    # dagster-dbt opens its adapter in the project's folder, where dbt stays, and its threads, which read the columns,
    # go there and back in no order
    with contextlib.chdir(Path.cwd()):
        invocation = dbt.cli(
            data.warehouse.arguments(chosen),
            context=context.op_execution_context,
            raise_on_error=False,
            target_path=data.warehouse.target(),
        )
        events = list(invocation.stream())
        _show_one_batch(invocation.target_path)
        events = list(DbtEventIterator(iter(events), invocation).fetch_column_metadata())  # with the columns' lineage
    _let_go(invocation.adapter)
    if invocation.is_successful():
        return events, None
    problem = f"dbt did not succeed, and nothing was published: {invocation.get_error()}"
    return [event for event in events if isinstance(event, dg.AssetCheckResult)], dg.Failure(
        problem, allow_retries=False
    )


def _show_one_batch(target: Path) -> None:
    """dbt writes the SQL of a microbatch model once a batch; dagster-dbt looks for columns' lineage in one file."""
    for folder in (target / "compiled").rglob("*/"):
        batches = sorted(folder.glob(f"{folder.name}_*.sql"))
        if batches:
            shutil.copy(batches[0], folder.with_suffix(".sql"))


def _let_go(adapter: Any) -> None:
    """Closes the connection that dagster-dbt leaves open: nobody else could write to the DuckDB file meanwhile."""
    if adapter is None:
        return
    adapter.cleanup_connections()
    if hasattr(adapter.connections, "close_all_connections"):
        adapter.connections.close_all_connections()


def _gaps(policy: Policy) -> Any:
    @dg.asset(
        key_prefix=GROUP,
        deps=[dg.AssetKey([GROUP, "knowledge_gaps"])],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python"},
        description="The corpus report: which documents to write or to mend, by the failures that they cause. Facts "
        "go to the index: nothing here starts a fine-tune.",
    )
    def gaps(behavior_data: dg.ResourceParam[BehaviorData]) -> dg.MaterializeResult:
        with translated(policy.retries, policy.retry_seconds):
            found = behavior_data.gaps()
        return dg.MaterializeResult(
            data_version=dg.DataVersion(behavior_data.gaps_version(found)),
            metadata=shown(preview.of_gaps(found, quote=policy.quote)),
        )

    return gaps
