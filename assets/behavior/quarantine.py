"""Why a line of a landing file was not accepted. Nothing here ever repeats what the line says: it may be personal.

| reason | the line, or the file |
|---|---|
| truncated | ends in the middle of its JSON, or the file ends in the middle of a line or a stream and stays so |
| binary | holds control bytes: not a text |
| wrong_encoding | is a text, but not UTF-8 |
| nul | holds a NUL character |
| lone_surrogate | holds half of a surrogate pair |
| not_json | is UTF-8 text, but not JSON |
| not_an_object | is JSON, but not an object |
| duplicate_key | an object names a key twice |
| line_too_long | is longer than the limit |
| missing_field, wrong_type | a required field is not there; a field has another type or value than the contract's |
| no_utc_offset, impossible_date | no offset; a time that does not exist |
| too_old, future_dated, clock_skewed | occurred before the first day, or after now; received before it occurred |
| corrupt_gzip, inflates_too_much | a compressed file that is damaged, or that is a bomb |
| corrupt_parquet, wrong_columns | a Parquet file that cannot be read, or that lacks required columns |
| unmapped | a record of another format that its mapping does not cover |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


class Reason(StrEnum):
    """The first column of the table above."""

    TRUNCATED = "truncated"
    BINARY = "binary"
    WRONG_ENCODING = "wrong_encoding"
    NUL = "nul"
    LONE_SURROGATE = "lone_surrogate"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    DUPLICATE_KEY = "duplicate_key"
    LINE_TOO_LONG = "line_too_long"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    NO_UTC_OFFSET = "no_utc_offset"
    IMPOSSIBLE_DATE = "impossible_date"
    TOO_OLD = "too_old"
    FUTURE_DATED = "future_dated"
    CLOCK_SKEWED = "clock_skewed"
    CORRUPT_GZIP = "corrupt_gzip"
    INFLATES_TOO_MUCH = "inflates_too_much"
    CORRUPT_PARQUET = "corrupt_parquet"
    WRONG_COLUMNS = "wrong_columns"
    UNMAPPED = "unmapped"


class Rejected(Exception):
    """A line that is not an interaction. `detail` is for its producer and never repeats the content."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(reason.value, detail)


_TEXT_CONTROLS = b"\t\r\f\x1b"
_CONTROLS = bytes(set(range(32)) - set(_TEXT_CONTROLS) | {127})
_LONE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_UTF16 = 0.3  # share of zero bytes in the UTF-16 of a mostly Latin text, at least


def unreadable(line: bytes, message: str) -> Rejected:
    """What is wrong with a line that the JSON parser refused with `message` (which has a position, no content)."""
    column = message.rsplit(" column ", 1)[-1]
    at = f"at column {column}" if column.isdigit() else "in this line"
    zeros = line.count(0)
    if line.startswith((b"\xff\xfe", b"\xfe\xff")) or (zeros > _UTF16 * len(line) and _has_ascii_halves(line)):
        return Rejected(Reason.WRONG_ENCODING, "UTF-16, not UTF-8")
    controls = len(line) - len(line.translate(None, _CONTROLS))
    if controls > zeros or zeros > 1:
        return Rejected(Reason.BINARY, f"{controls} control bytes, not a text")
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        return Rejected(Reason.WRONG_ENCODING, f"not UTF-8 at byte {error.start + 1}")
    if zeros:
        return Rejected(Reason.NUL, "a NUL character")
    if _LONE.search(line):
        return Rejected(Reason.LONE_SURROGATE, "half of a surrogate pair in an escape")
    if "EOF while parsing" in message:
        return Rejected(Reason.TRUNCATED, f"the line ends in the middle of its JSON, {at}")
    return Rejected(Reason.NOT_JSON, f"not JSON {at}")


def _has_ascii_halves(line: bytes) -> bool:
    return min(line[::2].count(0), line[1::2].count(0)) < 0.05 * len(line)


def refused(line: bytes, error: ValidationError) -> Rejected:
    """The reason of a validation error: its first and gravest part."""
    first: Any = error.errors(include_url=False, include_input=False, include_context=False)[0]
    kind, message = first["type"], first["msg"]
    field = _path(first["loc"])
    if kind == "json_invalid":
        return unreadable(line, message)
    if not first["loc"]:
        return Rejected(Reason.NOT_AN_OBJECT, "JSON, but not an object")
    if kind == "missing":
        return Rejected(Reason.MISSING_FIELD, f"{field} is missing")
    if kind == "timezone_aware":
        return Rejected(Reason.NO_UTC_OFFSET, f"{field} has no UTC offset")
    if kind.startswith(("datetime_parsing", "datetime_from", "datetime_object")):
        return Rejected(Reason.IMPOSSIBLE_DATE, f"{field}: {message}")
    return Rejected(Reason.WRONG_TYPE, f"{field}: {message}")


def _path(loc: Iterable[int | str]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
