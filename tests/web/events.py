"""Events as tests of the journal write them."""

from __future__ import annotations

from datetime import UTC, datetime

from orchestration.web import events

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def event(id: str, at: datetime = NOON, **more) -> dict:
    time = at.isoformat(timespec="microseconds")
    return {"id": id, "occurred_at": time, "received_at": time, "prompt": "When?", "response": "At seven.",
            "passages": [{"chunk_id": "c", "doc_id": "d", "text_sha": "a" * 64}], "release_id": "r",
            "feedback": "none", "corrected_response": None, **more, "tags": ["served"]}  # fmt: skip


def line(id: str, at: datetime = NOON, **more) -> bytes:
    return events.line(event(id, at, **more), 1 << 20)
