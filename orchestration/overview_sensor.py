"""The sensor of the overview and the ledger: what the UI shows of them follows what happened, and not only the clock.

    what it finds                                                     what it does
    a run of the ledger's job is under way                            skips
    no other run ended since that job was asked for last              skips: nothing is new
    one did, and the job was asked for less than APART seconds ago    skips: many runs of an hour are one look
    one did                                                           asks for `report_ledger`

A lost cursor costs one look.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from orchestration.landing_sensor import UNDER_WAY
from orchestration.overview_words import EVERY

APART = 600.0  # seconds between two looks
WATCHED = ("sync_slices", "reconcile_slices", "ingest_interactions", "decide", "finetune", "release")
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def overview_due(books: Any) -> dg.SensorDefinition:
    """Asks for the overview after runs that may have changed it."""

    @dg.sensor(
        name="overview_due",
        job=books,
        minimum_interval_seconds=EVERY,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Looks at the overview and the ledger after a run of {', '.join(WATCHED)} ended, at most every "
        f"{APART / 60:g} minutes.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        now, last = time.time(), _moment(context.cursor)
        if context.instance.get_runs(dg.RunsFilter(job_name=books.name, statuses=UNDER_WAY), limit=1):
            return dg.SkipReason(f"{books.name} is under way")
        ended = _ended(context.instance, last)
        if not ended:
            return dg.SkipReason("no run ended since the last look")
        if now - last < APART:
            return dg.SkipReason(f"looked {now - last:.0f} s ago; the next look is in {last + APART - now:.0f} s")
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"overview:{now:.0f}")], cursor=f"{now:.3f}")

    return sensor


def _ended(instance: dg.DagsterInstance, since: float) -> bool:
    after = datetime.fromtimestamp(since, UTC)
    return any(
        instance.get_runs(dg.RunsFilter(job_name=job, statuses=ENDED, updated_after=after), limit=1) for job in WATCHED
    )


def _moment(cursor: str | None) -> float:
    try:
        return float(cursor or 0.0)
    except ValueError:
        return 0.0
