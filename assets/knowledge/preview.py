"""What a person sees of each stage in the UI: counts, cost, a preview of what changed, a small plot.

Pure: values are numbers and strings; `Markdown` marks those that hold Markdown. Text of documents is quoted as code, so
that nothing in a document can format, link or load anything in the UI.
"""

from __future__ import annotations

import base64
import datetime
import io
from collections.abc import Sequence
from typing import Any

from assets.knowledge.chunks import ChunksReport
from assets.knowledge.documents import DocumentsReport
from assets.knowledge.history import Point
from assets.knowledge.publish import IndexReport
from assets.knowledge.vectors import Embedded

ROWS = 12  # of a table in the UI
CHARACTERS = 240  # of a passage in a preview
PICTURE = 5  # changes that are worth one: importing matplotlib takes 0.6 s, and a small edit should not wait for it

Metadata = dict[str, "int | float | str | Markdown"]


class Markdown(str):
    """A string that holds Markdown."""

    __slots__ = ()


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
        metadata["changed"] = Markdown(_list(report.changed))
    if rejected:
        rows = [(row["doc_id"], row["reason"], row["detail"]) for row in rejected]
        metadata["refused_files"] = Markdown(_table(("document", "reason", "detail"), rows))
    return metadata


def of_chunks(report: ChunksReport, sizes: Sequence[int]) -> Metadata:
    """Counts, and how long the passages are."""
    metadata: Metadata = {
        "dagster/row_count": report.total,
        "tokens": report.tokens,
        "documents_cut": report.cut_documents,
        "documents_changed": len(report.changed),
    }
    if len(report.changed) >= PICTURE and sizes:
        metadata["sizes"] = Markdown(_picture("passage sizes in tokens", lambda axes: axes.hist(sizes, bins=40)))
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
        shown = (f"**{what}** {_code(passage.doc_id)}\n\n{_block(passage.text)}" for what, passage in report.preview)
        metadata["changed_passages"] = Markdown("\n\n".join(shown))
    if len(steps.writes) >= PICTURE and len(versions) > 1:
        metadata["history"] = Markdown(_picture("the last versions", lambda axes: _history(axes, versions)))
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


def _picture(title: str, draw: Any) -> str:
    """A small PNG inside Markdown."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 2.4), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=10)
    draw(axes)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return f"![{title}](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})"


def _list(items: Sequence[str]) -> str:
    shown = [f"- {_code(item)}" for item in items[:ROWS]]
    return "\n".join([*shown, *_more(len(items))])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(_code(cell) for cell in row) + " |" for row in rows[:ROWS]]
    return "\n".join([*lines, "", *_more(len(rows))])


def _more(count: int) -> list[str]:
    return [f"\n... and {count - ROWS} more"] if count > ROWS else []


def _code(text: str) -> str:
    return "`" + " ".join(text.split()).replace("`", "'").replace("|", "¦")[:CHARACTERS] + "`"


def _block(text: str) -> str:
    cut = text if len(text) <= CHARACTERS else text[:CHARACTERS] + " ..."
    return "\n".join("    " + line for line in cut.splitlines())
