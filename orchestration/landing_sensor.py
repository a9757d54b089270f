"""The sensor of the slow hand's data: reads what was landed, then rebuilds exactly the days that it touched.

Each step is a run: `ingest_interactions` reads new, grown and replaced files; then every contiguous range of dirty days
is one run of `rebuild_days`, which ends with the corpus report; where one ended before that, `rebuild_report` makes up
for it. What is asked for is a function of what is there (files against the ledger, days
against what their marts were built from), so a lost cursor costs nothing and a killed run is asked for again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from assets.behavior.pipeline import BehaviorData, ranges
from assets.errors import TwohandsError
from assets.fingerprints import digest
from orchestration.sensors import MAX_WAITS, RETRY_MOST, RETRY_SECONDS
from orchestration.settings import Settings

UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True)
class Asked:
    """What was asked for last: its digest, how often it was asked again, and when it may be (unix seconds)."""

    digest: str = ""
    again: int = 0
    retry_at: float = 0.0


@dataclass(frozen=True)
class Cursor:
    """The sensor's memory."""

    ingest: Asked = field(default_factory=Asked)
    rebuild: Asked = field(default_factory=Asked)
    report: Asked = field(default_factory=Asked)
    waits: int = 0


def ask(asked: Asked, wanted: str, now: float) -> tuple[Asked, bool]:
    """Whether to ask for what is wanted, when no run is under way. Pure.

    nothing is wanted                        forget
    something else than last time            ask
    the same: the run failed, or changed     plan the next try, later each time; ask when its time has come
    nothing of it
    """
    if not wanted:
        return Asked(), False
    if wanted != asked.digest:
        return Asked(wanted), True
    if not asked.retry_at:
        return replace(asked, retry_at=now + min(RETRY_SECONDS * 2**asked.again, RETRY_MOST)), False
    if now < asked.retry_at:
        return asked, False
    return Asked(wanted, asked.again + 1), True


def requests(dirty: Mapping[date, str], again: int) -> list[dg.RunRequest]:
    """One run for each contiguous range of dirty days (day -> its inputs)."""
    found = []
    for first, last in ranges(dirty):
        inside = digest(part for day in sorted(dirty) if first <= day <= last for part in (str(day), dirty[day]))
        found.append(
            dg.RunRequest(
                run_key=f"{first}..{last}:{inside[:16]}:{again}",
                job_name="rebuild_days",
                tags={
                    ASSET_PARTITION_RANGE_START_TAG: first.isoformat(),
                    ASSET_PARTITION_RANGE_END_TAG: last.isoformat(),
                },
            )
        )
    return found


def interactions_landed(settings: Settings, ingest: Any, rebuild: Any, report: Any) -> dg.SensorDefinition:
    """The sensor over the landing folder, and over logs in the warehouse."""
    behavior, settle = settings.behavior, settings.automation.settle_seconds

    @dg.sensor(
        name="interactions_landed",
        jobs=[ingest, rebuild, report],
        minimum_interval_seconds=behavior.sensor_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reads landed files, then rebuilds exactly the days that they touched, from interactions to the "
        "marts and the corpus report.",
        required_resource_keys={"behavior_data"},
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        data: BehaviorData = context.resources.behavior_data
        cursor = read_cursor(context.cursor)
        if busy := _under_way(context.instance):
            return dg.SkipReason(f"{busy} is under way")
        try:
            pending = data.landing.pending()
        except TwohandsError as error:
            return dg.SkipReason(f"no logs can be listed: {error}")
        cursor, found, reason = step(cursor, pending, data, settle)
        for name, error in pending.problems.items():
            context.log.warning(f"{name} cannot be listed: {error}")
            reason = f"{reason}; {name} cannot be listed: {error}"
        return dg.SensorResult(
            run_requests=found,
            cursor=json.dumps(asdict(cursor), sort_keys=True),
            skip_reason=None if found else dg.SkipReason(reason),
        )

    return sensor


def step(cursor: Cursor, pending: Any, data: BehaviorData, settle: float) -> tuple[Cursor, list[dg.RunRequest], str]:
    """The next cursor, what to run, and why nothing where that is so."""
    if pending.files and pending.youngest < settle and cursor.waits < MAX_WAITS:
        return replace(cursor, waits=cursor.waits + 1), [], "a landed file is still being written"
    asked, now_ingest = ask(cursor.ingest, pending.digest if pending.files else "", pending.now)
    cursor = replace(cursor, ingest=asked, waits=0)
    if now_ingest:
        key = f"ingest:{asked.digest[:16]}:{asked.again}"
        return cursor, [dg.RunRequest(run_key=key, job_name="ingest_interactions")], ""
    dirty = data.dirty_inputs()
    asked, now_rebuild = ask(cursor.rebuild, digest(_flat(dirty)) if dirty else "", pending.now)
    cursor = replace(cursor, rebuild=asked)
    if now_rebuild:
        return cursor, requests(dirty, asked.again), ""
    old = data.report_inputs()
    asked, now_report = ask(cursor.report, old, pending.now)
    cursor = replace(cursor, report=asked)
    if now_report:
        key = f"report:{old[:16]}:{asked.again}"
        return cursor, [dg.RunRequest(run_key=key, job_name="rebuild_report")], ""
    if dirty or pending.files or old:
        report = " and the corpus report" if old else ""
        return cursor, [], f"{pending.files} files and {len(dirty)} days{report} wait for another try"
    return cursor, [], "every landed file is read and every day is built"


def read_cursor(text: str | None) -> Cursor:
    """The cursor of the former tick; an unreadable one counts as none, which costs one run that finds nothing to do."""
    try:
        raw = json.loads(text or "{}")
        asked = (Asked(**raw.get(name, {})) for name in ("ingest", "rebuild", "report"))
        return Cursor(*asked, waits=int(raw.get("waits", 0)))
    except (ValueError, TypeError, AttributeError):
        return Cursor()


def _flat(dirty: Mapping[date, str]) -> Iterable[str]:
    return (part for day in sorted(dirty) for part in (day.isoformat(), dirty[day]))


def _under_way(instance: dg.DagsterInstance) -> str:
    for job in ("ingest_interactions", "rebuild_days", "rebuild_report"):
        if instance.get_runs(dg.RunsFilter(job_name=job, statuses=UNDER_WAY), limit=1):
            return job
    return ""
