"""Days as dbt wants them: half-open ranges of event time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import NamedTuple

# One more dbt invocation in a running process costs as much as this many days of a range: planning it and its tests
# take 1.8 s, a day in three microbatch models 0.25 s (benchmarks/behavior/bench_marts.py). So days in a smaller gap
# are rebuilt with their neighbors; that changes no row, since a day is what its inputs say.
CHEAP_GAP = 6


class Days(NamedTuple):
    """Days from `first` to `last`, both included."""

    first: date
    last: date

    def flags(self) -> list[str]:
        """dbt's own flags for the range; its end is exclusive."""
        end = self.last + timedelta(days=1)
        return ["--event-time-start", self.first.isoformat(), "--event-time-end", end.isoformat()]


def ranges(days: Iterable[date], gap: int = CHEAP_GAP) -> list[Days]:
    """The fewest ranges that cover the days without more than `gap` days in a row that were not asked for."""
    found: list[Days] = []
    for day in sorted(set(days)):
        if found and (day - found[-1].last).days <= gap + 1:
            found[-1] = Days(found[-1].first, day)
        else:
            found.append(Days(day, day))
    return found


def condition(days: Sequence[date] | None) -> str:
    """SQL that is true on those days, or always."""
    if days is None:
        return "true"
    pieces = [f"day between date '{r.first.isoformat()}' and date '{r.last.isoformat()}'" for r in ranges(days, gap=0)]
    return "(" + " or ".join(pieces) + ")" if pieces else "false"
