"""What the warehouse says of a variant, for the policy: corrected examples, and deploys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from assets.decision.judging import SETTLED
from assets.decision.policy import Deploy
from assets.ports import Warehouse


class FromWarehouse:
    """judging.Measured over the marts."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def examples(self, variant: str, first: date, last: date) -> int:
        """Candidates of these days that somebody corrected."""
        rows = self._warehouse.candidates_count(_span(first, last)).to_pylist()
        return sum(row["n"] for row in rows if row["variant"] == variant and row["source"] == "correction")

    def deploys(self, variant: str, first: date, last: date) -> Sequence[Deploy]:
        """Days from `first` to `last` on which another release took over."""
        rows = self._warehouse.release_days(_span(first - timedelta(days=2 * SETTLED), last)).to_pylist()
        by_day: dict[date, Counter[str]] = {}
        for row in rows:
            if row["variant"] == variant:
                by_day.setdefault(row["day"], Counter())[row["release_id"]] += row["n"]
        return [deploy for deploy in taken_over(by_day) if deploy.day >= first]


def taken_over(by_day: Mapping[date, Mapping[str, int]]) -> list[Deploy]:
    """Changes of the release that answers more than half of a day's interactions, after one that did for 7 days.

    A release that is named anew every day is a label and no deploy.
    """
    found, ruling, length = [], "", 0
    for day in sorted(by_day):
        releases = by_day[day]
        top = max(sorted(releases), key=lambda name: releases[name])
        if 2 * releases[top] <= sum(releases.values()):
            continue
        if top != ruling:
            if ruling and length >= SETTLED:
                found.append(Deploy(day, top, ruling))
            ruling, length = top, 0
        length += 1
    return found


def _span(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]
