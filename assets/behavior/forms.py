"""How a text is written: its format, what of it belongs to the format, and how much of it an edit changed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_FENCE = re.compile(r"\A\s*```[\w+-]*\n(.*?)\n?```\s*\Z", re.DOTALL)
_SQL = re.compile(
    r"\A\s*(?:SELECT\s.*?\sFROM\s|INSERT\s+INTO\s|UPDATE\s.*?\sSET\s|DELETE\s+FROM\s|CREATE\s+(?:TABLE|VIEW)\s|WITH\s+\w+\s+AS\s*\()",
    re.IGNORECASE | re.DOTALL,
)
_SQL_WORDS = re.compile(
    r"\b(?:select|distinct|from|where|and|or|not|group|order|by|having|limit|join|inner|left|right|outer|on|union|all"
    r"|insert|into|values|update|set|delete|create|table|view|as|asc|desc|count|max|min|sum|avg|like|in|between|null|is"
    r"|case|when|then|else|end|exists)\b",
    re.IGNORECASE,
)
_ALIAS = re.compile(r"\bAS\s+(\w+)", re.IGNORECASE)
_XML = re.compile(r"\A\s*<([A-Za-z][\w:-]*)\b[^>]*>.*</\1>\s*\Z", re.DOTALL)
_CODE_LINE = re.compile(
    r"\s*(?:def |class |import |from \w+ import|return\b|const |let |var |function\b|public |#include|\$ |@\w+"
    r"|</?\w+>|[{}]\s*$|\w+(?:\.\w+)*\(.*\)\s*$)"
)
_BULLET = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+\S")
_FIELD = re.compile(r"^\s*[\w *./-]{1,40}(?::| =)\s+\S")
_ENUM = re.compile(r"[A-Z]{3,}(?:_[A-Z0-9]+)*\Z")  # a word of the schema, as a key is
_COURTESY = re.compile(
    r"\b(?:(?:i am |i['’]m |we are |we['’]re )?(?:happy|glad|pleased) to (?:help|assist)(?: you)?"
    r"|(?:have|enjoy) (?:a|an|your)(?: \w+)? (?:day|evening|weekend|time|trip|meal|stay)"
    r"|(?:kind|best|warm) (?:regards|wishes)(?:,[^.\n]{0,30})?|(?:yours )?(?:sincerely|faithfully|truly)"
    r"|(?:please )?(?:let (?:me|us) know|feel free|do not hesitate|don['’]t hesitate)\b[^.!?\n]{0,60}"
    r"|(?:is there )?anything else(?: (?:i|we) can [^.!?\n]{0,30})?"
    r"|(?:thank you|thanks)(?: (?:so|very) much)?(?: for [^.!?\n,]{1,30})?"
    r"|(?:hello|hi|dear|good (?:morning|afternoon|evening))(?: there| \w+)?(?=[,!.])"
    r"|(?:that is |that['’]s )?(?:a )?(?:good|great) question|sure thing|of course|you(?:['’]re| are) welcome"
    r"|good luck|hope (?:this|that|it) helps?)\b",
    re.IGNORECASE,
)
MAX_WORDS = 4_000  # edits of longer texts are measured on their first words


def format_of(text: str) -> str:
    """json, xml, sql, code, table, list, fields, prose, or empty."""
    fenced = _FENCE.match(text)
    body = (fenced[1] if fenced else text).strip()
    if not body:
        return "empty"
    if body[0] in "{[" and parsed_json(body) is not None:
        return "json"
    if body[0] == "<" and _XML.match(body):
        return "xml"
    if _SQL.match(body) and (body[:6].isupper() or any(sign in body for sign in "=*;_(")):
        return "sql"  # and not "Select the plan you want from the menu."
    if fenced:
        return "code"
    lines = [line for line in body.split("\n") if line.strip()]
    if body[0] in "{[" and len(lines) > 1 and body[-1] in "}]":
        return "code"
    return _format_of_lines(lines)


def _format_of_lines(lines: list[str]) -> str:
    count = len(lines)
    if count > 1 and sum(line.count("|") >= 2 for line in lines) > count / 2:
        return "table"
    bullets = sum(bool(_BULLET.match(line)) for line in lines)
    if bullets >= 2 and bullets >= count / 2:
        return "list"
    if sum(line.rstrip()[-1] in ";{" or bool(_CODE_LINE.match(line)) for line in lines) > count / 2:
        return "code"
    if count > 1 and sum(bool(_FIELD.match(line)) for line in lines) > count * 0.7:
        return "fields"
    return "prose"


def parsed_json(text: str) -> Any:
    """The object or array that a text is, or None."""
    body = text.strip()
    if not body or body[0] not in "{[" or body[-1] not in "}]":
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def content(text: str, form: str) -> str:
    """A text without what belongs to its form: JSON keys and enumerations, SQL words and aliases, tags, courtesies."""
    fenced = _FENCE.match(text)
    body = fenced[1] if fenced else text
    if form == "prose":
        return _COURTESY.sub(" ", body)
    if form == "json":
        return "\n".join(_values(parsed_json(body)))
    if form == "sql":
        for alias in sorted(set(_ALIAS.findall(body)), key=len, reverse=True):
            body = re.sub(rf"\b{re.escape(alias)}\b\.?", " ", body)
        return _SQL_WORDS.sub(" ", body)
    if form == "xml":
        return re.sub(r"</?[A-Za-z][^>]*>", "\n", body)
    return body


def edit(before: str, after: str) -> float:
    """The share of words that an edit changed: word Levenshtein over the longer text, from 0 to 1."""
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.normalized_distance(before.split()[:MAX_WORDS], after.split()[:MAX_WORDS])


def _values(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _values(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _values(inner)
    elif value is not None and not isinstance(value, bool) and not _ENUM.match(str(value)):
        yield str(value)
