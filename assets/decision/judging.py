"""What the policy looks at, gathered: a Situation from a record, its counts, the ledger and the warehouse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, NamedTuple, Protocol

import numpy as np

from assets.decision.baselines import Contract, sigmoid
from assets.decision.budget import Month
from assets.decision.config import ShiftConfig
from assets.decision.counts import DailyCounts
from assets.decision.ledger import Approval, Entry, Finished, Kind, Request, Retraction
from assets.decision.policy import Deploy, Situation
from assets.decision.store import Record
from assets.decision.tainted import Tainted, answered

RECENT, TRAFFIC = 14, 28  # days: of knowledge failures, of traffic
NEAR = 3  # days between a deploy and a change, or two guesses of a change, that count as one
SETTLED = 7  # days that a release must have answered before another takes over, for that to be a deploy


class Measured(Protocol):
    """What the warehouse knows and daily counts do not say."""

    def examples(self, variant: str, first: date, last: date) -> int:
        """Corrected training candidates of these days."""
        ...

    def deploys(self, variant: str, first: date, last: date) -> Sequence[Deploy]:
        """Days on which another release began to answer most of the traffic, after one that had for `SETTLED` days."""
        ...


def situation(
    variant: str,
    record: Record | None,
    counts: DailyCounts,
    contract: Contract | None,
    config: ShiftConfig,
    entries: Sequence[Entry],
    measured: Measured,
    month: Month,
) -> Situation:
    """All that a verdict of this variant is made of. `entries` are the variant's own, in order of time; `month` is
    what `Money.month` says."""
    if record is None or contract is None or record.probation:
        have = (record.day - record.since).days + 1 if record else counts.days
        start = Situation(
            day=counts.last_day,
            learning=max(config.reference_days - max(have, 0), 1),
            reference_days=config.reference_days,
            threshold=config.threshold,
            **month._asdict(),
        )
        return start if record is None else _on_probation(start, record)
    fired, changed = record.fired, record.changed
    since = changed or record.since
    moved, last = record.labels_moved is not None, _last_finetune(entries)
    return Situation(
        day=record.day,
        reference_days=config.reference_days,
        evidence=record.evidence,
        highest=record.highest,
        threshold=record.threshold,
        restatements=record.restatements,
        fired=fired,
        changed=changed,
        shares=record.shares,
        labels_moved=moved,
        examples=measured.examples(variant, since, record.day) if fired else 0,
        excess=excess(counts, contract, since) if fired else 0.0,
        traffic=traffic(counts),
        knowledge=knowledge(counts, contract),
        deploy=_deploy(measured, variant, since, record.day) if fired else None,
        **month._asdict(),
        pending=last.pending,
        failed=last.failed,
        last_finetune=last.day,
        last_released=last.released,
        approval=approval(entries, record),
    )


def _on_probation(start: Situation, record: Record) -> Situation:
    if record.fired is None:
        return start
    deploy = Deploy(record.since, record.release, "the former release")
    return replace(
        start,
        day=record.day,
        evidence=record.evidence,
        highest=record.highest,
        threshold=record.threshold,
        fired=record.fired,
        changed=record.changed,
        shares=record.shares,
        deploy=deploy,
    )


def with_taint(now: Situation, tainted: Tainted, entries: Sequence[Entry], limit: float) -> Situation:
    """The situation with what the released adapter was trained on, and a person's answer to that.

    Such an adapter asks while the reference is being learnt, too: then the last fine-tune counts already.
    """
    found = replace(now, tainted=answered(tainted, entries, limit))
    if not now.learning or not found.tainted.asks(limit):
        return found
    last = _last_finetune(entries)
    return replace(found, pending=last.pending, failed=last.failed, last_finetune=last.day, last_released=last.released)


class _Last(NamedTuple):
    pending: bool = False
    failed: str = ""
    day: date | None = None
    released: bool = True


def _last_finetune(entries: Sequence[Entry]) -> _Last:
    requests = [entry for entry in entries if entry.kind is Kind.REQUEST]
    if not requests:
        return _Last()
    newest = requests[-1]
    ends = [Finished.of(entry) for entry in entries if entry.kind is Kind.FINISHED]
    ended = [end for end in ends if end.request == newest.id]
    done = any(end.outcome != "failed" for end in ended)
    failed = "" if done or not ended else ended[-1].detail or "no reason was noted"
    day = date.fromisoformat(Request.of(newest).day)
    return _Last(not ended, failed, day, any(end.released for end in ended))


def approval(entries: Sequence[Entry], record: Record) -> str:
    """A person's last word on the change that the record shows: "approved", "denied" or nothing.

    It holds for later verdicts on the same change. It ends when evidence begins anew, and with a retraction, also of a
    later verdict than the one that was answered: nothing was left of the shift then.
    """
    verdicts = {entry.id: entry for entry in entries if entry.kind is Kind.VERDICT}
    said, retracted = "", set[str]()
    for entry in entries:
        if entry.kind is Kind.RETRACTION:
            said = ""
            retracted.add(Retraction.of(entry).verdict)
        if entry.kind is not Kind.APPROVAL:
            continue
        fact = Approval.of(entry)
        verdict = verdicts.get(fact.verdict)
        if verdict and fact.verdict not in retracted and _same_change(verdict.data["evidence"], record):
            said = "approved" if fact.granted else "denied"
    return said


def _same_change(evidence: Mapping[str, Any], record: Record) -> bool:
    """Whether the change that a verdict's evidence showed is the one that the record shows: it began before that
    verdict's last day ended, and was not shown before it began. Guesses of a beginning move by a few days."""
    if not evidence.get("fired") or record.fired is None:
        return False
    fired = date.fromisoformat(evidence["fired"])
    began = min(date.fromisoformat(evidence.get("changed") or evidence["fired"]), fired)
    last = date.fromisoformat(evidence.get("day") or evidence["fired"])
    begins = record.changed or record.fired
    return fired >= record.since and begins <= last + timedelta(days=NEAR) and record.fired >= began


def knowledge(counts: DailyCounts, contract: Contract) -> tuple[float, float, float]:
    """Rate of knowledge failures in the reference and in the last 14 days, and their distance in standard errors."""
    base = contract.events.get("know")
    if base is None or "know" not in counts.n or not base.n.sum():
        return 0.0, 0.0, 0.0
    n, s = counts.n["know"][-RECENT:].sum(), counts.S["know"][-RECENT:].sum()
    before, after = base.S.sum() / base.n.sum(), s / max(n, 1)
    pooled = (base.S.sum() + s) / (base.n.sum() + n)
    error = np.sqrt(pooled * (1 - pooled) * (1 / base.n.sum() + 1 / max(n, 1)))
    return float(before), float(after), float((after - before) / error) if error > 0 and n else 0.0


def traffic(counts: DailyCounts) -> float:
    """Interactions a day, over the last 28 days."""
    rows = counts.n.get("labelled", counts.n.get("fail"))
    return float(rows[-TRAFFIC:].sum() / min(max(counts.days, 1), TRAFFIC)) if rows is not None else 0.0


def excess(counts: DailyCounts, contract: Contract, since: date) -> float:
    """By how much the share of interactions that fail rose since the change, against the contract's topic rates.

    The labelled are taken for all; where another event than `fail` rose more (schema, format), that one counts.
    """
    aligned = counts.ordered(contract.topics)
    later = aligned.between(since, counts.last_day)
    width = len(contract.topics)
    every = later.n["labelled"].sum() if "labelled" in later.n else 0.0
    found = [0.0]
    for event in ("fail", "schema_bad", "format", "refusal", "edit", "style"):
        base = contract.events.get(event)
        if base is None or event not in later.n:
            continue
        n, s = later.n[event][:, :width].sum(0), later.S[event][:, :width].sum(0)
        rate = np.where(base.known, sigmoid(base.logit), 0.0)
        rows = (n * base.known).sum()
        if rows:
            rise = float(((s - n * rate) * base.known).sum() / rows)
            share = 1.0 if event == "fail" or not every else rows / every
            found.append((abs(rise) if event == "style" else rise) * share)
    return max(found)


def _deploy(measured: Measured, variant: str, changed: date, last: date) -> Deploy | None:
    near = timedelta(days=NEAR)
    found = measured.deploys(variant, changed - near, min(changed + near, last))
    return min(found, key=lambda deploy: abs(deploy.day - changed), default=None)
