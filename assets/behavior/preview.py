"""What a person sees of the slow hand's data in the UI: counts, reasons, verdicts with their evidence, a small plot."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from assets.behavior.days import DayReport
from assets.behavior.gaps import Gap, markdown
from assets.behavior.landing.folder import IngestReport
from assets.behavior.pipeline import AttributionReport
from assets.behavior.reference import ReferenceReport
from assets.rendering import Markdown, Metadata, block, code, picture, table

QUOTES = ("examples", "report")  # metadata that repeat what people wrote, where they may
PICTURE_DAYS = 5  # days that are worth a plot


def of_ingest(report: IngestReport) -> Metadata:
    """What the landing folder and the warehouse's logs brought."""
    metadata: Metadata = {
        "files_read": report.files,
        "accepted": report.accepted,
        "corrected": report.corrected,
        "deleted": report.deleted,
        "quarantined": report.quarantined,
        "waiting": report.waiting,
        "ingest_seconds": round(report.seconds, 3),
    }
    if left_out := report.left_out():
        metadata["files_not_read"] = table(("file", "why"), list(left_out.items()))
    if report.reasons:
        rows = [(reason, str(count)) for reason, count in sorted(report.reasons.items(), key=lambda item: -item[1])]
        metadata["quarantine_reasons"] = table(("reason", "lines"), rows)
    return metadata


def of_interactions(report: DayReport) -> Metadata:
    """One day, after de-duplication."""
    return {"dagster/row_count": report.rows, "corrected": report.corrected, "deleted": report.deleted}


def of_reference(report: ReferenceReport) -> Metadata:
    """What is frozen, and from which days."""
    metadata: Metadata = {"frozen": int(report.frozen), "topics": report.topics}
    if report.first_day and report.last_day:
        metadata["days"] = f"{report.first_day} to {report.last_day}"
    return metadata


def of_attributions(reports: Sequence[AttributionReport], *, quote: bool = True) -> Metadata:
    """Failures by verdict and kind, some with their evidence, and the verdicts of each day.

    Evidence says what people wrote: without `quote` an example is its id, and the rule that was followed.
    """
    verdicts, kinds = Counter[str](), Counter[str]()
    for report in reports:
        verdicts.update(report.verdicts)
        kinds.update(report.kinds)
    metadata: Metadata = {"dagster/row_count": sum(report.rows for report in reports)}
    metadata |= {name: verdicts[name] for name in ("knowledge", "behavior", "unclear")}
    if kinds:
        metadata["kinds"] = table(("verdict/kind", "failures"), [(kind, str(n)) for kind, n in kinds.most_common()])
    examples = [example for report in reports for example in report.examples][:5]
    if examples:
        metadata["examples" if quote else "failed"] = Markdown("\n\n".join(_example(row, quote) for row in examples))
    if len(reports) >= PICTURE_DAYS:
        metadata["by_day"] = _by_day(reports)
    return metadata


def _example(row: Mapping[str, str], quote: bool) -> str:
    said = str(row["evidence"]) if quote else f"{row['id']}: {json.loads(row['evidence'] or '{}').get('rule', '')}"
    return f"**{row['verdict']}** {code(str(row['kind']))}\n\n{block(said)}"


def _by_day(reports: Sequence[AttributionReport]) -> Markdown:
    def draw(axes) -> None:  # noqa: ANN001 - matplotlib's
        days = [report.day for report in reports]
        for verdict, color in (("knowledge", "tab:blue"), ("behavior", "tab:orange"), ("unclear", "tab:gray")):
            axes.plot(days, [report.verdicts.get(verdict, 0) for report in reports], color=color, label=verdict)
        axes.legend(fontsize=7)
        axes.tick_params(axis="x", labelsize=6, rotation=30)

    return picture("failures a day", draw)


def of_daily(rows: Iterable[Mapping[str, object]]) -> Metadata:
    """A day's counts over all variants and topics: of how many interactions how many had the event."""
    eligible, having = Counter[str](), Counter[str]()
    for row in rows:
        eligible[str(row["event"])] += int(str(row["n"]))
        having[str(row["event"])] += int(str(row["S"]))
    shown = [(event, str(n), str(having[event]), f"{having[event] / n:.1%}") for event, n in sorted(eligible.items())]
    return {"interactions": eligible["labelled"], "counts": table(("event", "n", "S", "share"), shown)}


def of_gaps(found: Sequence[Gap], *, quote: bool = True) -> Metadata:
    """The corpus report; without `quote` it names interactions by their ids alone."""
    return {
        "dagster/row_count": len(found),
        "failures": sum(gap.failures for gap in found),
        "report": Markdown(markdown(found, quote=quote)),
    }
