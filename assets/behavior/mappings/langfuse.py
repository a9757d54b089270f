"""Langfuse exports: traces (or enriched observations) with their scores, from the API (camelCase) or from scheduled
exports to object storage (snake_case, times in UTC without an offset). The table is in docs/interactions.md.

Scores are joined to their trace within the same file: `cat traces.jsonl scores.jsonl > export.jsonl`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assets.behavior.mappings.values import first, latest, mapping, shared, text, time, verdict
from assets.behavior.quarantine import Reason, Rejected

SIGNS = (
    ("traceId", "dataType"),
    ("trace_id", "data_type"),
    ("timestamp", "input", "output", "sessionId"),
    ("timestamp", "input", "output", "session_id"),
    ("timestamp", "input", "output", "htmlPath"),
    ("timestamp", "input", "output", "scores"),
    ("trace_id", "start_time", "input", "output"),
)
SPARSE = (  # of records with few fields: they count where nothing else is told
    ("traceId", "name", "value", "source"),
    ("trace_id", "name", "value", "source"),
    ("timestamp", "input", "output", "updatedAt"),
    ("timestamp", "input", "output", "updated_at"),
)
_FEEDBACK = frozenset({"feedback", "user_feedback", "user_score", "thumbs", "thumbs_up", "user_rating"})
_CORRECTION = frozenset({"correction", "corrected_response", "corrected_output", "expected_output"})


def interactions(records: Sequence[tuple[int, dict[str, Any]]]) -> Iterator[tuple[int, dict[str, Any] | Rejected]]:
    """(line, event of the contract or refusal): one for every trace, and for every score that has none here."""
    traces: dict[str, tuple[int, dict[str, Any]]] = {}
    roots: dict[str, tuple[int, dict[str, Any]]] = {}
    scores: dict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for number, record in records:
        trace = first(record, "traceId", "trace_id")
        if trace is not None and "input" not in record and "output" not in record:
            scores[str(trace)].append((number, record))
        elif trace is not None:
            if first(record, "parentObservationId", "parent_observation_id") is None:
                roots.setdefault(str(trace), (number, record))
        elif record.get("id") is None:
            yield number, Rejected(Reason.UNMAPPED, "neither a trace (id) nor a score or observation (traceId)")
        else:
            traces[str(record["id"])] = (number, record)
            inner = record.get("scores")
            found = [score for score in inner if isinstance(score, dict)] if isinstance(inner, list) else []
            scores[str(record["id"])] += [(number, score) for score in found]
    for key, (number, record) in (roots | traces).items():
        yield number, _event(key, record, [score for _, score in scores.pop(key, [])])
    for left in scores.values():
        for number, _ in left:
            yield number, Rejected(Reason.UNMAPPED, "a score whose trace is not in this file; put both into one")


def _event(key: str, record: Mapping[str, Any], scores: Sequence[Mapping[str, Any]]) -> dict[str, Any] | Rejected:
    at = first(record, "timestamp", "startTime", "start_time")
    if at is None:
        return Rejected(Reason.UNMAPPED, "no timestamp or startTime")
    metadata = mapping(record.get("metadata"))
    ordered = sorted(scores, key=lambda score: time(_at(score)) or "")
    event = {
        "id": key,
        "occurred_at": time(at),
        "received_at": latest(at, first(record, "updatedAt", "updated_at"), *map(_at, scores)),
        "user": first(record, "userId", "user_id"),
        "prompt": text(record.get("input"), "user"),
        "response": text(record.get("output"), "assistant"),
        "release_id": metadata.get("release_id") or first(record, "release", "version") or "unknown",
        **shared(record, metadata),
    }
    for score in ordered:
        event.update(_said(score))
    return event


def _said(score: Mapping[str, Any]) -> dict[str, Any]:
    """What one score says of the contract's fields. A later score of the same kind counts more."""
    name = str(score.get("name", "")).strip().lower().replace("-", "_").replace(" ", "_")
    kind = str(first(score, "dataType", "data_type") or "").upper()
    words = first(score, "stringValue", "string_value", "longStringValue", "long_string_value")
    value = score.get("value")
    if kind == "CORRECTION" or name in _CORRECTION:
        corrected = words if words is not None else (value if isinstance(value, str) else score.get("comment"))
        return {"corrected_response": corrected} if isinstance(corrected, str) else {}
    if name == "schema_ok":
        said = verdict(value if value is not None else words)
        return {"schema_ok": said == "up"} if said else {}
    if name in _FEEDBACK and str(score.get("source", "")).upper() != "EVAL":
        said = verdict(value if value is not None and kind != "CATEGORICAL" else words)
        return {"feedback": said} if said else {}
    return {}


def _at(score: Mapping[str, Any]) -> Any:
    return first(score, "updatedAt", "updated_at", "timestamp", "createdAt", "created_at")
