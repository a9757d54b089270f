"""The gate as asset checks: one for each row of its verdict, so that Dagster itself stops the release.

Names are fixed, since checks are declared before anything is measured; all earlier manners share one.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

EARLIER = "earlier_manners"
GATES: Mapping[str, tuple[str, str]] = {  # check -> (the gate's name, what it says)
    "clean": ("clean", "No held-out item is among what the adapter was trained on."),
    "told": ("told", "There are items of every kind that the gate must read: manner, facts, refusals."),
    "manner": ("manner", "The manner is better than that of what answers now: its 95% interval is above 0."),
    "facts": ("facts", "Grounded correctness is not lost: its 95% lower bound is above the margin."),
    EARLIER: ("earlier", "No earlier manner that is still wanted is forgotten."),
    "right_refusals": ("right refusals", "What the passages do not say is declined as often as before."),
    "false_refusals": ("false refusals", "What the passages say is declined no more often than before."),
}


def specs(asset: dg.AssetKey) -> Sequence[dg.AssetCheckSpec]:
    """One blocking check for each gate."""
    return [dg.AssetCheckSpec(name, asset=asset, blocking=True, description=said) for name, (_, said) in GATES.items()]


def results(row: Mapping[str, Any]) -> Iterator[dg.AssetCheckResult]:
    """The checks of a stored evaluation. One that was not measured did not pass, but for earlier manners: there may be
    none."""
    for name, (gate, _) in GATES.items():
        found = [one for one in row["gates"] if one["name"].partition(":")[0] == gate]
        metadata: dict[str, Any] = {
            "measured": "; ".join(_measured(one) for one in found) or "none",
            "required": "; ".join(dict.fromkeys(one["required"] for one in found)) or "none",
        }
        values = [one["value"] for one in found if one["value"] is not None]
        if values:
            metadata["bound"] = float(min(values))
        yield dg.AssetCheckResult(
            check_name=name,
            passed=all(one["passed"] for one in found) and (bool(found) or name == EARLIER),
            severity=dg.AssetCheckSeverity.ERROR,
            metadata=metadata,
        )


def _measured(one: Mapping[str, Any]) -> str:
    _, _, earlier = one["name"].partition(": ")
    return f"{earlier}: {one['measured']}" if earlier else str(one["measured"])
