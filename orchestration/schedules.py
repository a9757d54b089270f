"""Schedules: what runs by the clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg

from assets.decision.pipeline import Decision
from orchestration.decision_sensors import note_ended
from orchestration.jobs import maintain
from orchestration.landing_sensor import UNDER_WAY
from orchestration.settings import Settings

WHY = "the schedule"  # what the ledger says of a fine-tune that no verdict asked for


def build(settings: Settings, reconcile: Any, rebuild: Any, books: Any, finetune: Any) -> list[dg.ScheduleDefinition]:
    """The nightly reconciliation of every slice, the housekeeping after it, the closing of a day, and the ledger; and
    fine-tunes by the clock, which is off."""
    automation = settings.automation
    names = [spec.name for spec in settings.slices()]

    @dg.schedule(
        name="nightly_reconciliation",
        job=reconcile,
        cron_schedule=automation.reconcile,
        execution_timezone=automation.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Reads every file again and compares every passage: catches what no time stamp shows.",
    )
    def nightly(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        moment = context.scheduled_execution_time.isoformat()
        for name in names:
            yield dg.RunRequest(run_key=f"{name}:{moment}", partition_key=name)

    housekeeping = dg.ScheduleDefinition(
        name="nightly_housekeeping",
        job=maintain,
        cron_schedule=automation.housekeeping,
        execution_timezone=automation.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Compacts the lake and the index, and collects vectors that nothing needs any more.",
    )
    closing = settings.behavior

    @dg.schedule(
        name="close_day",
        job=rebuild,
        cron_schedule=closing.close,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Rebuilds the day that closes: {closing.close_after_days} days after it, its late events are in.",
    )
    def close_day(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        day = context.scheduled_execution_time.date() - timedelta(days=closing.close_after_days)
        if day < closing.first_day:
            return dg.SkipReason(f"{day} is before behavior.first_day ({closing.first_day})")
        return dg.RunRequest(run_key=f"close:{day}", partition_key=day.isoformat())

    daily_ledger = dg.ScheduleDefinition(
        name="daily_ledger",
        job=books,
        cron_schedule=automation.ledger,
        execution_timezone=automation.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Adds up what was spent: this month against its budget, fine-tunes against a weekly schedule.",
    )
    return [nightly, housekeeping, close_day, daily_ledger, _finetune(settings, finetune)]


def _finetune(settings: Settings, finetune: Any) -> dg.ScheduleDefinition:
    """Off by default: it spends money on no evidence. What it asks for is a person's override, and recorded as one."""
    config = {"ops": {"behavior__frozen_candidates": {"config": {"force": True, "why": WHY}}}}

    @dg.schedule(
        name="scheduled_finetune",
        job=finetune,
        cron_schedule=settings.automation.finetune,
        execution_timezone=settings.automation.timezone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Off unless you turn it on: a fine-tune of every variant by the clock, whatever the evidence says, "
        "beside those that verdicts ask for. The ledger has each as an override. The gate still decides what answers.",
        required_resource_keys={"decision"},
    )
    def scheduled(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        decision: Decision = context.resources.decision
        moment = context.scheduled_execution_time.isoformat()
        requests, busy = [], []
        for variant in decision.variants:
            note_ended(decision, context.instance, variant)
            tags = {"dagster/partition": variant}
            runs = dg.RunsFilter(job_name="finetune", tags=tags, statuses=UNDER_WAY)
            if decision.finetunes.under_way(variant) or context.instance.get_runs(runs, limit=1):
                busy.append(variant)
            else:
                key = f"scheduled:{variant}:{moment}"
                requests.append(dg.RunRequest(run_key=key, partition_key=variant, run_config=config))
        return requests or dg.SkipReason(f"a fine-tune is under way: {', '.join(busy)}")

    return scheduled
