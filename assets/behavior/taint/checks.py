"""The asset check of datasets, adapters and the release: that what they were made of still stands. It warns, and holds
up nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from assets.assets import shown, translated
from assets.behavior.taint.looking import Taints
from assets.behavior.taint.rules import Report, Share, Touch
from assets.rendering import table

STANDS = "made_of_what_still_stands"


def key(asset: dg.AssetKey) -> dg.AssetCheckKey:
    """The check's key on an asset."""
    return dg.AssetCheckKey(asset, STANDS)


def build(
    assets: Mapping[str, dg.AssetKey], limits: Mapping[str, float], retries: int, retry_seconds: float
) -> Sequence[Any]:
    """The check on each of the assets; their names are "dataset", "adapter" and "release". `limits` are the variants'
    largest shares."""
    return [_check(name, asset, limits, retries, retry_seconds) for name, asset in assets.items()]


def _check(name: str, asset: dg.AssetKey, limits: Mapping[str, float], retries: int, retry_seconds: float) -> Any:
    @dg.asset_check(
        asset=asset,
        name=STANDS,
        description=f"The {_WHAT[name]} was made of interactions that are still there and still say the same. Fails "
        "above decision.max_tainted_share, and where an adapter learned from rows of people who were erased since.",
    )
    def made_of_what_still_stands(taints: dg.ResourceParam[Taints]) -> dg.AssetCheckResult:
        with translated(retries, retry_seconds):
            found = {variant: looked_at(name, taints.look(variant, named=False)) for variant in limits}
        return result(name, found, limits)

    return made_of_what_still_stands


_WHAT = {"dataset": "newest dataset", "adapter": "newest adapter", "release": "adapter that answers"}


def looked_at(name: str, report: Report) -> Share | None:
    """The rows that the check is about; None where there is nothing of the kind."""
    if name == "dataset":
        return report.datasets[-1].whole if report.datasets else None
    one = report.released if name == "release" else next(reversed(report.adapters), None)
    return one.trained if one and one.known else None


def result(name: str, found: Mapping[str, Share | None], limits: Mapping[str, float]) -> dg.AssetCheckResult:
    """Of all variants together (WARN); each has its line."""
    shares = {variant: share for variant, share in found.items() if share is not None}
    weights = name != "dataset"  # erased rows are in no dataset any more, but what learned from them knows them still
    failed = [v for v, one in shares.items() if one.share > limits[v] or (weights and one.by.get(Touch.ERASED))]
    rows = [(v, f"{s.rows:,}", f"{s.share:.1%}", f"{limits[v]:.1%}", s.words()) for v, s in shares.items()]
    told = "; ".join(f"{v}: {s.share:.1%} of {s.rows:,} rows do not stand ({s.words()})" for v, s in shares.items())
    metadata: dict[str, Any] = {f"share_{variant}": share.share for variant, share in shares.items()}
    if rows:
        head = ("variant", "rows", "share", "limit", "reasons")
        metadata |= shown({"variants": table(head, rows, len(rows))})
    return dg.AssetCheckResult(
        passed=not failed,
        severity=dg.AssetCheckSeverity.WARN,
        description=told or f"there is no {_WHAT[name]} yet",
        metadata=metadata,
    )
