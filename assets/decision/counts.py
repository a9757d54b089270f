"""Daily counts: what the decision reads, checked. Per day x topic x event: n interactions could have it, S of them did.

received                                     what becomes of it
rows in any order                            sorted; the result is the same to the bit
the same row twice                           once
the same day, topic and event, other counts  refused
a day without rows between others            a day of zeros
n = 0                                        no evidence, for or against
NaN, negative, fractional, S > n             refused, naming the row
a day with another hour than midnight UTC's  refused: days are UTC's, and another zone's may be the next one
a topic that is no text, nor a whole number  refused: a list, NaN
an event that is not known                   refused, naming those that are
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from assets.decision.cells import EVENTS, BadCounts, cell
from assets.fingerprints import digest

MAX_DAYS = 36_600  # a wrong year in one row must not make an array of a million days
_EPOCH = date(1970, 1, 1).toordinal()
MAX_CELLS = 200_000_000  # days x topics of one event: 1.6 GB


@dataclass(frozen=True, slots=True)
class DailyCounts:
    """Counts of one variant. `n` and `S` map an event to float64 [days, topics], starting at `first_day`, no gaps."""

    first_day: date
    topics: tuple[str, ...]
    n: Mapping[str, np.ndarray]
    S: Mapping[str, np.ndarray]

    @property
    def days(self) -> int:
        """Number of days."""
        return next((len(table) for table in self.n.values()), 0)

    @property
    def last_day(self) -> date:
        """The newest day; the day before the first where there is none."""
        return self.first_day + timedelta(days=self.days - 1)

    def between(self, first: date, last: date) -> DailyCounts:
        """The days of a range, both ends included; days that are not there are zeros."""
        length = max((last - first).days + 1, 0)
        shift = (first - self.first_day).days
        source = slice(max(shift, 0), max(min(shift + length, self.days), 0))
        target = slice(max(-shift, 0), max(-shift, 0) + max(source.stop - source.start, 0))

        def cut(table: np.ndarray) -> np.ndarray:
            fresh = np.zeros((length, len(self.topics)))
            if source.stop > source.start:
                fresh[target] = table[source]
            return fresh

        return DailyCounts(
            first, self.topics, {e: cut(t) for e, t in self.n.items()}, {e: cut(t) for e, t in self.S.items()}
        )

    def ordered(self, topics: Sequence[str]) -> DailyCounts:
        """These topics first, in this order, then the others that have rows; topics without rows are zeros."""
        names = [*topics, *sorted(set(self.topics) - set(topics))]
        place = {name: number for number, name in enumerate(self.topics)}
        known = [(new, place[name]) for new, name in enumerate(names) if name in place]

        def moved(table: np.ndarray) -> np.ndarray:
            fresh = np.zeros((len(table), len(names)))
            if known:
                fresh[:, [new for new, _ in known]] = table[:, [old for _, old in known]]
            return fresh

        return DailyCounts(
            self.first_day,
            tuple(names),
            {e: moved(t) for e, t in self.n.items()},
            {e: moved(t) for e, t in self.S.items()},
        )

    def seen(self) -> DailyCounts:
        """Only the events and topics that have interactions, on the same days."""
        events = [event for event, table in self.n.items() if table.any()] or list(self.n)[:1]
        keep = np.flatnonzero(np.any([self.n[event].any(0) for event in events], axis=0)) if events else []
        return DailyCounts(
            self.first_day,
            tuple(self.topics[place] for place in keep),
            {event: self.n[event][:, keep] for event in events},
            {event: self.S[event][:, keep] for event in events},
        )

    def digest(self) -> str:
        """Identity of the counts: equal counts have an equal one, whatever order their rows had and zeros they held."""
        return digest(self._parts())

    def day_digests(self) -> dict[date, str]:
        """Identity of each day's counts; days without any are left out."""
        parts: dict[date, list[str]] = {}
        for day, part in self._cells():
            parts.setdefault(day, []).append(part)
        return {day: digest(cells) for day, cells in parts.items()}

    def _parts(self) -> Iterable[str]:
        return (f"{day}\x1f{cell}" for day, cell in self._cells())

    def _cells(self) -> Iterable[tuple[date, str]]:
        events = sorted(self.n)
        order = sorted(range(len(self.topics)), key=self.topics.__getitem__)
        for offset in range(self.days):
            day = self.first_day + timedelta(days=offset)
            for topic in order:
                for event in events:
                    n = int(self.n[event][offset, topic])
                    if n:
                        yield day, f"{self.topics[topic]}\x1f{event}\x1f{n}\x1f{int(self.S[event][offset, topic])}"


EMPTY = DailyCounts(date(1970, 1, 1), (), {}, {})


def from_rows(rows: Iterable[Mapping[str, Any]], place: Callable[[int], str] = "row {}".format) -> DailyCounts:
    """Counts of rows {day, topic, event, n, S} of one variant; BadCounts names the first row that is none.

    `day` is a date or an ISO text. Numbers may come as texts (a CSV). A missing topic is "unassigned". `place` says
    where the n-th row (from 1) stands, for messages.
    """
    found: dict[tuple[date, str, str], tuple[int, int]] = {}
    for number, row in enumerate(rows, start=1):
        key, counts = cell(row, place(number))
        if found.setdefault(key, counts) != counts:
            raise BadCounts(
                f"{place(number)}: {key[0]}, topic {key[1]!r}, event {key[2]} came twice: {found[key]}, {counts}",
                expected="one row for a day, topic and event",
                next_step="remove one of them, or add them up",
            )
    return _tables(found)


def from_table(table: pa.Table) -> DailyCounts:
    """As `from_rows`, for columns day, topic, event, n, S as the lake stores them: millions of rows in a moment."""
    if not table.num_rows:
        return EMPTY
    table = table.select(["day", "topic", "event", "n", "S"]).combine_chunks()
    n, s = (table[name].cast(pa.float64()).to_numpy() for name in ("n", "S"))
    days = table["day"].cast(pa.int32()).fill_null(0).to_numpy()
    topic, event = (_codes(table[name].fill_null("unassigned")) for name in ("topic", "event"))
    wrong = (
        ~((n >= 0) & (s >= 0) & (s <= n) & (n <= 2**53) & (n == np.floor(n)) & (s == np.floor(s)))
        | ~np.isin(event.names, EVENTS)[event.codes]
    )
    order = np.lexsort((event.codes, topic.codes, days))
    same = np.zeros(len(n), bool)
    same[1:] = np.all([np.diff(part[order]) == 0 for part in (days, topic.codes, event.codes)], axis=0)
    if wrong.any() or same.any() or table["day"].null_count:  # the slow way names the row
        return from_rows(table.to_pylist())
    first, last = int(days.min()), int(days.max())
    _check_size(date.fromordinal(first + _EPOCH), date.fromordinal(last + _EPOCH), len(topic.names))
    counts: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for number, name in enumerate(event.names):
        rows = event.codes == number
        pair = (np.zeros((last - first + 1, len(topic.names))), np.zeros((last - first + 1, len(topic.names))))
        for values, into in zip((n, s), pair, strict=True):
            into[days[rows] - first, topic.codes[rows]] = values[rows]
        counts[name] = pair
    return DailyCounts(
        date.fromordinal(first + _EPOCH),
        tuple(topic.names),
        {e: counts[e][0] for e in EVENTS if e in counts},
        {e: counts[e][1] for e in EVENTS if e in counts},
    )


class _Codes(NamedTuple):
    names: list[str]
    codes: np.ndarray


def _codes(column: pa.ChunkedArray) -> _Codes:
    """Sorted distinct texts, and each row's place among them."""
    encoded = column.combine_chunks().dictionary_encode()
    found = encoded.dictionary.to_pylist()
    names = sorted(found)
    place = {name: number for number, name in enumerate(names)}
    return _Codes(names, np.array([place[name] for name in found])[encoded.indices.to_numpy()])


def _tables(found: Mapping[tuple[date, str, str], tuple[int, int]]) -> DailyCounts:
    if not found:
        return EMPTY
    first, last = min(key[0] for key in found), max(key[0] for key in found)
    topics = tuple(sorted({key[1] for key in found}))
    length = _check_size(first, last, len(topics))
    place = {name: number for number, name in enumerate(topics)}
    events = [event for event in EVENTS if any(key[2] == event for key in found)]
    n = {event: np.zeros((length, len(topics))) for event in events}
    s = {event: np.zeros((length, len(topics))) for event in events}
    for (day, topic, event), (count, had) in found.items():
        n[event][(day - first).days, place[topic]] = count
        s[event][(day - first).days, place[topic]] = had
    return DailyCounts(first, topics, n, s)


def _check_size(first: date, last: date, topics: int) -> int:
    """The number of days; BadCounts when arrays of them would not fit."""
    length = (last - first).days + 1
    if length > MAX_DAYS or length * topics > MAX_CELLS:
        raise BadCounts(
            f"the rows span {length:,} days ({first} to {last}) and {topics:,} topics",
            expected=f"at most {MAX_DAYS:,} days, and {MAX_CELLS:,} days x topics",
            next_step="look for a row with a wrong day",
        )
    return length
