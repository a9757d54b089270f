"""The data side of the slow hand, partitioned by event day: landed files, interactions, reference, attributions.

Each body is one call of `BehaviorData` and a report of what a person would look at. A range of days is one run, and
each of its days gets its own data version. Nothing here depends on the fast hand's assets: staleness does not cross
between the hands. (No postponed annotations in this file: Dagster reads those of an asset's config and resources.)
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import dagster as dg

from assets.assets import logged, shown, translated
from assets.behavior import checks, preview
from assets.behavior.landing.folder import IngestReport
from assets.behavior.pipeline import BehaviorData
from assets.rendering import Metadata

GROUP = "behavior"
OWNERS = ["team:behavior"]

LANDING = dg.AssetKey([GROUP, "landing"])
INTERACTIONS = dg.AssetKey([GROUP, "interactions"])
REFERENCE = dg.AssetKey([GROUP, "reference"])
ATTRIBUTIONS = dg.AssetKey([GROUP, "attributions"])
DATA_VERSION = "dagster/data_version"  # the tag of a materialization


class FreezeConfig(dg.Config):
    """Run config of the reference: `force` freezes it again, from its days as they are now; if it differs, every day
    is dirty."""

    force: bool = False


class LookConfig(dg.Config):
    """Run config of landing: `all_days` looks at every day of the warehouse's logs, not at the newest alone."""

    all_days: bool = False


@dataclass(frozen=True)
class Policy:
    """What the deployment decides about these assets."""

    retries: int = 3
    retry_seconds: float = 5
    max_quarantined_share: float = 0.01
    close_after_days: int = 3
    quote: bool = True  # whether metadata may repeat what people wrote: Dagster's event log keeps it for good
    freshness: timedelta = timedelta(hours=26)


def build(days: dg.PartitionsDefinition, policy: Policy, logs: Sequence[dg.AssetSpec] = ()) -> Sequence[Any]:
    """From landed files to attributions, with a partition for each event day; the marts are in marts/assets.py.

    `logs` are a team's own log table in the warehouse, and the view of it that is read.
    """
    return [*logs, _landing(policy, logs), _interactions(days, policy), _reference(policy), _attributions(days, policy)]


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


def _landing(policy: Policy, logs: Sequence[dg.AssetSpec]) -> Any:
    @dg.asset(
        key=LANDING,
        deps=[spec.key for spec in logs[-1:]],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python"},
        check_specs=checks.LANDING_CHECKS,
        description="Files of the landing folder, read once each; grown files from where they ended, replaced ones "
        "anew. Of logs in the warehouse the newest days whose rows changed. Lines that break the contract are "
        "quarantined with the reason.",
    )
    def landing(
        context: dg.AssetExecutionContext, config: LookConfig, behavior_data: dg.ResourceParam[BehaviorData]
    ) -> dg.MaterializeResult:
        with translated(policy.retries, policy.retry_seconds):
            report = behavior_data.ingest(logged(context), None if config.all_days else ())
        _warn(context, report)
        landed = behavior_data.landing
        return dg.MaterializeResult(
            data_version=dg.DataVersion(behavior_data.landing_version()),
            metadata=shown(preview.of_ingest(report)),
            check_results=[
                checks.refused_result(report.left_out()),
                *checks.landing_results(
                    landed.lines(),
                    behavior_data.quarantined(),
                    max(landed.days(), default=None),
                    max_share=policy.max_quarantined_share,
                    max_days=policy.close_after_days,
                ),
            ],
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
        check_specs=checks.INTERACTION_CHECKS,
    )
    def interactions(
        context: dg.AssetExecutionContext, behavior_data: dg.ResourceParam[BehaviorData]
    ) -> Iterator[dg.MaterializeResult]:
        with translated(policy.retries, policy.retry_seconds):
            _ingest(context, behavior_data)
            reports = [behavior_data.interactions(day) for day in chosen_days(context)]
            unknown = behavior_data.unknown_variants({report.day: report.variants for report in reports})
        rows: Metadata = {"dagster/row_count": sum(report.rows for report in reports)}
        by_day = {report.day: (report.digest, preview.of_interactions(report)) for report in reports}
        yield from _per_day(context, INTERACTIONS, by_day, rows, [checks.variants_result(unknown)])

    return interactions


def _reference(policy: Policy) -> Any:
    @dg.asset(
        key=REFERENCE,
        deps=[dg.AssetDep(INTERACTIONS)],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python"},
        description="What later days are compared with: topics of prompts whose producer named none, the usual length "
        "of an answer and the usual size of an edit. Frozen once, from the first days; later runs and releases leave "
        "it as it is. The run config `force: true` freezes it anew, from the same days as they are now.",
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
            reports = behavior_data.attributions(chosen_days(context), logged(context))
        yield from _per_day(
            context,
            ATTRIBUTIONS,
            {report.day: (report.digest, preview.of_attributions([report], quote=policy.quote)) for report in reports},
            preview.of_attributions(reports, quote=policy.quote),
            list(checks.attribution_results(reports)),
        )

    return attributions


def _ingest(context: dg.AssetExecutionContext, data: BehaviorData) -> None:
    """Reads what somebody may have corrected a moment ago, also in days that a tick does not look at any more.

    A person who rebuilds days must not be shown a success while their origin could not be looked at. What a sensor or
    a schedule rebuilds goes on with what was read before, so that one origin that is broken holds up no other.
    """
    by_itself = not {"dagster/sensor_name", "dagster/schedule_name"}.isdisjoint(context.run.tags)
    report = data.ingest(logged(context), () if by_itself else chosen_days(context))
    if not by_itself:
        report.check()
    _warn(context, report)


def _warn(context: dg.AssetExecutionContext, report: IngestReport) -> None:
    for name, error in report.problems.items():
        context.log.warning(f"{name} could not be read: {error}")


def chosen_days(context: dg.AssetExecutionContext) -> list[date]:
    """The days of this run."""
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
