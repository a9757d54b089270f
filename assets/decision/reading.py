"""One reading: a snapshot of daily counts seen through a contract, as the record that is kept of it. Pure.

A closed day that the record before has read, and whose counts are others now, is a correction: this reading is another
restatement, and its threshold is higher (config.restated).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from assets.decision import shift
from assets.decision.baselines import Contract
from assets.decision.config import ShiftConfig, restated
from assets.decision.counts import DailyCounts
from assets.decision.store import Record, rounded
from assets.fingerprints import digest

_LOOK_BACK = 13  # days before the first monitored one whose knowledge failures still count
_TOPICS = 20  # named in a record


@dataclass(frozen=True, slots=True)
class Watch:
    """What counts are compared with, from which day on, and which events count (None: all)."""

    contract: Contract
    since: date
    config: ShiftConfig
    only: frozenset[str] | None = None


def day_after(contract: Contract, acted: date | None) -> date:
    """The first monitored day: the one after the reference, and after what a fine-tune (`acted`) has consumed."""
    return max(contract.last_day, acted or contract.last_day) + timedelta(days=1)


def read(variant: str, release: str, counts: DailyCounts, watch: Watch, latest: Record | None) -> Record:
    """The record of these counts; `latest`, the newest one that is kept, where it was made of the same."""
    contract, since = watch.contract, watch.since
    seen = counts.between(min(since - timedelta(days=_LOOK_BACK), counts.last_day), counts.last_day)
    digests = {day.isoformat(): name[:12] for day, name in seen.day_digests().items()}
    snapshot = digest([counts.last_day.isoformat(), *(f"{d}={v}" for d, v in sorted(digests.items()))])
    key = digest([snapshot, contract.digest, watch.config.digest, since.isoformat()])
    if latest is not None and latest.key == key:
        return latest
    corrected = _corrected(latest, contract, since, digests)
    restatements = _former(latest, contract, since) + bool(corrected)
    found = shift.evidence(counts, contract, watch.config, since=since)
    events = {e: v for e, v in found.by_event.items() if watch.only is None or e in watch.only}
    total = found.total if watch.only is None else sum(events.values(), 0 * found.total)
    _, reading = shift.today(counts, contract, watch.config, since=since)
    strongest = sorted(reading.topics.items(), key=lambda item: -item[1])[:_TOPICS]
    return Record(
        key=key,
        variant=variant,
        release=release,
        day=counts.last_day,
        since=since,
        snapshot=snapshot,
        contract=contract.digest,
        config=watch.config.digest,
        restatements=restatements,
        threshold=restated(watch.config.threshold, restatements),
        total=tuple(map(rounded, total)),
        by_event={e: tuple(map(rounded, v)) for e, v in events.items()},
        labels=tuple(map(rounded, found.label_watch)),
        shares={event: rounded(share) for event, share in reading.shares.items()},
        topics={topic: rounded(value) for topic, value in strongest},
        changed=reading.changed,
        event=reading.event,
        size=reading.size,
        days=digests,
        probation=watch.only is not None,
        corrected=tuple(sorted(corrected)),
    )


def same_watch(record: Record | None, contract: Contract, since: date) -> bool:
    """Whether a record was read through this contract from this day on."""
    return record is not None and record.contract == contract.digest and record.since == since


def _former(latest: Record | None, contract: Contract, since: date) -> int:
    return latest.restatements if latest is not None and same_watch(latest, contract, since) else 0


def _corrected(latest: Record | None, contract: Contract, since: date, digests: Mapping[str, str]) -> set[str]:
    """Days that the record before has read, and whose counts are others now."""
    if latest is None or not same_watch(latest, contract, since):
        return set()
    last = latest.day.isoformat()
    now = {day: name for day, name in digests.items() if day <= last}
    return {day for day in now.keys() | latest.days.keys() if now.get(day) != latest.days.get(day)}
