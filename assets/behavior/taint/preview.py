"""What a person sees of taint, in the UI and on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assets.behavior.taint.rules import SAID, OfAdapter, OfDataset, Report, Share, Touch
from assets.rendering import Markdown, Metadata, table

SHOWN = 20  # datasets and adapters in a table, the newest


def of_report(report: Report, limit: float) -> Metadata:
    """Shares as numbers, which the UI plots; a table each of adapters and datasets, the newest first; ids by reason."""
    released, newest = report.released, next(reversed(report.datasets), None)
    metadata: Metadata = {"limit": limit, "said": sentence(report, limit)}
    if released is None or released.known:  # the base alone was made of no interactions
        trained = released.trained if released else Share()
        metadata |= {"released_share": trained.share, "released_touched": trained.touched}
        metadata |= {"released_erased": trained.by.get(Touch.ERASED, 0)}
    if newest:
        metadata |= {"newest_dataset_share": newest.whole.share, "newest_dataset_touched": newest.whole.touched}
    if report.adapters:
        head = ("adapter", "dataset", "rows", "touched", "share", "reasons", "answers")
        metadata["adapters"] = table(head, [_adapter_row(one) for one in report.adapters[::-1]], SHOWN)
    if report.datasets:
        head = ("dataset", "number", "rows", "touched", "share", "reasons", "adapters")
        metadata["datasets"] = table(head, [_dataset_row(one) for one in report.datasets[::-1]], SHOWN)
    if newest and newest.ids:
        rows = [(touch, SAID[touch], ", ".join(ids)) for touch, ids in newest.ids.items()]
        metadata["interactions"] = Markdown(table(("reason", "what it means", "the first ids"), rows))
    return metadata


def sentence(report: Report, limit: float) -> str:
    """The taint of what answers, or why there is none."""
    one = report.released
    if one is None:
        return "The base alone answers."
    if not one.known:
        return f"Adapter {one.id} answers, and its dataset {one.dataset[:16]} is not in this lake."
    said = f"{_percent(one.trained)} of the {one.trained.rows:,} rows that adapter {one.id} was trained on do not stand"
    reasons = f" ({one.trained.words()})" if one.trained.touched else ""
    more = "; more than the limit, so a fine-tune is proposed" if one.trained.share > limit else ""
    return f"{said}{reasons}; the limit is {limit:.1%}{more}."


def as_json(report: Report, limit: float) -> dict[str, Any]:
    """What `twohands taint --json` prints of a variant."""
    return {
        "variant": report.variant,
        "limit": limit,
        "said": sentence(report, limit),
        "adapters": [
            {
                "id": one.id,
                "dataset": one.dataset,
                **_share_json(one.trained),
                "erased": one.trained.by.get(Touch.ERASED, 0),
                "released": one.released,
                "dataset_is_there": one.known,
            }
            for one in report.adapters
        ],
        "datasets": [
            {
                "digest": one.digest,
                "number": one.number,
                **_share_json(one.whole),
                "ids": {str(touch): list(ids) for touch, ids in one.ids.items()},
                "adapters": list(one.adapters),
                "released": one.released,
            }
            for one in report.datasets
        ],
    }


def as_text(report: Report, limit: float) -> str:
    """The same for a person."""
    lines = [f"{report.variant}: {sentence(report, limit)}"]
    for one in report.adapters:
        mark = ", answers" if one.released else ""
        told = f"{_percent(one.trained)} ({one.trained.words()})" if one.known else "its dataset is not in this lake"
        lines.append(f"  adapter {one.id}: {told} of {one.trained.rows:,} rows{mark}")
    for one in report.datasets:
        lines.append(f"  dataset {one.digest[:16]}: {_percent(one.whole)} of {one.whole.rows:,} rows")
        lines += [f"    {touch} ({SAID[touch]}): {', '.join(ids)}" for touch, ids in one.ids.items()]
        if erased := one.whole.by.get(Touch.ERASED, 0):
            lines.append(f"    {Touch.ERASED} ({SAID[Touch.ERASED]}): {erased}")
    return "\n".join(lines)


def _share_json(share: Share) -> Mapping[str, Any]:
    by = {str(touch): count for touch, count in share.by.items()}
    return {"rows": share.rows, "touched": share.touched, "share": round(share.share, 6), "by_reason": by}


def _adapter_row(one: OfAdapter) -> tuple[str, ...]:
    known = (f"{one.trained.rows:,}", f"{one.trained.touched:,}", _percent(one.trained), one.trained.words())
    told = known if one.known else ("?", "?", "?", "its dataset is not in this lake")
    return (one.id, one.dataset[:16], *told, "yes" if one.released else "no")


def _dataset_row(one: OfDataset) -> tuple[str, ...]:
    share = one.whole
    told = (f"{share.rows:,}", f"{share.touched:,}", _percent(share), share.words())
    return (one.digest[:16], str(one.number), *told, ", ".join(one.adapters) or "-")


def _percent(share: Share) -> str:
    return f"{share.share:.1%}"
