"""Daily counts for tests of the decision: small, random, and of a known law."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np

from assets.decision.config import EventTest, ShiftConfig
from assets.decision.counts import DailyCounts

FIRST = date(2026, 1, 5)
CONFIG = ShiftConfig()


def counts(
    seed: int,
    *,
    days: int = 28 + 60,
    topics: int = 4,
    per_day: float = 100,
    shift: Mapping[str, float] | None = None,
    change: int = 28 + 20,
    know: float = 0.08,
    labelled: float = 0.3,
    leak: float = 0.0,
    label_rise: float = 0.0,
) -> DailyCounts:
    """A stream whose events move by `shift` (logit) on day `change`. From then on knowledge failures have the rate
    `know`, of which a share `leak` is booked as behavior; failures are likelier to be labelled by `label_rise`."""
    random = np.random.default_rng(seed)
    moved = (np.arange(days) >= change)[:, None] * np.ones(topics)
    sizes = shift or {}
    n = random.poisson(per_day / topics, (days, topics))

    def rate(event: str, usual: float) -> np.ndarray:
        offsets = np.random.default_rng([seed, len(event)]).normal(0, 0.3, topics)
        return 1 / (1 + np.exp(-(np.log(usual / (1 - usual)) + offsets + sizes.get(event, 0.0) * moved)))

    failing = random.binomial(n, rate("fail", 0.18))
    seen = random.binomial(failing, np.minimum(labelled * (1 + label_rise * moved), 1))
    rows = seen + random.binomial(n - failing, labelled)
    lost = random.binomial(rows - seen, np.where(moved > 0, know, 0.08))
    booked = random.binomial(lost, leak)
    fail, schema = seen + booked, random.binomial(n, rate("schema_bad", 0.05))
    edited = random.binomial(fail, 0.5)
    tables = {
        "know": (rows, lost - booked),
        "labelled": (n, rows),
        "fail": (rows, fail),
        "schema_bad": (n, schema),
        "style": (n, random.binomial(n, rate("style", 0.5))),
        "edit": (edited, random.binomial(edited, rate("edit", 0.4))),
        "refusal": (edited, random.binomial(edited, 0.03)),
        "format": (edited, random.binomial(edited, rate("format", 0.05))),
    }
    return DailyCounts(
        FIRST,
        tuple(f"t{number:04}" for number in range(topics)),
        {event: table[0].astype(float) for event, table in tables.items()},
        {event: table[1].astype(float) for event, table in tables.items()},
    )


def rows(found: DailyCounts) -> list[dict[str, Any]]:
    """As rows of a file."""
    return [
        {
            "day": date.fromordinal(found.first_day.toordinal() + day).isoformat(),
            "topic": topic,
            "event": event,
            "n": int(found.n[event][day, place]),
            "S": int(found.S[event][day, place]),
        }
        for day in range(found.days)
        for place, topic in enumerate(found.topics)
        for event in found.n
        if found.n[event][day, place]
    ]


def _even(weight: float, sizes: tuple[float, ...], weights: tuple[float, ...]) -> EventTest:
    return EventTest(weight, sizes, weights, (1 / len(sizes),) * len(sizes))


_UP = (0.4, 0.8, 1.6)
PROTOTYPE = ShiftConfig(  # what tests/decision/prototype.py has in its CFG
    selection=False,
    sudden=False,
    new_task=0.1,
    spread=((1.0, 0.6), (0.25, 0.2), (0, 0.2)),
    events={
        "fail": _even(0.5, (0.3, 0.5, 0.8, 1.3), (0.5, 0.25, 0.15, 0.1)),
        "schema_bad": _even(0.15, _UP, (0.5, 0.3, 0.2)),
        "style": _even(0.15, (-1.0, -0.4, 0.4, 1.0), (0.2, 0.3, 0.3, 0.2)),
        "edit": _even(0.1, _UP, (0.5, 0.3, 0.2)),
    },
)
