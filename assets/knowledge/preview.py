"""What a person sees of each stage in the UI: counts, cost, a preview of what changed, a small plot.

Pure: values are numbers and strings.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from assets.knowledge.chunks import ChunksReport
from assets.knowledge.documents import DocumentsReport
from assets.knowledge.history import Point
from assets.knowledge.publish import IndexReport
from assets.knowledge.vectors import Embedded
from assets.rendering import Markdown, Metadata, block, bullets, code, picture, table

PICTURE = 5  # changes that are worth one: importing matplotlib takes 0.6 s, and a small edit should not wait for it


def of_documents(report: DocumentsReport, rejected: Sequence[dict[str, str]]) -> Metadata:
    """Counts of the refresh, what changed, and the refused files with their reasons."""
    metadata: Metadata = {
        "seen": report.seen,
        "parsed": report.parsed,
        "unchanged": report.unchanged,
        "deleted": report.deleted,
        "rejected": report.rejected,
        "waiting": report.waiting,
        "dagster/row_count": report.accepted,
        "bytes": report.bytes,
    }
    if report.revision:
        metadata["revision"] = report.revision
    if report.newest is not None:
        newest = datetime.datetime.fromtimestamp(report.newest, datetime.UTC)
        metadata["newest_document"] = newest.isoformat(timespec="seconds")
    if report.changed:
        metadata["changed"] = bullets(report.changed)
    if rejected:
        rows = [(row["doc_id"], row["reason"], row["detail"]) for row in rejected]
        metadata["refused_files"] = table(("document", "reason", "detail"), rows)
    return metadata


def of_chunks(report: ChunksReport, sizes: Sequence[int]) -> Metadata:
    """Counts, and how long the passages are."""
    metadata: Metadata = {
        "dagster/row_count": report.total,
        "tokens": report.tokens,
        "documents_cut": report.cut_documents,
        "documents_changed": len(report.changed),
        "documents_without_passages": len(report.empty),
    }
    if report.empty:
        metadata["without_passages"] = bullets(report.empty)
    if len(report.changed) >= PICTURE and sizes:
        metadata["sizes"] = picture("passage sizes in tokens", lambda axes: axes.hist(sizes, bins=40))
    return metadata


def of_embeddings(report: Embedded, encoder: str, stored: int) -> Metadata:
    """What went through the encoder and what did not have to."""
    looked_at = report.embedded + report.reused
    return {
        "embedded": report.embedded,
        "embeds_saved": report.reused,
        "saved_share": report.reused / looked_at if looked_at else 1.0,
        "encoder_seconds": round(report.seconds, 3),
        "encoder": encoder,
        "cache_bytes": stored,
    }


def of_index(report: IndexReport, versions: Sequence[Point]) -> Metadata:
    """What was published, how the golden questions fared, and examples of passages that changed."""
    steps = report.plan
    metadata: Metadata = {
        "published_version": report.version or "",
        "dagster/row_count": report.total,
        "kept": steps.kept,
        "added": len(steps.added),
        "moved": len(steps.moved),
        "deleted": len(steps.deleted),
        "rebuilt": int(report.rebuilt),
        "seconds": round(report.seconds, 3),
    }
    for check in report.checks:
        metadata |= {f"gate_{name}": check.facts[name] for name in ("recall_at_5", "mrr") if name in check.facts}
    if report.preview:
        shown = (f"**{what}** {code(passage.doc_id)}\n\n{block(passage.text)}" for what, passage in report.preview)
        metadata["changed_passages"] = Markdown("\n\n".join(shown))
    if len(steps.writes) >= PICTURE and len(versions) > 1:
        metadata["history"] = picture("the last versions", lambda axes: _history(axes, versions))
    return metadata


def _history(axes: Any, versions: Sequence[Point]) -> None:
    numbers = range(1, len(versions) + 1)
    axes.step(numbers, [version.passages for version in versions], where="post", color="tab:blue")
    axes.set_ylabel("passages", color="tab:blue")
    axes.set_xlabel("published version")
    if any(version.recall is not None for version in versions):
        other = axes.twinx()
        other.plot(numbers, [version.recall for version in versions], color="tab:green", marker=".")
        other.set_ylim(0, 1.05)
        other.set_ylabel("recall@5", color="tab:green")
