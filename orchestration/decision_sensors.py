"""The sensors of the decision: evidence follows the daily counts, and a fine-tune follows a verdict, once.

`evidence_due` asks for `decide` when there is something that the newest verdict has not seen: another day is closed, a
closed day was corrected, a person answered, a fine-tune ended, a setting changed. `behavior_shifted` consumes verdicts:
one that says `finetune` and that nobody has claimed leads to one run, whose key is the verdict's own (snapshot,
contract, settings). Dagster drops a second request with a run key that it knows, and the run claims the verdict in the
ledger before it does anything: a lost cursor, a kill anywhere or a second deployment cannot pay twice. A run that died
before it claimed has lost nothing: it is asked for again, under another key, a few times.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any

import dagster as dg

from assets.behavior.pipeline import BehaviorData
from assets.decision.assets import VERDICT_TAG
from assets.decision.ending import end
from assets.decision.ledger import Decided, Kind, Request
from assets.decision.pipeline import Decision
from assets.errors import TwohandsError
from orchestration.landing_sensor import UNDER_WAY, Asked, ask
from orchestration.settings import Settings

HOLD_SECONDS = 3_600.0  # closed days that cannot be rebuilt hold decisions up for no longer than this
ENDED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
MAX_RUNS = 3  # for one verdict, that die before they claim it


def evidence_due(settings: Settings, decide: Any) -> dg.SensorDefinition:
    """Asks for evidence and verdict of each variant that has something new."""

    @dg.sensor(
        name="evidence_due",
        job=decide,
        minimum_interval_seconds=settings.behavior.sensor_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reads evidence and draws verdicts when a day closed, a closed day was corrected, or a person "
        "answered. Waits while closed days are being rebuilt.",
        required_resource_keys={"decision", "behavior_data"},
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        decision: Decision = context.resources.decision
        cursor = read_cursor(context.cursor)
        due = {variant: stamp for variant in decision.variants if (stamp := decision.overdue(variant))}
        asked = {v: Asked(**row) for v, row in cursor["asked"].items() if v in due}
        if not due:
            return dg.SensorResult(skip_reason=dg.SkipReason("every verdict is up to date"), cursor=_cursor({}, 0.0))
        now = time.time()
        since = cursor["held_since"] or now
        if now - since < HOLD_SECONDS and (reason := _held(context, decision)):
            return dg.SensorResult(skip_reason=dg.SkipReason(reason), cursor=_cursor(asked, since))
        requests = []
        for variant, stamp in due.items():
            asked[variant], go = ask(asked.get(variant, Asked()), stamp, now)
            if go:
                key = f"{variant}:{stamp[:16]}:{asked[variant].again}"
                requests.append(dg.RunRequest(run_key=key, partition_key=variant))
        waiting = ", ".join(due)
        return dg.SensorResult(
            run_requests=requests,
            cursor=_cursor(asked, 0.0),
            skip_reason=None if requests else dg.SkipReason(f"asked for, or waiting for another try: {waiting}"),
        )

    return sensor


def _held(context: dg.SensorEvaluationContext, decision: Decision) -> str:
    """Why a snapshot should not be taken now; empty where it may be."""
    for job in ("rebuild_days", "decide"):
        if context.instance.get_runs(dg.RunsFilter(job_name=job, statuses=UNDER_WAY), limit=1):
            return f"{job} is under way"
    data: BehaviorData = context.resources.behavior_data
    try:
        dirty = [day for day in data.dirty_inputs() if day <= decision.closed()]
    except TwohandsError as error:
        return f"what is dirty cannot be told: {error}"
    return f"{len(dirty)} closed days are to be rebuilt first, {dirty[0]} for one" if dirty else ""


def behavior_shifted(settings: Settings, finetune: Any) -> dg.SensorDefinition:
    """Asks for the fine-tune of each variant whose newest verdict says so, once for each verdict."""

    @dg.sensor(
        name="behavior_shifted",
        job=finetune,
        minimum_interval_seconds=settings.behavior.sensor_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Consumes verdicts: one that says finetune leads to exactly one run. A tick that asks for nothing "
        "says why, with the numbers.",
        required_resource_keys={"decision"},
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        decision: Decision = context.resources.decision
        requests, reasons = [], []
        for variant in decision.variants:
            note_ended(decision, context.instance, variant)
            due = decision.finetunes.due(variant)
            if due is None:
                reasons.append(f"{variant}: {said(decision, variant)}")
                continue
            verdict, key = due
            again, reason = tried(context.instance, verdict)
            if reason:
                reasons.append(f"{variant}: {said(decision, variant)}; {reason}")
                continue
            key = f"{key}:{again}" if again else key
            requests.append(dg.RunRequest(run_key=key, partition_key=variant, tags={VERDICT_TAG: verdict}))
        return dg.SensorResult(
            run_requests=requests, skip_reason=None if requests else dg.SkipReason("; ".join(reasons))
        )

    return sensor


def tried(instance: dg.DagsterInstance, verdict: str) -> tuple[int, str]:
    """How many runs for a verdict that nobody has claimed have failed; why no other is asked for, if so."""
    runs = instance.get_runs(dg.RunsFilter(tags={VERDICT_TAG: verdict}))
    failed = sum(run.status is dg.DagsterRunStatus.FAILURE for run in runs)
    by_hand = "launch the job `finetune`, or run `twohands finetune`"
    if alive := [run for run in runs if run.status in UNDER_WAY]:
        return failed, f"requested: run {alive[0].run_id} is {alive[0].status.value}"
    if runs and runs[0].status is dg.DagsterRunStatus.CANCELED:
        return failed, f"its run {runs[0].run_id} was canceled before it began: {by_hand} if you want it after all"
    if failed >= MAX_RUNS:
        return failed, f"{failed} runs failed before they claimed it, the last was {runs[0].run_id}: {by_hand}"
    return failed, ""


def said(decision: Decision, variant: str) -> str:
    """The newest verdict in words, and what became of it."""
    found = decision.finetunes.verdict(variant)
    if found is None:
        return "no verdict yet"
    id, verdict = found
    claimed = decision.finetunes.requests(variant, id)
    done = f" (claimed by {Request.of(claimed[0]).run_key})" if claimed else ""
    return f"{verdict.action}{done}: {_with_measures(verdict)}"


def _with_measures(verdict: Decided) -> str:
    failing = [gate for gate in verdict.evidence.get("gates", ()) if not gate["passed"]]
    more = "; ".join(f"{gate['name']} {gate['measured']}, required {gate['required']}" for gate in failing[:4])
    return f"{verdict.sentence} [{more}]" if more else verdict.sentence


def note_ended(decision: Decision, instance: dg.DagsterInstance, variant: str) -> None:
    """A claimed fine-tune whose run ended without a word has an end noted, or it would block all others: a run that
    died has failed; one that succeeded had fewer steps, and released nothing."""
    ends: dict[str, set[str]] = {}
    for entry in decision.ledger.entries([Kind.FINISHED], variant=variant):
        ends.setdefault(entry.data["request"], set()).add(entry.data["outcome"])
    for claim in decision.ledger.entries([Kind.REQUEST], variant=variant):
        if ends.get(claim.id, set()) - {"failed"}:
            continue
        key = Request.of(claim).run_key
        first = instance.get_run_by_id(key)
        runs = [*([first] if first else []), *instance.get_runs(dg.RunsFilter(tags={"dagster/root_run_id": key}))]
        if any(run.status in UNDER_WAY for run in runs):
            continue  # one that was started once more goes on with the same claim
        well = [run for run in runs if run.status is dg.DagsterRunStatus.SUCCESS]
        if well:
            said = "its run ended without an evaluation"
            end(decision.ledger, variant, key, said, attempt=well[0].run_id, request=claim.id)
        elif first is not None and first.status in ENDED and claim.id not in ends:
            decision.finetunes.note_failed(variant, claim.id, key, f"the run ended as {first.status.value}")


def read_cursor(text: str | None) -> dict[str, Any]:
    """What was asked for; an unreadable cursor counts as none, which costs a reading that finds nothing new."""
    try:
        raw = json.loads(text or "{}")
        asked = {str(v): asdict(Asked(**row)) for v, row in raw.get("asked", {}).items()}
        return {"asked": asked, "held_since": float(raw.get("held_since", 0.0))}
    except (ValueError, TypeError, AttributeError):
        return {"asked": {}, "held_since": 0.0}


def _cursor(asked: dict[str, Asked], held_since: float) -> str:
    return json.dumps({"asked": {v: asdict(row) for v, row in asked.items()}, "held_since": held_since}, sort_keys=True)
