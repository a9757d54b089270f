"""The ledger in the graph: what was spent against the budget, and against a fine-tune a week.

It only shows: whoever spends or decides appends to the ledger itself, at that moment. (No postponed annotations in this
file: Dagster reads those of resources.)
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from assets.assets import shown, translated
from assets.decision.assets import GROUP, OWNERS, VERDICT
from assets.decision.pipeline import Decision
from assets.decision.spending import preview
from assets.decision.spending.costs import Budget
from assets.fingerprints import digest

LEDGER = dg.AssetKey([GROUP, "ledger"])


@dataclass(frozen=True)
class Policy:
    """What the deployment decides about this asset."""

    retries: int = 3
    retry_seconds: float = 5
    budget: Budget = field(default_factory=Budget)
    freshness: timedelta = timedelta(hours=26)


def build(policy: Policy) -> Sequence[Any]:
    """The ledger, not partitioned: all variants share one budget."""

    @dg.asset(
        key=LEDGER,
        deps=[dg.AssetDep(VERDICT, partition_mapping=dg.AllPartitionMapping())],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python"},
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=policy.freshness),
        description="What the encoder, CPUs and GPUs were used for and what it cost, every verdict, approval, override "
        "and fine-tune: entries that are added and never changed. Here they are added up: this month against its "
        "budget, and all fine-tunes against a weekly schedule of them.",
    )
    def ledger(decision: dg.ResourceParam[Decision]) -> dg.MaterializeResult:
        with translated(policy.retries, policy.retry_seconds):
            entries = decision.ledger.entries()
            metadata = preview.of_ledger(entries, datetime.now(UTC).date(), policy.budget)
        version = digest(entry.id for entry in entries)
        return dg.MaterializeResult(data_version=dg.DataVersion(version), metadata=shown(metadata))

    return [ledger]
