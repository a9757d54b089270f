"""Schedules: what runs by the clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg

from orchestration.jobs import maintain
from orchestration.settings import Settings


def build(settings: Settings, reconcile: Any, rebuild: Any, books: Any) -> list[dg.ScheduleDefinition]:
    """The nightly reconciliation of every slice, the housekeeping after it, the closing of a day, and the ledger."""
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
    return [nightly, housekeeping, close_day, daily_ledger]
