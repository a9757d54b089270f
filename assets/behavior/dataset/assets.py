"""The fine-tuning dataset in the graph, partitioned by variant: what frozen candidates come to.

It has no automation condition: it runs in a fine-tune, after the candidates that it is made of were frozen. (No
postponed annotations in this file: Dagster reads those of resources.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from assets.assets import logged, shown, translated
from assets.behavior.dataset import card
from assets.behavior.dataset.building import NotEnough
from assets.behavior.dataset.pipeline import Datasets
from assets.decision.ending import end
from assets.decision.pipeline import Decision
from assets.errors import Final

DATASET = dg.AssetKey(["behavior", "dataset"])
CANDIDATES = dg.AssetKey(["behavior", "frozen_candidates"])
GROUP = "finetune"
OWNERS = ["team:behavior"]


@dataclass(frozen=True)
class Policy:
    """What the deployment decides about this asset."""

    retries: int = 3
    retry_seconds: float = 5


def build(variants: dg.PartitionsDefinition, policy: Policy) -> Sequence[Any]:
    """The dataset, with a partition for each variant."""

    @dg.asset(
        key=DATASET,
        deps=[CANDIDATES],
        partitions_def=variants,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python"},
        description="What one fine-tune learns from: frozen candidates, screened, redacted, de-duplicated, split by "
        "group, held apart from evaluation sets, balanced, and written as the chats that serving would write. Named by "
        "its hash; every row names its interactions. Too few clean rows are none.",
    )
    def dataset(
        context: dg.AssetExecutionContext, datasets: dg.ResourceParam[Datasets], decision: dg.ResourceParam[Decision]
    ) -> dg.MaterializeResult:
        variant, run = context.partition_key, context.run.root_run_id or context.run.run_id
        with translated(policy.retries, policy.retry_seconds):
            frozen, request = _frozen(context, variant)
            try:
                manifest, made = datasets.make(variant, frozen, request, logged(context))
            except NotEnough as error:
                end(decision.ledger, variant, run, str(error), attempt=context.run.run_id, request=request)
                raise dg.Failure(
                    str(error), metadata=shown(card.refusals(card.of_report(error.report))), allow_retries=False
                ) from error
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content), metadata=shown(card.metadata(manifest, made))
        )

    return [dataset]


def _frozen(context: dg.AssetExecutionContext, variant: str) -> tuple[str, str]:
    """The newest snapshot of the variant, as its materialization says, and the request that it was frozen for."""
    found = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=CANDIDATES, asset_partitions=[variant]), limit=1
    ).records
    newest = found[0].asset_materialization if found else None
    if newest is None:
        raise Final(
            f"no candidates of variant {variant!r} were ever frozen",
            expected="a materialization of behavior/frozen_candidates",
            next_step="run the job finetune, which begins with it",
        )
    said = {name: str(newest.metadata[name].value) for name in ("stored_as", "request") if name in newest.metadata}
    return said["stored_as"], said.get("request", "")
