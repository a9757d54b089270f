"""Logs in other formats to interactions: OpenAI-style chat logs with feedback, and Langfuse trace and score exports.

Each record becomes one line of the contract (docs/interactions.md has the tables), which is then read like any other;
a record that cannot be mapped is quarantined with its line. Exports may be JSON lines, an array, or one object.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from assets.behavior.landing.lines import GZIP, Cutter, Inflater, Limits, plain_chunks
from assets.behavior.mappings import langfuse, openai
from assets.behavior.quarantine import Reason, Rejected, unreadable

Record = tuple[int, dict[str, Any]]  # the number of its line, or of its place in an array, from 1
_SNIFFED = 64 << 10
_TAIL = 8  # characters: half a word or an escape at the end of a text is reported where it begins
_MAPPERS: Mapping[str, Callable[[Sequence[Record]], Iterator[tuple[int, dict[str, Any] | Rejected]]]] = {
    "openai": openai.interactions,
    "langfuse": langfuse.interactions,
}
_SIGNS = (("langfuse", langfuse.SIGNS), ("openai", openai.SIGNS), ("langfuse", langfuse.SPARSE))


def sniff(data: bytes, *, packed: bool) -> str:
    """Which format a file has, by its beginning: openai and langfuse where that is plain, else interactions."""
    head = data[:_SNIFFED]
    if packed:
        head = next(iter(Inflater(data[:_SNIFFED], Limits()).chunks()), b"")[:_SNIFFED]
    if b'"occurred_at"' in head and b'"received_at"' in head:
        return "interactions"
    for name, signs in _SIGNS:
        if any(all(f'"{key}"'.encode() in head for key in keys) for keys in signs):
            return name
    return "interactions"


def whole(data: bytes) -> bytes:
    """What is whole of a plain file that somebody may still be writing to: all of it but half a last line."""
    end = data.rfind(b"\n") + 1
    if data.startswith(GZIP) or not data[end:].strip() or _is_object(data[end:]) or _document(data) is not None:
        return data
    return data if _is_document(data) else data[:end]


def lines(data: bytes, kind: str, limits: Limits) -> Iterator[tuple[int, bytes | Rejected]]:
    """(number, line of the contract or refusal) of every record. Raises Rejected for the file as a whole."""
    records: list[Record] = []
    for number, found in _records(_text(data, limits), limits):
        if isinstance(found, Rejected):
            yield number, found
        else:
            records.append((number, found))
    for number, found in _MAPPERS[kind](records):
        if isinstance(found, Rejected):
            yield number, found
        else:
            present = {key: value for key, value in found.items() if value is not None}
            yield number, json.dumps(present, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _text(data: bytes, limits: Limits) -> bytes:
    if not data.startswith(GZIP):
        return data
    inflater = Inflater(data, limits)
    whole = b"".join(inflater.chunks())
    if inflater.problem or inflater.incomplete:
        raise Rejected(
            inflater.problem or Reason.TRUNCATED, "the gzip stream is damaged or ends early: nothing is read"
        )
    return whole


def _records(data: bytes, limits: Limits) -> Iterator[tuple[int, dict[str, Any] | Rejected]]:
    whole = _document(data)
    if whole is not None:
        for number, record in enumerate(whole, start=1):
            yield number, record if isinstance(record, dict) else Rejected(Reason.NOT_AN_OBJECT, "not an object")
        return
    if _is_document(data):
        raise _broken(data)
    cutter, number = Cutter(limits.line_bytes), 0
    for chunk in [*plain_chunks(data, 0), b"\n"]:
        for line in cutter.feed(chunk):
            number += 1
            if line is None:
                yield number, Rejected(Reason.LINE_TOO_LONG, f"longer than {limits.line_bytes:,} bytes")
            elif line.strip():
                yield number, _record(line.strip())


def _document(data: bytes) -> Sequence[Any] | None:
    """The records of a file that is one JSON text: an array, or an object around `data`, or around named lists."""
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start not in (b"[", b"{"):
        return None
    if start == b"{" and _is_object(data.strip(b"\xef\xbb\xbf \t\r\n").split(b"\n", 1)[0]) and b"\n{" in data:
        return None  # JSON lines
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if isinstance(whole, dict):
        lists = [
            whole[name] for name in ("data", "traces", "observations", "scores") if isinstance(whole.get(name), list)
        ]
        return [record for found in lists for record in found] if lists else [whole]
    return whole if isinstance(whole, list) else None


def _is_document(data: bytes) -> bool:
    """Whether a file begins as one JSON text over several lines, and not as JSON lines."""
    first = data.lstrip(b"\xef\xbb\xbf \t\r\n").split(b"\n", 1)[0].strip()
    return first == b"{" or (first.startswith(b"[") and not _is_json(first))


def _broken(data: bytes) -> Rejected:
    """Why one JSON text cannot be read."""
    try:
        json.loads(data)
    except UnicodeDecodeError:
        return unreadable(data, "")
    except json.JSONDecodeError as error:
        early = error.pos >= len(error.doc.rstrip()) - _TAIL or "Unterminated" in error.msg
        why = "it ends in the middle of its JSON" if early else f"not JSON at line {error.lineno}"
        return Rejected(Reason.TRUNCATED if early else Reason.NOT_JSON, f"{why}: nothing of it is read")
    except RecursionError:
        return Rejected(Reason.NOT_JSON, "nested too deeply: nothing of it is read")
    return Rejected(Reason.NOT_AN_OBJECT, "JSON, but no records")


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _record(line: bytes) -> dict[str, Any] | Rejected:
    try:
        found = json.loads(line)
    except UnicodeDecodeError:
        return unreadable(line, "")
    except (ValueError, RecursionError) as error:
        ends = "EOF while parsing" if getattr(error, "pos", 0) >= len(line) - 1 or "Unterminated" in str(error) else ""
        return unreadable(line, ends)
    return found if isinstance(found, dict) else Rejected(Reason.NOT_AN_OBJECT, "JSON, but not an object")
