"""The overview in the graph: what is deployed, in its own words, and how it is.

Nothing is upstream or downstream of it, so it moves neither hand. Materializing it looks and changes nothing; the
schedule `daily_ledger` does so every day. (No postponed annotations in this file: Dagster reads those of resources.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from assets.assets import shown, translated
from assets.deployment import overview
from assets.deployment.overview import Overview
from assets.fingerprints import sha256_text

GROUP = "deployment"
OWNERS = ["team:knowledge", "team:behavior"]
OVERVIEW = dg.AssetKey([GROUP, "overview"])


@dataclass(frozen=True)
class Policy:
    """What the deployment decides about this asset."""

    retries: int = 3
    retry_seconds: float = 5


def build(words: str, policy: Policy) -> Sequence[Any]:
    """The overview; `words` are its description, built from the settings."""

    @dg.asset(
        key=OVERVIEW,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"markdown"},
        description=words,
    )
    def deployment_overview(deployment: dg.ResourceParam[Overview]) -> dg.MaterializeResult:
        with translated(policy.retries, policy.retry_seconds):
            facts = deployment.look()
            text = deployment.text(facts)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(sha256_text(deployment.words + text)),
            metadata=shown(overview.metadata(facts, text)),
        )

    return [deployment_overview]
