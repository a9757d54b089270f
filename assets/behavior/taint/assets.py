"""The taint of datasets and adapters in the graph, partitioned by variant: cheap, and it starts nothing.

It is looked at with every verdict (job `decide`), which is asked for when a day was corrected or somebody was erased.
Nothing is downstream of it: the verdict looks by itself. (No postponed annotations in this file: Dagster reads those of
resources.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from assets.assets import shown, translated
from assets.behavior.taint import checks, preview
from assets.behavior.taint.looking import Taints
from assets.fingerprints import sha256_text

TAINT = dg.AssetKey(["behavior", "taint"])
ATTRIBUTIONS = dg.AssetKey(["behavior", "attributions"])
GROUP = "decision"
OWNERS = ["team:behavior"]


@dataclass(frozen=True)
class Policy:
    """What the deployment decides: `limits` are the variants' max_tainted_share."""

    limits: Mapping[str, float] = field(default_factory=dict)
    retries: int = 3
    retry_seconds: float = 5


def build(
    variants: dg.PartitionsDefinition, policy: Policy, made: Mapping[str, dg.AssetKey]
) -> tuple[Sequence[Any], Sequence[Any]]:
    """The taint, with a partition for each variant, and the check on each asset of `made` (checks.build)."""

    @dg.asset(
        key=TAINT,
        deps=[
            dg.AssetDep(ATTRIBUTIONS, partition_mapping=dg.AllPartitionMapping()),
            *(asset for name, asset in made.items() if name != "release"),
        ],
        partitions_def=variants,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python"},
        description="Which datasets and adapters were made of interactions that were corrected, deleted or attributed "
        "otherwise since: rows, and the share of them. Reads the days that changed since the last look; starts "
        "nothing. Above decision.max_tainted_share the verdict proposes a fine-tune.",
    )
    def taint(context: dg.AssetExecutionContext, taints: dg.ResourceParam[Taints]) -> dg.MaterializeResult:
        variant = context.partition_key
        with translated(policy.retries, policy.retry_seconds):
            report = taints.look(variant)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(sha256_text(repr(report))),
            metadata=shown(preview.of_report(report, policy.limits[variant])),
        )

    return [taint], checks.build(made, policy.limits, policy.retries, policy.retry_seconds)
