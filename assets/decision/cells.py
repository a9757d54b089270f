"""One row of daily counts, checked: what a file or a table says of a day, a topic and an event."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np

from assets.errors import Final

EVENTS = ("know", "labelled", "fail", "schema_bad", "style", "edit", "refusal", "format")  # of behavior_daily
_DAY = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]00:?00)?)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


class BadCounts(Final):
    """Rows that are no daily counts."""


def cell(row: Mapping[str, Any], place: str) -> tuple[tuple[date, str, str], tuple[int, int]]:
    """(day, topic, event) and (n, S) of a row; BadCounts says what is wrong at its `place`."""
    try:
        raw_day, event, n, s = row["day"], row["event"], row["n"], row["S"]
    except (KeyError, TypeError) as error:
        raise BadCounts(
            f"{place} has no {error}: {_shown(row)}", expected="the columns day, topic, event, n and S"
        ) from None
    day = _day(raw_day)
    if day is None:
        raise BadCounts(
            f"{place}: day {raw_day!r:.80}",
            expected="a date such as 2026-11-03, or its midnight, without a zone or in UTC",
            next_step="write the UTC day of what was counted",
        )
    if event not in EVENTS:
        raise BadCounts(f"{place}: event {event!r}", expected=f"one of {', '.join(EVENTS)}")
    count, had = _count(n), _count(s)
    for name, value, received in (("n", count, n), ("S", had, s)):
        if value is None:
            raise BadCounts(
                f"{place}: {name} = {received!r:.80}",
                expected="a whole number, zero or more, in digits",
                next_step="count whole interactions, and write them as 1000",
            )
    if (had or 0) > (count or 0):
        raise BadCounts(
            f"{place} ({day}, {event}): S = {had} of n = {count}",
            expected="S interactions that had the event, of n that could have it",
        )
    return (day, named("topic", row.get("topic"), "unassigned", place), event), (count or 0, had or 0)


def named(what: str, value: Any, missing: str, place: str) -> str:
    """The name of a topic or variant (`what`): a text or a whole number, `missing` where there is none."""
    if value is None or value == "":
        return missing
    if isinstance(value, str) or (isinstance(value, (int, np.integer)) and not isinstance(value, bool)):
        return str(value)
    raise BadCounts(
        f"{place}: {what} {value!r:.80}",
        expected=f"a text; an empty one, or none, is {missing!r}",
        next_step=f"write the name of the {what}, or leave it empty",
    )


def _day(value: Any) -> date | None:
    found = _DAY.fullmatch(str(value).strip())
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


def _count(value: Any) -> int | None:
    if isinstance(value, str):
        fits = _NUMBER.fullmatch(value.strip()) is not None
    else:
        fits = isinstance(value, (int, float, Decimal, np.integer, np.floating)) and not isinstance(value, bool)
    try:
        found = float(value) if fits else math.nan
    except OverflowError:
        return None
    whole = math.isfinite(found) and 0 <= found <= 2**53 and found == int(found)
    return int(found) if whole else None


def _shown(row: Any) -> str:
    return repr(row)[:120]
