"""OpenAI-style chat logs with feedback: requests and completions, one object each (see docs/interactions.md).

A record without messages that has feedback for another's id (`completion_id`, `request_id`, `id`) is joined to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assets.behavior.mappings.values import (
    answer,
    content,
    first,
    last_message,
    latest,
    mapping,
    shared,
    text,
    time,
    verdict,
)
from assets.behavior.quarantine import Reason, Rejected

SIGNS = (("messages",), ("choices", "model"), ("object", "chat.completion"))
_IDS = ("id", "custom_id", "request_id", "completion_id")
_CORRECTED = ("corrected_response", "correction", "corrected", "ideal", "edited_response")


def interactions(records: Sequence[tuple[int, dict[str, Any]]]) -> Iterator[tuple[int, dict[str, Any] | Rejected]]:
    """(line, event of the contract or refusal) for every record that is not feedback joined to another."""
    later: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    calls = []
    for number, record in records:
        if _messages(record) is None and _answer(record) is None and not record.get("deleted"):
            later.setdefault(str(first(record, "completion_id", "request_id", "id")), []).append((number, record))
        else:
            calls.append((number, record))
    for number, record in calls:
        yield number, _event(record, [f for key in _keys(record) for _, f in later.pop(key, [])])
    for left in later.values():
        for number, _ in left:
            yield number, Rejected(Reason.UNMAPPED, "neither messages nor an answer, and no record has its id")


def _event(record: dict[str, Any], later: Sequence[dict[str, Any]]) -> dict[str, Any] | Rejected:
    request, completion = _request(record), _completion(record)
    metadata = mapping(record.get("metadata")) or mapping(request.get("metadata"))
    created = first(record, "created", "created_at", "timestamp") or first(completion, "created", "created_at")
    known = next(iter(_keys(record)), None)
    if known is None or created is None:
        return Rejected(Reason.UNMAPPED, "no id" if known is None else "no created, created_at or timestamp")
    given = [found for source in (record, metadata, *later) if (found := _feedback(source))]
    times = [found.get("at") for found in given]
    event = {
        "id": known,
        "occurred_at": time(created),
        "received_at": latest(created, *times, first(record, "received_at", "updated_at")),
        "user": first(record, "user", "safety_identifier") or first(request, "user") or metadata.get("user_id"),
        "deleted": record.get("deleted"),
        "feedback": _last(given, "verdict"),
        "corrected_response": _last(given, "corrected"),
        "release_id": metadata.get("release_id")
        or first(record, "release_id", "system_fingerprint", "model")
        or first(completion, "model")
        or first(request, "model")
        or "unknown",
        **shared(record, metadata),
    }
    return event | {"prompt": last_message(_messages(record), "user"), "response": _answer(record)}


def _feedback(record: Mapping[str, Any]) -> dict[str, Any]:
    """Verdict, corrected answer and time of the feedback in a record; empty where there is none."""
    given = record.get("feedback")
    inner = given if isinstance(given, dict) else {}
    said = verdict(first(inner, "rating", "score", "value", "thumbs", "label")) if inner else verdict(given)
    if said is None:
        said = verdict(first(record, "rating", "thumbs"))
    corrected = text(first(inner, *_CORRECTED) or first(record, *_CORRECTED), "assistant")
    if said is None and corrected is None:
        return {}
    at = first(inner, "created_at", "updated_at", "timestamp", "created")
    if at is None and _messages(record) is None:
        at = first(record, "created_at", "updated_at", "timestamp", "created")
    return {"verdict": said, "corrected": corrected, "at": at}


def _last(given: Sequence[Mapping[str, Any]], name: str) -> Any:
    known = [found for found in given if found.get(name) is not None]
    dated = sorted(known, key=lambda found: time(found["at"]) or "")
    return dated[-1][name] if dated else None


def _keys(record: Mapping[str, Any]) -> list[str]:
    return [str(record[name]) for name in _IDS if record.get(name) is not None]


def _request(record: Mapping[str, Any]) -> Mapping[str, Any]:
    found = mapping(first(record, "request", "body", "kwargs"))
    return mapping(found.get("body")) or found


def _completion(record: Mapping[str, Any]) -> Mapping[str, Any]:
    found = mapping(first(record, "response", "completion"))
    return mapping(found.get("body")) or found


def _messages(record: Mapping[str, Any]) -> list[Any] | None:
    found = first(record, "messages") or first(_request(record), "messages") or first(record, "input")
    return found if isinstance(found, list) else None


def _answer(record: Mapping[str, Any]) -> str | None:
    """The completion's first choice; a plain text; else the last message where that is the assistant's."""
    found = answer(record) or answer(_completion(record)) or first(record, "output_text")
    if found is None and isinstance(first(record, "response", "completion"), str):
        found = first(record, "response", "completion")
    messages = _messages(record)
    if found is None and messages and isinstance(messages[-1], dict) and messages[-1].get("role") == "assistant":
        found = content(messages[-1])
    return found
