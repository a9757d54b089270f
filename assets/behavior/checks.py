"""The asset checks of landed files and attributions. The marts' checks are their dbt tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime

import dagster as dg

from assets.behavior import variants
from assets.behavior.pipeline import AttributionReport
from assets.rendering import table

LANDING = dg.AssetKey(["behavior", "landing"])
INTERACTIONS = dg.AssetKey(["behavior", "interactions"])
ATTRIBUTIONS = dg.AssetKey(["behavior", "attributions"])
MAX_UNCLEAR = 0.5  # of the failures: above it the logs say too little for any decision

LANDING_CHECKS = [
    dg.AssetCheckSpec(
        name="quarantined_share",
        asset=LANDING,
        description="The share of landed lines that break the contract is below a threshold.",
    ),
    dg.AssetCheckSpec(
        name="every_file_is_read",
        asset=LANDING,
        description="No landed file was left out (too large, a link that leads out of the folder, unreadable), and no "
        "day of the warehouse's logs.",
    ),
    dg.AssetCheckSpec(
        name="newest_event_day",
        asset=LANDING,
        description="Events still arrive. (A freshness policy judges the asset, which an old backfill turns green.)",
    ),
]
INTERACTION_CHECKS = [
    dg.AssetCheckSpec(
        name="every_variant_is_known",
        asset=INTERACTIONS,
        description="twohands.toml has the variant of every interaction. Those of others are counted and never judged.",
    )
]
ATTRIBUTION_CHECKS = [
    dg.AssetCheckSpec(
        name="unclear_share",
        asset=ATTRIBUTIONS,
        description="Most failures can be told apart into knowledge and behavior.",
    )
]


def landing_results(
    lines: int, quarantined: Sequence[dict[str, object]], newest: date | None, *, max_share: float, max_days: int
) -> Iterator[dg.AssetCheckResult]:
    """Quarantined share (ERROR), with the newest refused lines; age of the newest event day (WARN). Neither blocks."""
    share = len(quarantined) / lines if lines else 0.0
    rows = [tuple(str(row[name]) for name in ("file", "line", "reason", "detail")) for row in quarantined]
    yield dg.AssetCheckResult(
        check_name="quarantined_share",
        asset_key=LANDING,
        passed=share <= max_share,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{len(quarantined):,} of {lines:,} lines quarantined ({share:.2%}; limit {max_share:.2%})",
        metadata={"quarantined": len(quarantined), "share": share, "limit": max_share}
        | ({"lines": dg.MetadataValue.md(table(("file", "line", "reason", "detail"), rows))} if rows else {}),
    )
    age = (datetime.now(UTC).date() - newest).days if newest else None
    yield dg.AssetCheckResult(
        check_name="newest_event_day",
        asset_key=LANDING,
        passed=age is not None and age <= max_days,
        severity=dg.AssetCheckSeverity.WARN,
        description="there are no events yet" if age is None else f"the newest event day, {newest}, is {age} days old",
        metadata={"limit_days": max_days},
    )


def refused_result(left_out: Mapping[str, str]) -> dg.AssetCheckResult:
    """Files, and whole origins, that were not read (ERROR), with the reason of each."""
    rows = list(left_out.items())
    return dg.AssetCheckResult(
        check_name="every_file_is_read",
        asset_key=LANDING,
        passed=not rows,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{len(rows)} files were not read",
        metadata={"files": dg.MetadataValue.md(table(("file", "why"), rows))} if rows else {},
    )


def variants_result(unknown: Mapping[str, int]) -> dg.AssetCheckResult:
    """Interactions of variants that nobody judges (WARN), by variant."""
    rows = [(name, f"{count:,}") for name, count in unknown.items()]
    return dg.AssetCheckResult(
        check_name="every_variant_is_known",
        asset_key=INTERACTIONS,
        passed=not unknown,
        severity=dg.AssetCheckSeverity.WARN,
        description=variants.told(unknown) or "twohands.toml has the variant of every interaction",
        metadata={"unjudged": sum(unknown.values())}
        | ({"variants": dg.MetadataValue.md(table(("variant", "interactions"), rows))} if rows else {}),
    )


def attribution_results(reports: Sequence[AttributionReport]) -> Iterator[dg.AssetCheckResult]:
    """Share of failures that nothing explains (WARN)."""
    failures = sum(sum(report.verdicts.values()) for report in reports)
    unclear = sum(report.verdicts.get("unclear", 0) for report in reports)
    share = unclear / failures if failures else 0.0
    yield dg.AssetCheckResult(
        check_name="unclear_share",
        asset_key=ATTRIBUTIONS,
        passed=share <= MAX_UNCLEAR,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{unclear} of {failures} failures are unclear ({share:.0%}; limit {MAX_UNCLEAR:.0%})",
        metadata={"failures": failures, "unclear": unclear, "limit": MAX_UNCLEAR},
    )
