"""The corpus report: failures for want of knowledge, as a ranked list of documents to fix or write.

kind               what to do
missing_document   write a document about the topic
stale_passage      update the document, or re-index it: an outdated passage of it was shown
retrieval_miss     make the document findable: it has the fact, and was not shown
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa

EXAMPLES, PROMPT_CHARACTERS = 5, 120
_MARKDOWN = re.compile(r"([\\`*_\[\]!|~])")  # what means something inside a cell


@dataclass(frozen=True, slots=True)
class Gap:
    """One document to fix or write. `users` is at least how many people met it; days are inclusive."""

    action: str
    kind: str
    doc_id: str | None
    topics: tuple[str, ...]
    variants: tuple[str, ...]
    failures: int
    users: int
    first_day: date
    last_day: date
    example_ids: tuple[str, ...]
    example_prompt: str


def report(rows: pa.Table, limit: int) -> list[Gap]:
    """The gaps with the most failures, then users, then the latest, at most `limit`.

    rows: variant, kind, doc_id, topic, failures, users, first_day, last_day, example_ids (a JSON list), example_prompt.
    Rows of one kind about one document are one gap, whatever their variant and topic; without a document, rows of one
    kind and one topic are.
    """
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows.to_pylist():
        topic = "" if row["doc_id"] else row["topic"] or ""
        groups.setdefault((row["kind"] or "", row["doc_id"] or "", topic), []).append(row)
    gaps = [_gap(kind, doc_id or None, found) for (kind, doc_id, _), found in groups.items()]
    gaps.sort(key=lambda gap: (-gap.failures, -gap.users, -gap.last_day.toordinal(), gap.action))
    return gaps[: max(limit, 0)]


def markdown(gaps: Sequence[Gap], *, quote: bool = True) -> str:
    """A table for the UI. What people wrote is cut, and escaped: it cannot add markup, images, links or rows.

    Without `quote` the examples are ids of interactions, and no prompt.
    """
    if not gaps:
        return "No answer failed for want of knowledge."
    lines = ["| # | What to do | Failures | People | Since | Last | For example |", "|--:|---|--:|--:|---|---|---|"]
    for place, gap in enumerate(gaps, 1):
        cells = (
            str(place),
            _escaped(_line(gap.action, 2 * PROMPT_CHARACTERS)),
            f"{gap.failures:,}",
            f"{gap.users:,}",
            gap.first_day.isoformat(),
            gap.last_day.isoformat(),
            quoted(gap.example_prompt if quote else ", ".join(gap.example_ids)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def quoted(text: str) -> str:
    """A text as a cell of that table shows it."""
    return _escaped(_line(text, PROMPT_CHARACTERS))


def as_json(gaps: Iterable[Gap]) -> list[dict[str, Any]]:
    """What `twohands gaps --json` prints, ready for `json.dumps`."""
    return [
        {
            "action": gap.action,
            "kind": gap.kind,
            "doc_id": gap.doc_id,
            "topics": list(gap.topics),
            "variants": list(gap.variants),
            "failures": gap.failures,
            "users": gap.users,
            "first_day": gap.first_day.isoformat(),
            "last_day": gap.last_day.isoformat(),
            "example_ids": list(gap.example_ids),
            "example_prompt": gap.example_prompt,
        }
        for gap in gaps
    ]


def _gap(kind: str, doc_id: str | None, rows: list[dict[str, Any]]) -> Gap:
    rows.sort(key=lambda row: (-row["failures"], str(row["variant"]), str(row["topic"])))
    ids = dict.fromkeys(one for row in rows for one in _ids(row))
    topics = tuple(sorted({row["topic"] for row in rows if row["topic"]}))
    return Gap(
        _action(kind, doc_id, topics),
        kind,
        doc_id,
        topics,
        tuple(sorted({row["variant"] for row in rows if row["variant"]})),
        sum(row["failures"] for row in rows),
        max(row["users"] or 0 for row in rows),  # the same person may stand in several rows
        min(_day(row["first_day"]) for row in rows),
        max(_day(row["last_day"]) for row in rows),
        tuple(list(ids)[:EXAMPLES]),
        next((row["example_prompt"] for row in rows if row["example_prompt"]), ""),
    )


def _action(kind: str, doc_id: str | None, topics: Sequence[str]) -> str:
    about = ", ".join(topics) or "what was asked"
    if kind == "missing_document":
        return f"extend {doc_id}: it does not say what was asked" if doc_id else f"write a document about {about}"
    target = doc_id or f"the documents about {about}"
    if kind == "stale_passage":
        return f"update {target}, or re-index: outdated text was shown"
    if kind == "retrieval_miss":
        return f"make {target} findable: add the words people use"
    return f"look into {target} ({kind or 'no kind'})"


def _ids(row: Mapping[str, Any]) -> list[str]:
    try:
        found = json.loads(row["example_ids"] or "[]")
    except ValueError:
        return []
    return [str(one) for one in found] if isinstance(found, list) else []


def _day(value: date | datetime | str) -> date:
    """Warehouses give dates, timestamps or texts."""
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, date) else date.fromisoformat(value[:10])


def _line(text: str, limit: int) -> str:
    """One line without control characters (also those that turn the direction of text), cut with an ellipsis."""
    line = " ".join("".join(" " if unicodedata.category(one)[0] in "CZ" else one for one in text[: 8 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _escaped(line: str) -> str:
    """Text as Markdown shows it literally: inside a table, with HTML allowed, without links that make themselves."""
    html = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", html).replace("\\|", "&#124;").replace("://", "&#58;//")
