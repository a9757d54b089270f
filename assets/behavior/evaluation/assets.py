"""The evaluation in the graph, partitioned by variant: an adapter against what answers now, and the gate as checks.

The checks are blocking: `serving/release` is downstream, and Dagster stops it where one fails. So a refusal is told to
the ledger here; a fine-tune that was refused has ended well, and was not released. (No postponed annotations in this
file: Dagster reads those of config and resources.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from assets.assets import logged, shown, translated
from assets.behavior.adapter.assets import ADAPTER, GPU_POOL
from assets.behavior.dataset.assets import GROUP, OWNERS
from assets.behavior.evaluation import checks, preview
from assets.behavior.evaluation.trials import Trials
from assets.decision.ending import end
from assets.decision.pipeline import Decision
from assets.errors import GateRefused

EVALUATION = dg.AssetKey(["behavior", "evaluation"])
DATA_VERSION = "dagster/data_version"  # the tag of a materialization


@dataclass(frozen=True)
class Policy:
    """What the deployment decides about this asset."""

    retries: int = 3
    retry_seconds: float = 5


class EvaluationConfig(dg.Config):
    """Run config: `adapter` (an id) instead of the newest, `again` to generate what was generated before."""

    adapter: str = ""
    again: bool = False


def build(variants: dg.PartitionsDefinition, policy: Policy) -> Sequence[Any]:
    """The evaluation, with a partition for each variant."""

    @dg.asset(
        key=EVALUATION,
        deps=[ADAPTER],
        partitions_def=variants,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python", "pytorch", "huggingface"},
        pool=GPU_POOL,
        check_specs=checks.specs(EVALUATION),
        description="Is the adapter better than what answers now? Both on the same frozen held-out items, with the "
        "prompts that are served: manner, grounded correctness, refusals, earlier manners, each change with its 95% "
        "interval. The checks are the gate: where one fails, serving/release does not run and what answers stays.",
    )
    def evaluation(
        context: dg.AssetExecutionContext,
        config: EvaluationConfig,
        trials: dg.ResourceParam[Trials],
        decision: dg.ResourceParam[Decision],
    ) -> dg.MaterializeResult:
        variant, run = context.partition_key, context.run.root_run_id or context.run.run_id
        with translated(policy.retries, policy.retry_seconds):
            id = config.adapter or _newest(context, variant)
            try:
                trial = trials.run(variant, id, again=config.again, progress=logged(context))
            except GateRefused as error:
                end(decision.ledger, variant, run, str(error), attempt=context.run.run_id)
                raise dg.Failure(str(error), allow_retries=False) from error
            if not trial.promoted:
                context.log.warning(preview.refusal(trial))
                said, request = trial.candidate.sentence, trial.adapter.request
                end(decision.ledger, variant, run, said, attempt=context.run.run_id, request=request)
            stored, lake = trial.candidate.evaluation, trials.lake
            report, page = lake.read_text(f"{stored}.md") or "", f"{stored}.html in {getattr(lake, 'root', 'lake')}"
        return dg.MaterializeResult(
            data_version=dg.DataVersion(f"{trial.candidate.id}:{trial.row['action']}"),
            metadata=shown(preview.metadata(trial, report, page)),
            check_results=list(checks.results(trial.row)),
        )

    return [evaluation]


def _newest(context: dg.AssetExecutionContext, variant: str) -> str:
    """The adapter that was materialized last, which may be an older one, found again. Empty: the newest."""
    found = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=ADAPTER, asset_partitions=[variant]), limit=1
    ).records
    newest = found[0].asset_materialization if found else None
    return (newest.tags or {}).get(DATA_VERSION, "") if newest else ""
