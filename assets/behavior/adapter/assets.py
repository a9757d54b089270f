"""The adapter in the graph, partitioned by variant: what a dataset teaches the base.

It has no automation condition: it costs GPU hours, and runs in a fine-tune. The pool `gpu` keeps runs of one instance
apart, a lock in the home whatever else trains. (No postponed annotations in this file: Dagster reads those of
resources.)
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from assets.assets import shown, translated
from assets.behavior.adapter import preview
from assets.behavior.adapter.pipeline import Fitting
from assets.behavior.dataset.assets import DATASET, GROUP, OWNERS
from assets.ports.training import Report, Step

ADAPTER = dg.AssetKey(["behavior", "adapter"])
GPU_POOL = "gpu"
QUIET = 5.0  # seconds between two lines of a training in the log


@dataclass(frozen=True)
class Policy:
    """What the deployment decides about this asset."""

    retries: int = 3
    retry_seconds: float = 5


def build(variants: dg.PartitionsDefinition, policy: Policy) -> Sequence[Any]:
    """The adapter, with a partition for each variant."""

    @dg.asset(
        key=ADAPTER,
        deps=[DATASET],
        partitions_def=variants,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python", "pytorch", "huggingface"},
        pool=GPU_POOL,
        description="A LoRA adapter: the manner of the newest dataset, learned by the configured base, answers only. "
        "Named by the hash of base, rows, prompts, hyperparameters, seed, versions, threads and device, so the same "
        "parts train nothing twice. A killed run goes on from its last whole checkpoint, to the same bits.",
    )
    def adapter(context: dg.AssetExecutionContext, adapters: dg.ResourceParam[Fitting]) -> dg.MaterializeResult:
        variant = context.partition_key
        with translated(policy.retries, policy.retry_seconds):
            made = adapters.make(variant, context.run.run_id, _told(context), _dataset(context, variant))
        metadata = preview.metadata(made.adapter, found=made.found)
        return dg.MaterializeResult(data_version=dg.DataVersion(made.adapter.id), metadata=shown(metadata))

    return [adapter]


def _dataset(context: dg.AssetExecutionContext, variant: str) -> str:
    """The dataset that was materialized last, which may be an older one, found again. Empty: the newest."""
    found = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=DATASET, asset_partitions=[variant]), limit=1
    ).records
    newest = found[0].asset_materialization if found else None
    return str(newest.metadata["stored_as"].value) if newest and "stored_as" in newest.metadata else ""


def _told(context: dg.AssetExecutionContext) -> Report:
    """The loss, live in the log: whenever held-out rows were looked at, and in between every few seconds."""
    last = [0.0]

    def report(step: Step) -> None:
        now = time.monotonic()
        if step.validation is None and now - last[0] < QUIET:
            return
        last[0] = now
        held = "" if step.validation is None else f", of held-out rows {step.validation:.4f}"
        context.log.info(
            f"update {step.step} of {step.steps}: loss {step.loss:.4f}{held}; {step.tokens_per_second:,.0f} tokens/s, "
            f"{step.left:,.0f} s left"
        )

    return report
