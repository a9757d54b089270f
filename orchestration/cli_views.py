"""What the command line prints: the JSON objects that scripts rely on, and the same for a person."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from assets.errors import GateRefused, TwohandsError
from assets.knowledge.pipeline import PlanReport, SyncReport
from assets.ports import Hit, Passage


def sync_json(reports: Sequence[SyncReport], errors: Mapping[str, TwohandsError]) -> dict[str, Any]:
    """Totals over the slices. `errors` is there only when a slice failed."""
    shown: dict[str, Any] = {
        "documents": {
            name: sum(getattr(report.documents, name) for report in reports)
            for name in ("seen", "parsed", "rejected", "unchanged")
        },
        "chunks": {
            "total": sum(report.index.total for report in reports),
            "added": sum(len(report.index.plan.added) for report in reports),
            "moved": sum(len(report.index.plan.moved) for report in reports),
            "deleted": sum(len(report.index.plan.deleted) for report in reports),
        },
        "embedded": sum(report.embedded for report in reports),
        "published_version": reports[-1].index.version if reports else None,
        "seconds": round(sum(report.seconds for report in reports), 3),
    }
    if errors:
        shown["errors"] = {
            name: {"refused": isinstance(error, GateRefused), "message": str(error)} for name, error in errors.items()
        }
    return shown


def sync_text(reports: Sequence[SyncReport]) -> str:
    """A line a slice."""
    return "\n".join(_sync_line(report) for report in reports)


def _sync_line(report: SyncReport) -> str:
    found, steps = report.documents, report.index.plan
    refused = f", {found.rejected} refused" if found.rejected else ""
    waiting = f", {found.waiting} still being written" if found.waiting else ""
    done = f"+{len(steps.added)} ~{len(steps.moved)} -{len(steps.deleted)} passages, {report.embedded} embedded"
    what = done if report.index.changed else "nothing to do"
    return (
        f"{report.slice}: {found.seen} documents ({found.parsed} parsed{refused}{waiting}); {what}; "
        f"{report.index.total} published as {report.index.version} in {report.seconds:.2f} s"
    )


def plan_json(reports: Sequence[PlanReport]) -> dict[str, Any]:
    """Totals over the slices; `seconds` is None where the encoder was never timed."""
    seconds = [report.seconds for report in reports]
    return {
        "documents": {
            name: sum(getattr(report.documents, name) for report in reports)
            for name in ("seen", "parsed", "rejected", "unchanged")
        },
        "chunks": {
            "total": sum(report.plan.kept + len(report.plan.writes) for report in reports),
            "added": sum(len(report.plan.added) for report in reports),
            "moved": sum(len(report.plan.moved) for report in reports),
            "deleted": sum(len(report.plan.deleted) for report in reports),
        },
        "embed": sum(report.embed for report in reports),
        "cost": {
            "tokens": sum(report.tokens for report in reports),
            "encoder_seconds": None if None in seconds else round(sum(s for s in seconds if s is not None), 3),
        },
    }


def plan_text(reports: Sequence[PlanReport]) -> str:
    """A line a slice."""
    lines = []
    for report in reports:
        steps = report.plan
        cost = f"about {report.seconds:.1f} s of encoding" if report.seconds is not None else f"{report.tokens} tokens"
        todo = (
            f"+{len(steps.added)} ~{len(steps.moved)} -{len(steps.deleted)} passages, {report.embed} to embed ({cost})"
        )
        lines.append(f"{report.slice}: {'nothing to do' if steps.empty and not report.embed else todo}")
    return "\n".join(lines)


def passage_json(passage: Passage) -> dict[str, Any]:
    """A published passage, as `chunks` prints it."""
    return {
        "chunk_id": passage.chunk_id,
        "doc_id": passage.doc_id,
        "slice": passage.slice,
        "title": passage.title,
        "headings": list(passage.headings),
        "text": passage.text,
        "text_sha": passage.text_sha,
    }


def hits_json(hits: Sequence[Hit]) -> dict[str, Any]:
    """The answer of one search."""
    return {
        "passages": [
            {
                "chunk_id": hit.passage.chunk_id,
                "doc_id": hit.passage.doc_id,
                "title": hit.passage.title,
                "text": hit.passage.text,
                "score": hit.score,
            }
            for hit in hits
        ]
    }


def hits_text(hits: Sequence[Hit]) -> str:
    """Numbered passages, the beginning of each."""
    lines = []
    for number, hit in enumerate(hits, start=1):
        lines.append(f"{number}. {hit.passage.doc_id}  ({hit.score:.3f})")
        lines += ["   " + line for line in hit.passage.text.splitlines() if line.strip()][:5]
    return "\n".join(lines) or "nothing found"


def rejected_text(rows: Sequence[Mapping[str, str]]) -> str:
    """A line a file."""
    return "\n".join(f"{row['doc_id']}: {row['reason']}: {row['detail']}" for row in rows) or "no file was refused"


def status_text(facts: Mapping[str, Any]) -> str:
    """The overview for a terminal."""
    index = facts["index"]
    if "error" in index:
        return f"index: {index['error']}"
    lines = [f"index: {index['engine']}, version {index['version'] or 'none yet'}, {index['passages']} passages"]
    if index["published_at"]:
        lines[0] += f", published {_ago(index['published_at'])}"
    if index["recall_at_5"] is not None:
        lines.append(f"golden questions: recall@5 {index['recall_at_5']:.3f}, MRR {index['mrr']:.3f}")
    for row in facts["slices"]:
        state = "up to date" if row["published"] else "not published yet"
        when = f", last synced {_ago(row['synced'])}" if row["synced"] else ""
        if not when and row["changed"]:
            when = f", last changed {_ago(row['changed'])}"
        newest = f", newest document {_ago(row['newest'])}" if row["newest"] else ""
        lines.append(
            f"{row['slice']}: {row['documents']} documents, {row['passages']} passages, "
            f"{row['rejected']} refused; {state}{when}{newest}"
        )
    return "\n".join(lines)


def doctor_text(checks: Sequence[Mapping[str, Any]]) -> str:
    """A line a check."""
    return "\n".join(f"{'ok  ' if row['ok'] else 'FAIL'} {row['name']}: {row['detail']}" for row in checks)


def _ago(moment: str) -> str:
    seconds = (datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(moment)).total_seconds()
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} seconds ago"
