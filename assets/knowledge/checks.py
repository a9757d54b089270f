"""The fast hand's asset checks: their specs, and how pure results become Dagster's."""

from __future__ import annotations

import time
from collections.abc import Iterator

import dagster as dg

from assets.knowledge.candidate_checks import Check
from assets.knowledge.chunks import ChunksReport
from assets.knowledge.documents import DocumentsReport
from assets.rendering import bullets

DOCUMENTS = dg.AssetKey(["knowledge", "documents"])
CHUNKS = dg.AssetKey(["knowledge", "chunks"])
INDEX = dg.AssetKey(["knowledge", "index"])

DOCUMENT_CHECKS = [
    dg.AssetCheckSpec(
        name="refused_share",
        asset=DOCUMENTS,
        description="The share of files that could not be accepted is below a threshold.",
    ),
    dg.AssetCheckSpec(
        name="newest_document_age",
        asset=DOCUMENTS,
        description="Somebody still edits this source: its newest document is not too old.",
    ),
]
CHUNK_CHECKS = [
    dg.AssetCheckSpec(
        name="every_document_has_passages",
        asset=CHUNKS,
        description="No accepted document is without a passage: such a one is never found.",
    )
]
INDEX_CHECKS = [
    dg.AssetCheckSpec(
        name="desired_equals_published",
        asset=INDEX,
        blocking=True,
        description="The candidate holds exactly the desired passages: no orphans, none missing, none outdated.",
    ),
    dg.AssetCheckSpec(
        name="encoder_matches_index",
        asset=INDEX,
        blocking=True,
        description="The stored vectors are those that the configured encoder makes of the stored texts.",
    ),
    dg.AssetCheckSpec(
        name="retrieval_gate",
        asset=INDEX,
        blocking=True,
        description="recall@5 and MRR on the golden questions are not worse than the published version's by more "
        "than the margins. A failure leaves the published version in place.",
    ),
]


def document_results(
    report: DocumentsReport, *, max_refused_share: float, max_age_days: float
) -> Iterator[dg.AssetCheckResult]:
    """Refused share (ERROR) and age of the newest document (WARN); neither blocks what is downstream."""
    share = report.rejected / report.seen if report.seen else 0.0
    yield dg.AssetCheckResult(
        check_name="refused_share",
        asset_key=DOCUMENTS,
        passed=share <= max_refused_share,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{report.rejected} of {report.seen} files refused ({share:.1%}; limit {max_refused_share:.0%}). "
        "`twohands rejected` names them.",
        metadata={"refused": report.rejected, "share": share, "limit": max_refused_share},
    )
    age = (time.time() - report.newest) / 86_400 if report.newest is not None else None
    yield dg.AssetCheckResult(
        check_name="newest_document_age",
        asset_key=DOCUMENTS,
        passed=age is None or age <= max_age_days,
        severity=dg.AssetCheckSeverity.WARN,
        description="the source gives no dates" if age is None else f"the newest document is {age:.1f} days old",
        metadata={"limit_days": max_age_days} | ({} if age is None else {"age_days": age}),
    )


def chunks_result(report: ChunksReport) -> dg.AssetCheckResult:
    """Accepted documents without a passage (WARN)."""
    return dg.AssetCheckResult(
        check_name="every_document_has_passages",
        asset_key=CHUNKS,
        passed=not report.empty,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(report.empty)} documents have no passage. `twohands rejected` names them.",
        metadata={"documents": dg.MetadataValue.md(bullets(report.empty))} if report.empty else {},
    )


def index_result(check: Check) -> dg.AssetCheckResult:
    """A candidate's check, as the UI shows it."""
    return dg.AssetCheckResult(
        check_name=check.name,
        asset_key=INDEX,
        passed=check.passed,
        severity=dg.AssetCheckSeverity.ERROR,
        description=check.summary,
        metadata=dict(check.facts),
    )
