"""Sensors: what runs when something happens.

`content_changed` lists every source and compares each slice's listing with the one it saw last. Its cursor is
{slice: {digest, generation, since, ...}}; the run key is slice:digest:since.generation, so that content which returns
to a former state (A -> B -> A) is synced again, also after the cursor was reset. A slice with a file younger than the
settle time waits for the next tick, but not for ever: a file that is written all the time must not keep its slice from
being served. A slice whose last run failed is requested again, at growing intervals.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import dagster as dg

from assets.errors import TwohandsError
from assets.fingerprints import digest
from assets.knowledge.pipeline import FastHand
from assets.ports import Listing
from orchestration.settings import Settings

MAX_WAITS = 5  # ticks
RETRY_SECONDS, RETRY_MOST = 60.0, 3_600.0  # after a failed run: doubled each time, up to an hour


@dataclass(frozen=True)
class Seen:
    """What the sensor knows of a slice: its listing's digest, how often it was requested, ticks it waited to settle.

    `since` (unix seconds) is when it was first seen; `failures` counts failed runs in a row, `retry_at` (unix seconds)
    says when the next one may be tried.
    """

    digest: str = ""
    generation: int = 0
    waits: int = 0
    since: int = 0
    failures: int = 0
    retry_at: float = 0.0

    def key(self, slice: str) -> str:
        """The run key of the current generation."""
        return f"{slice}:{self.digest[:16]}:{self.since}.{self.generation}"


def listing_digest(listing: Listing) -> str:
    """Names what a source holds, without reading it.

    Files count by size and time of change where the source tells it: a folder's full stamp is left out while a file is
    young and appears a moment later, and that alone is no change. Otherwise by etag, or by blob id at a git revision.
    """
    by_time = listing.revision is None
    tokens = (
        f"{file.size}:{file.modified}" if by_time and file.modified is not None else file.stamp or str(file.size)
        for file in listing.files
    )
    pairs = zip((file.path for file in listing.files), tokens, strict=True)
    return digest([*(part for pair in pairs for part in pair), *sorted(listing.refused)])


def look(seen: Seen, listing: Listing, now: float, settle: float) -> tuple[Seen, str]:
    """The next cursor of a slice and what to do: "request", "wait" or "same". Pure.

    unchanged listing                          same
    changed, a file younger than `settle` s    wait, up to MAX_WAITS ticks
    changed otherwise                          request, as the next generation
    """
    current = listing_digest(listing)
    if current == seen.digest:
        return replace(seen, waits=0), "same"
    young = any(file.modified is not None and 0 <= now - file.modified < settle for file in listing.files)
    if young and seen.waits < MAX_WAITS:
        return replace(seen, waits=seen.waits + 1), "wait"
    return Seen(current, seen.generation + 1, since=seen.since or int(now)), "request"


def retry(seen: Seen, status: dg.DagsterRunStatus | None, now: float) -> tuple[Seen, bool]:
    """Whether to request an unchanged slice again, by the status of its last run. Pure.

    failed, not planned yet      plan the next try, later each time
    failed, its time has come    request, as the next generation
    succeeded                    forget the failures
    """
    if status is dg.DagsterRunStatus.SUCCESS:
        return replace(seen, failures=0, retry_at=0.0), False
    if status is not dg.DagsterRunStatus.FAILURE:
        return seen, False
    if not seen.retry_at:
        pause = min(RETRY_SECONDS * 2**seen.failures, RETRY_MOST)
        return replace(seen, failures=seen.failures + 1, retry_at=now + pause), False
    if now < seen.retry_at:
        return seen, False
    return replace(seen, generation=seen.generation + 1, retry_at=0.0), True


def last_status(instance: dg.DagsterInstance, slice: str) -> dg.DagsterRunStatus | None:
    """Status of the last run of a slice; None before the first."""
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": slice}), limit=1)
    return runs[0].status if runs else None


def content_changed(settings: Settings, sync: Any) -> dg.SensorDefinition:
    """The sensor that re-indexes whenever content changes."""
    names = [spec.name for spec in settings.slices()]
    settle = settings.automation.settle_seconds

    @dg.sensor(
        name="content_changed",
        job=sync,
        minimum_interval_seconds=settings.automation.sensor_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Lists every source and syncs the slices whose content changed. Costs one listing, no reading.",
        required_resource_keys={"fast_hand"},
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        fast_hand: FastHand = context.resources.fast_hand
        cursor = read_cursor(context.cursor)
        requests: list[dg.RunRequest] = []
        waiting: list[str] = []
        failed: dict[str, TwohandsError] = {}
        for name, listing in fast_hand.listings().items():
            if isinstance(listing, TwohandsError):
                failed[name] = listing
                context.log.warning(f"{name}: {listing}")
                continue
            now = time.time()
            cursor[name], action = look(cursor.get(name, Seen()), listing, now, settle)
            if action == "same":
                cursor[name], again = retry(cursor[name], last_status(context.instance, name), now)
                action = "request" if again else "same"
            if action == "request":
                requests.append(dg.RunRequest(run_key=cursor[name].key(name), partition_key=name))
            elif action == "wait":
                waiting.append(name)
        if failed and len(failed) == len(names):
            raise dg.Failure("no source can be listed: " + "; ".join(f"{n}: {e}" for n, e in failed.items()))
        reason = skip_reason(len(names), waiting, failed)
        text = json.dumps({name: asdict(seen) for name, seen in cursor.items()}, sort_keys=True)
        return dg.SensorResult(
            run_requests=requests, cursor=text, skip_reason=None if requests else dg.SkipReason(reason)
        )

    return sensor


def read_cursor(text: str | None) -> dict[str, Seen]:
    """The cursor of the former tick; an unreadable one counts as none, which costs a sync that finds nothing to do."""
    try:
        return {name: Seen(**row) for name, row in json.loads(text or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def skip_reason(slices: int, waiting: list[str], failed: dict[str, TwohandsError]) -> str:
    """Why nothing was requested, in words."""
    parts = [f"nothing changed in {slices - len(waiting) - len(failed)} of {slices} slices"]
    if waiting:
        parts.append(f"still being written: {', '.join(waiting)}")
    parts += [f"{name} cannot be listed: {error.problem}" for name, error in failed.items()]
    return "; ".join(parts)
