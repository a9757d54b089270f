"""The decision in the graph, partitioned by variant: evidence, verdict, and the fine-tune that a verdict names.

Evidence and verdict are cheap and follow the daily counts. The fine-tune has no automation condition: only a verdict
that the sensor `behavior_shifted` consumes starts it, or a person who says why. No edge comes from the fast hand: a
change of content reaches none of these. (No postponed annotations in this file: Dagster reads those of config.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from assets.assets import shown, translated
from assets.behavior import frozen
from assets.behavior.pipeline import BehaviorData
from assets.decision import preview
from assets.decision.acting import Claim
from assets.decision.pipeline import Decision, Made
from assets.decision.store import Record
from assets.errors import ConfigError, GateRefused, Retryable
from assets.rendering import Markdown, Metadata, table

GROUP, FINETUNE = "decision", "finetune"
OWNERS = ["team:behavior"]
EVIDENCE = dg.AssetKey([GROUP, "evidence"])
VERDICT = dg.AssetKey([GROUP, "verdict"])
CANDIDATES = dg.AssetKey(["behavior", "frozen_candidates"])
APPROVE_TAG = "twohands/approve"  # yes or no, on a run that materializes decision/verdict
VERDICT_TAG = "twohands/verdict"  # the verdict whose fine-tune a run is
KEPT = 60  # newest readings that are looked through for those before a correction or a fine-tune


@dataclass(frozen=True)
class Policy:
    """What the deployment decides about these assets."""

    retries: int = 3
    retry_seconds: float = 5
    pool: str = "warehouse"  # a snapshot is not read while days are rebuilt


class FinetuneConfig(dg.Config):
    """Run config of a fine-tune that no verdict asks for: `force`, and `why`, which the ledger keeps."""

    force: bool = False
    why: str = ""


def build(variants: dg.PartitionsDefinition, policy: Policy) -> Sequence[Any]:
    """Evidence, verdict and frozen candidates, with a partition for each variant."""
    return [_evidence(variants, policy), _verdict(variants, policy), _candidates(variants, policy)]


def _evidence(variants: dg.PartitionsDefinition, policy: Policy) -> Any:
    @dg.asset(
        key=EVIDENCE,
        deps=[dg.AssetDep(dg.AssetKey(["behavior", "behavior_daily"]), partition_mapping=dg.AllPartitionMapping())],
        partitions_def=variants,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python"},
        pool=policy.pool,
        description="Has behavior shifted? A sequential test over the closed days, which may be read every day: the "
        "evidence M, the threshold, and which events and topics it comes from.",
    )
    def evidence(context: dg.AssetExecutionContext, decision: dg.ResourceParam[Decision]) -> dg.MaterializeResult:
        variant = context.partition_key
        with translated(policy.retries, policy.retry_seconds):
            record = decision.observe(variant)
            kept = decision.store.records(variant, KEPT)
        if record is None:
            return dg.MaterializeResult(
                data_version=dg.DataVersion("learning"),
                metadata=shown(preview.of_learning()),
            )
        return dg.MaterializeResult(data_version=dg.DataVersion(record.key), metadata=shown(_of_record(record, kept)))

    return evidence


def _of_record(record: Record, kept: Sequence[Record]) -> Metadata:
    former, acted = preview.around(record, kept)
    metadata = preview.of_evidence(
        record.as_evidence(),
        threshold=record.threshold,
        restatements=record.restatements,
        reading=record.as_reading(),
        former=former,
        acted=acted,
    )
    metadata |= {
        "snapshot": record.snapshot[:16],
        "contract": record.contract[:16],
        "config": record.config[:16],
        "last_closed_day": record.day.isoformat(),
        "monitored_since": record.since.isoformat(),
        "release": record.release,
    }
    if record.corrected:
        metadata["corrected_days"] = ", ".join(record.corrected[:20])
    return metadata


def _verdict(variants: dg.PartitionsDefinition, policy: Policy) -> Any:
    @dg.asset(
        key=VERDICT,
        deps=[EVIDENCE],
        partitions_def=variants,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python"},
        pool=policy.pool,
        description="Evidence, policy and ledger in one verdict: wait, propose, finetune, rollback_suggested, "
        "fix_corpus or blocked, with every gate's value. It starts nothing: `behavior_shifted` consumes it. To approve "
        f"one, materialize this with the run tag {APPROVE_TAG}=yes.",
    )
    def verdict(context: dg.AssetExecutionContext, decision: dg.ResourceParam[Decision]) -> dg.MaterializeResult:
        variant = context.partition_key
        with translated(policy.retries, policy.retry_seconds):
            _approve(context, decision, variant)
            made = decision.judge(variant)
        context.log.info(f"{variant}: {made.verdict.action}: {made.verdict.sentence}")
        return dg.MaterializeResult(
            data_version=dg.DataVersion(made.id), metadata=shown(_of_verdict(decision, variant, made))
        )

    return verdict


def _approve(context: dg.AssetExecutionContext, decision: Decision, variant: str) -> None:
    answer = context.run.tags.get(APPROVE_TAG)
    if answer is None:
        return
    if answer not in ("yes", "no"):
        raise ConfigError(f"the run tag {APPROVE_TAG} is {answer!r}", expected="yes or no")
    try:
        decision.finetunes.approve(
            variant, "the Dagster UI", context.run.tags.get("twohands/why", ""), granted=answer == "yes"
        )
    except GateRefused as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def _of_verdict(decision: Decision, variant: str, made: Made) -> Metadata:
    history = decision.history(variant)
    metadata = preview.of_verdict(made.verdict, [f"{row.day}: {row.action}: {row.sentence}" for row in history[1:]])
    metadata["verdict_id"] = made.id
    if made.retracted:
        metadata["retracted"] = made.retracted
    taken_back = [row for row in history if row.retracted]
    if taken_back:
        rows = [(row.day, row.action, row.sentence, row.retracted) for row in taken_back]
        metadata["retracted_verdicts"] = table(("day", "verdict", "what it said", "why it was retracted"), rows)
    return metadata


def _candidates(variants: dg.PartitionsDefinition, policy: Policy) -> Any:
    @dg.asset(
        key=CANDIDATES,
        deps=[
            VERDICT,
            dg.AssetDep(dg.AssetKey(["behavior", "training_candidates"]), partition_mapping=dg.AllPartitionMapping()),
        ],
        partitions_def=variants,
        group_name=FINETUNE,
        owners=OWNERS,
        kinds={"python"},
        pool=policy.pool,
        description="The training candidates that a verdict names, frozen: what one fine-tune is made of. Only a "
        "verdict's request or a person who says why (run config `force`, `why`) makes one.",
    )
    def frozen_candidates(
        context: dg.AssetExecutionContext,
        config: FinetuneConfig,
        decision: dg.ResourceParam[Decision],
        behavior_data: dg.ResourceParam[BehaviorData],
    ) -> dg.MaterializeResult:
        run = context.run.root_run_id or context.run.run_id
        with translated(policy.retries, policy.retry_seconds):
            try:
                claim = _claimed(context, config, decision, run)
            except GateRefused as error:
                raise dg.Failure(str(error), allow_retries=False) from error
            found = freeze(decision, behavior_data, claim, context.run.run_id)
        return dg.MaterializeResult(data_version=dg.DataVersion(found.digest), metadata=shown(_of_frozen(found, claim)))

    return frozen_candidates


def _claimed(context: dg.AssetExecutionContext, config: FinetuneConfig, decision: Decision, run: str) -> Claim:
    variant = context.partition_key
    if config.force:
        if not config.why.strip():
            raise ConfigError("force without why", expected="a reason, which the ledger keeps", next_step="set `why`")
        return decision.force(variant, config.why, _by(context), run)
    cause = context.run.tags.get(VERDICT_TAG)
    if cause is None:
        due = decision.finetunes.due(variant)
        cause = due[0] if due else "(none)"
    return decision.finetunes.begin(variant, cause, run, _by(context))


def _by(context: dg.AssetExecutionContext) -> str:
    """Who asked for the run: a schedule or a sensor by its name, or a person."""
    tags = context.run.tags
    return tags.get("dagster/schedule_name") or tags.get("dagster/sensor_name") or "the Dagster UI"


def freeze(decision: Decision, data: BehaviorData, claim: Claim, run: str) -> frozen.Frozen:
    """The candidates of a claimed fine-tune, frozen: its first step. The claim stays open until the last (ending.py);
    what fails here, and time cannot mend, ends it."""
    try:
        return data.freeze(claim.variant, claim.first, claim.last, claim.request)
    except Retryable:
        raise  # Dagster tries again in the same run
    except Exception as error:
        decision.finetunes.finish(claim, run, "failed", f"{type(error).__name__}: {error}"[:500])
        raise


def _of_frozen(found: frozen.Frozen, claim: Claim) -> Metadata:
    metadata: Metadata = {
        "dagster/row_count": found.rows,
        "days": f"{found.first} to {found.last}",
        "request": claim.request,
        "cause": claim.cause,
        "stored_as": found.name,
        "sources": table(("source", "rows"), [(name, str(n)) for name, n in found.sources.items()]),
    }
    metadata["topics"] = Markdown(table(("topic", "rows"), [(name, str(n)) for name, n in found.topics.items()]))
    return metadata
