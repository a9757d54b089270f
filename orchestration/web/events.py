"""Exchanges and feedback as interaction events (docs/interactions.md): what the slow hand reads.

Feedback is the same id again, whole, received later. Every line begins with id and times and ends with its tags:
`recent` finds events by the first, and tells whole lines from half ones by the last.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from assets.behavior.interactions import parse
from assets.behavior.quarantine import Rejected
from assets.errors import BadQuestion
from assets.serving.answers import Answer

TAG = "served"
KEEP: Any = object()  # of a correction: as it was


def new_id(at: datetime) -> str:
    """An id that nobody guesses: whoever knows it was given the answer."""
    return f"int-{at.date()}-{secrets.token_hex(12)}"


def exchange(id: str, at: datetime, question: str, answer: Answer, *, user: str | None = None) -> dict[str, Any]:
    """The event of one answered question."""
    tags = [
        TAG,
        *(["refused"] if answer.refused else []),
        *([f"fallback: {answer.fallback}"] if answer.fallback else []),
    ]
    return {
        "id": id,
        "occurred_at": _time(at),
        "received_at": _time(at),
        "user": user,
        "variant": answer.stamp.get("variant", "main"),
        "prompt": question,
        "response": answer.text,
        "passages": [
            {"chunk_id": one.chunk_id, "doc_id": one.doc_id, "text_sha": one.text_sha} for one in answer.passages
        ],
        "release_id": answer.release_id,
        "feedback": "none",
        "corrected_response": None,
        "tags": tags,
    }


def revised(
    event: Mapping[str, Any], at: datetime, feedback: str | None, corrected_response: str | None = KEEP
) -> dict[str, Any]:
    """The event with what a person said of it now; None keeps the former thumb. Received after its former version."""
    former = datetime.fromisoformat(event["received_at"])
    change: dict[str, Any] = {"received_at": _time(max(at, former + timedelta(microseconds=1)))}
    if feedback is not None:
        change["feedback"] = feedback
    if corrected_response is not KEEP:
        change["corrected_response"] = corrected_response
    return {**event, **change}


def line(event: Mapping[str, Any], most: int) -> bytes:
    """One line of the journal, of at most so many bytes. BadQuestion for what ingestion would put aside."""
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    try:
        data = text.encode()
        parse(data)
    except (UnicodeEncodeError, Rejected) as error:
        detail = "half of a surrogate pair" if isinstance(error, UnicodeEncodeError) else error.detail
        raise BadQuestion(
            f"this cannot be noted: {detail}",
            expected="text in Unicode, without NUL",
            next_step="send it as plain text",
        ) from None
    if len(data) > most:
        raise BadQuestion(
            f"question, answer and correction together have {len(data):,} bytes",
            expected=f"at most {most:,} (behavior.max_line_kilobytes)",
            next_step="shorten it",
        )
    return data + b"\n"


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
