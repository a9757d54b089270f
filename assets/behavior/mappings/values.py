"""What other formats' values mean: texts, messages, verdicts, times. Shared by the mappings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

UP = frozenset({"up", "thumbs_up", "thumbsup", "positive", "good", "like", "liked", "yes", "true", "correct", "👍"})
DOWN = frozenset(
    {"down", "thumbs_down", "thumbsdown", "negative", "bad", "dislike", "disliked", "no", "false", "incorrect", "👎"}
)
_TEXT_KEYS = ("content", "text", "answer", "response", "output", "question", "query", "prompt", "input")


def first(record: Mapping[str, Any], *names: str) -> Any:
    """The first of these keys that is there and not null."""
    return next((record[name] for name in names if record.get(name) is not None), None)


def unpacked(value: Any) -> Any:
    """A JSON text as what it holds; anything else as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def mapping(value: Any) -> dict[str, Any]:
    """An object, or the JSON text of one; empty where it is neither."""
    found = unpacked(value)
    return found if isinstance(found, dict) else {}


def listed(value: Any) -> list[Any] | None:
    """A list, or the JSON text of one; None where it is neither."""
    found = unpacked(value)
    return found if isinstance(found, list) else None


def content(message: Any) -> str | None:
    """The text of a chat message: its content (text parts joined), its refusal, or its tool calls as JSON."""
    if not isinstance(message, dict):
        return message if isinstance(message, str) else None
    found = message.get("content")
    if isinstance(found, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in found]
        found = "\n".join(part for part in parts if isinstance(part, str))
    if isinstance(found, str) and found:
        return found
    if isinstance(message.get("refusal"), str):
        return message["refusal"]
    calls = message.get("tool_calls")
    return json.dumps(calls, ensure_ascii=False, sort_keys=True) if calls else found


def last_message(messages: Any, *roles: str) -> str | None:
    """The text of the last message with one of these roles."""
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, dict) and message.get("role") in roles:
            return content(message)
    return None


def text(value: Any, *roles: str) -> str | None:
    """A question or an answer out of any common shape; JSON where the shape is none of them."""
    whole = unpacked(value)
    if whole is None or (isinstance(whole, str) and not isinstance(value, str)):
        return whole
    if isinstance(whole, str):
        return whole
    if isinstance(whole, list):
        return last_message(whole, *roles) or _json(whole)
    if isinstance(whole, dict):
        if isinstance(whole.get("messages"), list):
            return last_message(whole["messages"], *roles)
        if whole.get("choices"):
            return answer(whole)
        found = first(whole, *_TEXT_KEYS)
        return content({"content": found}) if isinstance(found, str | list) else _json(whole)
    return _json(whole)


def answer(completion: Any) -> str | None:
    """The text of a chat completion's first choice."""
    choices = completion.get("choices") if isinstance(completion, dict) else None
    chosen = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    return content(chosen.get("message")) if "message" in chosen else chosen.get("text")


def verdict(value: Any) -> str | None:
    """up or down: words, true and false, numbers above 0 and not; None where it says neither."""
    if isinstance(value, bool):
        return "up" if value else "down"
    if isinstance(value, int | float):
        return "up" if value > 0 else "down"
    if isinstance(value, str):
        word = value.strip().lower().replace("-", "_").replace(" ", "_")
        if word in UP or word in DOWN:
            return "up" if word in UP else "down"
        try:
            return verdict(float(word))
        except ValueError:
            return None
    return None


def time(value: Any) -> str | None:
    """A time as RFC 3339: unix seconds, or a text. A text without an offset is UTC, as these exports have it."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        try:
            return datetime.fromtimestamp(value, UTC).isoformat()
        except (OverflowError, ValueError, OSError):
            return str(value)
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)  # the contract's reader says what is wrong with it
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()


def latest(*times: Any) -> str | None:
    """The latest of some times, None among them ignored."""
    known = [found for found in map(time, times) if found is not None]
    try:
        return max(known, key=datetime.fromisoformat, default=None)
    except (ValueError, TypeError):
        return known[0]


def shared(record: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the contract that both formats carry under their own names, in the record or its metadata."""
    found = {name: first(record, name) for name in ("variant", "topic", "schema_ok")}
    found = {name: value if value is not None else metadata.get(name) for name, value in found.items()}
    passages = listed(first(record, "passages")) or listed(metadata.get("passages"))
    return found | {"passages": passages or [], "tags": first(record, "tags") or metadata.get("tags")}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
