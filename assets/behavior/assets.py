"""The data side of the slow hand, partitioned by event day: interactions, attributions, marts, the corpus report.

Each body is one call of `BehaviorData` and a report of what a person would look at. A range of days is one run, and
each of its days gets its own data version. Nothing here depends on the fast hand's assets: staleness does not cross
between the hands. (No postponed annotations in this file: Dagster reads those of an asset's config and resources.)
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliResource, dbt_assets
from dagster_dbt.core.dbt_event_iterator import DbtEventIterator

from assets.assets import logged, shown, translated
from assets.behavior import checks, preview
from assets.behavior.pipeline import BehaviorData
from assets.rendering import Metadata

GROUP = "behavior"
OWNERS = ["team:behavior"]
WAREHOUSE_POOL = "warehouse"  # one writer at a time: a DuckDB file locks out everybody else while it is written
DAILY = "tag:daily"  # models that are rebuilt day by day; all others are small and rebuilt whole

LANDING = dg.AssetKey([GROUP, "landing"])
INTERACTIONS = dg.AssetKey([GROUP, "interactions"])
REFERENCE = dg.AssetKey([GROUP, "reference"])
ATTRIBUTIONS = dg.AssetKey([GROUP, "attributions"])
DATA_VERSION = "dagster/data_version"  # the tag of a materialization
DAILY_COUNTS = dg.AssetKey([GROUP, "behavior_daily"])
SHOWN_DAYS = 62  # of one run whose counts are shown in the UI


class FreezeConfig(dg.Config):
    """Run config of the reference: `force` freezes it again, which makes every day dirty."""

    force: bool = False


@dataclass(frozen=True)
class Policy:
    """What the deployment decides about these assets."""

    retries: int = 3
    retry_seconds: float = 5
    max_quarantined_share: float = 0.01
    close_after_days: int = 3
    freshness: timedelta = timedelta(hours=26)


@dataclass(frozen=True)
class Project:
    """The dbt project: its folder and its parsed manifest."""

    folder: Path
    manifest: Path


def build(days: dg.PartitionsDefinition, policy: Policy, project: Project) -> Sequence[Any]:
    """All assets of the group, with a partition for each event day."""
    return [
        _landing(policy),
        _interactions(days, policy),
        _reference(policy),
        _attributions(days, policy),
        *_marts(days, policy, project),
        _gaps(policy),
    ]


def _spec(key: dg.AssetKey, policy: Policy, description: str, deps: Sequence[Any] = (), **more: Any) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        deps=deps,
        description=description,
        group_name=GROUP,
        owners=OWNERS,
        kinds=more.pop("kinds", {"python"}),
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=policy.freshness),
        **more,
    )


def _landing(policy: Policy) -> Any:
    @dg.asset(
        key=LANDING,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python"},
        check_specs=checks.LANDING_CHECKS,
        description="Files of the landing folder, read once each; grown files from where they ended, replaced ones "
        "anew. Lines that break the contract are quarantined with the reason.",
    )
    def landing(
        context: dg.AssetExecutionContext, behavior_data: dg.ResourceParam[BehaviorData]
    ) -> dg.MaterializeResult:
        with translated(policy.retries, policy.retry_seconds):
            report = behavior_data.ingest(logged(context))
        landed = behavior_data.landing
        return dg.MaterializeResult(
            data_version=dg.DataVersion(behavior_data.landing_version()),
            metadata=shown(preview.of_ingest(report)),
            check_results=list(
                checks.landing_results(
                    landed.lines(),
                    behavior_data.quarantined(),
                    max(landed.days(), default=None),
                    max_share=policy.max_quarantined_share,
                    max_days=policy.close_after_days,
                )
            ),
        )

    return landing


def _interactions(days: dg.PartitionsDefinition, policy: Policy) -> Any:
    @dg.multi_asset(
        name="interactions",
        specs=[
            _spec(
                INTERACTIONS,
                policy,
                "What was asked and answered on that day, each interaction once: corrections and deletions applied, "
                "late events on the day they happened.",
                deps=[LANDING],
            )
        ],
        partitions_def=days,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def interactions(
        context: dg.AssetExecutionContext, behavior_data: dg.ResourceParam[BehaviorData]
    ) -> Iterator[dg.MaterializeResult]:
        with translated(policy.retries, policy.retry_seconds):
            behavior_data.ingest(logged(context))  # somebody may have corrected a file a moment ago
            reports = [behavior_data.interactions(day) for day in _days(context)]
        rows: Metadata = {"dagster/row_count": sum(report.rows for report in reports)}
        by_day = {report.day: (report.digest, preview.of_interactions(report)) for report in reports}
        yield from _per_day(context, INTERACTIONS, by_day, rows, [])

    return interactions


def _reference(policy: Policy) -> Any:
    @dg.asset(
        key=REFERENCE,
        deps=[dg.AssetDep(INTERACTIONS)],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python"},
        description="What later days are compared with, frozen for each release: topics of prompts whose producer "
        "named none, the usual length of an answer and the usual size of an edit. Made once there are enough days; "
        "later runs leave it as it is.",
    )
    def frozen(config: FreezeConfig, behavior_data: dg.ResourceParam[BehaviorData]) -> dg.MaterializeResult:
        with translated(policy.retries, policy.retry_seconds):
            report = behavior_data.reference(force=config.force)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(report.digest or "none"), metadata=shown(preview.of_reference(report))
        )

    return frozen


def _attributions(days: dg.PartitionsDefinition, policy: Policy) -> Any:
    @dg.multi_asset(
        name="attributions",
        specs=[
            _spec(
                ATTRIBUTIONS,
                policy,
                "Why each failed interaction failed: the index (knowledge), the manner (behavior) or unclear, with "
                "the evidence; and the topic of those that came without one.",
                deps=[INTERACTIONS, REFERENCE],
            )
        ],
        partitions_def=days,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=checks.ATTRIBUTION_CHECKS,
    )
    def attributions(
        context: dg.AssetExecutionContext, behavior_data: dg.ResourceParam[BehaviorData]
    ) -> Iterator[dg.MaterializeResult]:
        with translated(policy.retries, policy.retry_seconds):
            reports = [behavior_data.attributions(day, logged(context)) for day in _days(context)]
        yield from _per_day(
            context,
            ATTRIBUTIONS,
            {report.day: (report.digest, preview.of_attributions([report])) for report in reports},
            preview.of_attributions(reports),
            list(checks.attribution_results(reports)),
        )

    return attributions


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


def _marts(days: dg.PartitionsDefinition, policy: Policy, project: Project) -> Iterator[Any]:
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
        chosen, events = _days(context), []
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
        exclude=DAILY,
        name="whole_marts",
        dagster_dbt_translator=_Translator(),
        pool=WAREHOUSE_POOL,
    )
    def whole(
        context: dg.AssetExecutionContext, dbt: DbtCliResource, behavior_data: dg.ResourceParam[BehaviorData]
    ) -> Iterator[Any]:
        with translated(policy.retries, policy.retry_seconds), behavior_data.warehouse.locked():
            events, failure = _built(context, dbt, behavior_data, None)
        yield from events
        if failure:
            raise failure

    yield daily
    yield whole


def _built(
    context: dg.AssetExecutionContext, dbt: DbtCliResource, data: BehaviorData, chosen: Sequence[date] | None
) -> tuple[list[Any], dg.Failure | None]:
    """Runs dbt to its end before anything is reported: a model whose test fails must not look materialized.

    Returns what to report, and the failure to raise after it: then only the checks that were evaluated are reported.
    """
    os.environ.update(data.warehouse.environment)  # dagster-dbt has no other way to tell dbt
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
    """dbt writes the SQL of a microbatch model once a batch; dagster-dbt looks for the lineage of columns in one file."""
    for folder in (target / "compiled").rglob("*/"):
        batches = sorted(folder.glob(f"{folder.name}_*.sql"))
        if batches:
            shutil.copy(batches[0], folder.with_suffix(".sql"))


def _let_go(adapter: Any) -> None:
    """Closes the connection that dagster-dbt leaves open: nobody else could write to the DuckDB file meanwhile."""
    if adapter is not None:
        adapter.cleanup_connections()
    if hasattr(adapter, "connections") and hasattr(adapter.connections, "close_all_connections"):
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
            data_version=dg.DataVersion(behavior_data.gaps_version(found)), metadata=shown(preview.of_gaps(found))
        )

    return gaps


def _days(context: dg.AssetExecutionContext) -> list[date]:
    return [date.fromisoformat(key) for key in context.partition_keys]


def _per_day(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    reports: Mapping[date, tuple[str, Metadata]],
    whole: Metadata,
    results: Sequence[dg.AssetCheckResult],
) -> Iterator[dg.MaterializeResult]:
    """One result for a run of one day or of many; `reports` has each day's data version and metadata.

    Dagster gives all partitions of a run the same data version: days of a range are reported again with their own.
    """
    for day, (_, metadata) in reports.items():
        context.add_asset_metadata(shown(metadata), asset_key=key, partition_key=day.isoformat())
    only = next(iter(reports.values()))[0] if len(reports) == 1 else None
    yield dg.MaterializeResult(
        asset_key=key,
        data_version=dg.DataVersion(only) if only else None,
        metadata=shown(whole),
        check_results=results,
    )
    for day, (version, metadata) in reports.items() if only is None else ():
        tags = {DATA_VERSION: version, f"{DATA_VERSION}_is_user_provided": "true"}
        context.log_event(dg.AssetMaterialization(key, partition=day.isoformat(), metadata=shown(metadata), tags=tags))
