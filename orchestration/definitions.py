"""The only assembly point of the Dagster project. Loading it touches no network and imports no torch."""

from datetime import timedelta

import dagster as dg

from assets.knowledge import assets as knowledge
from assets.knowledge.pipeline import FastHand
from orchestration import assembly, jobs, partitions, schedules, sensors
from orchestration.config import load
from orchestration.settings import Settings


def build(settings: Settings, hand: FastHand | None = None) -> dg.Definitions:
    """All definitions for these settings; `hand` stands in for the configured engines."""
    slices = partitions.slices(settings)
    policy = knowledge.Policy(
        retries=settings.automation.retries,
        retry_seconds=settings.automation.retry_seconds,
        max_refused_share=settings.checks.max_refused_share,
        max_document_age_days=settings.checks.max_document_age_days,
        freshness=timedelta(hours=settings.checks.freshness_hours),
    )
    sync, reconcile = jobs.sync(), jobs.reconcile()
    return dg.Definitions(
        assets=knowledge.build(slices, policy, settings.index.engine),
        jobs=[sync, reconcile, jobs.maintain],
        sensors=[sensors.content_changed(settings, sync)],
        schedules=schedules.build(settings, reconcile),
        resources={"fast_hand": hand or assembly.fast_hand(settings)},
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions of the twohands.toml that is found from here."""
    return build(load())
