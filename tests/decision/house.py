"""A house for tests of the decision: a real lake and ledger, a warehouse that says what it is told, a clock to turn."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from assets.behavior.pipeline import BUILT
from assets.behavior.schemas import DAILY, partition
from assets.decision.counts import DailyCounts
from assets.decision.measuring import FromWarehouse
from assets.decision.pipeline import Decision, Release
from assets.decision.policy import Rules
from orchestration.engines.lake import FolderLake
from orchestration.engines.warehouse_marts import CANDIDATES, COUNTS, RELEASES
from orchestration.ledger import LakeLedger
from tests.decision.streams import CONFIG, FIRST, counts, rows

REFERENCE, CLOSING = CONFIG.reference_days, 3
CHANGE = REFERENCE + 10  # number of the day on which the shifted stream moves
RULES = Rules(min_examples=20)


def steady(days: int = REFERENCE + 35, **more: Any) -> DailyCounts:
    """Nothing happens."""
    return counts(3, days=days, topics=2, per_day=80, **more)


def shifted(days: int = REFERENCE + 35, until: int | None = None) -> DailyCounts:
    """From CHANGE on, up to `until`, behavior fails far more often: it shows within a few days."""
    found = counts(3, days=days, topics=2, per_day=80, shift={"fail": 1.2}, change=CHANGE)
    return found if until is None else joined(found, steady(days), until)


def joined(one: DailyCounts, other: DailyCounts, until: int) -> DailyCounts:
    """The first `until` days of one stream, then those of the other."""
    cut = lambda a, b: {event: np.vstack([a[event][:until], b[event][until:]]) for event in a}  # noqa: E731
    return DailyCounts(one.first_day, one.topics, cut(one.n, other.n), cut(one.S, other.S))


class Marts:
    """What the decision asks of a warehouse. `per_day` corrected examples a day; `releases` by first day."""

    def __init__(self, per_day: int = 20) -> None:
        self.per_day, self.asked = per_day, 0
        self.releases: dict[date, str] = {FIRST: "base"}
        self.locked = nullcontext

    def candidates_count(self, days: list[date]) -> pa.Table:
        self.asked += 1
        row = {"variant": "main", "topic": "t0000", "source": "correction", "n": self.per_day * len(days)}
        others = [{**row, "source": "accepted", "n": 1_000}, {**row, "variant": "other", "n": 1_000}]
        return pa.Table.from_pylist([row, *others], COUNTS)

    def release_days(self, days: list[date]) -> pa.Table:
        of = lambda day: self.releases[max(first for first in self.releases if first <= max(day, FIRST))]  # noqa: E731
        found = [{"variant": "main", "day": day, "release_id": of(day), "n": 80} for day in days if day >= FIRST]
        return pa.Table.from_pylist(found, RELEASES)

    def candidates(self, days: list[date]) -> pa.Table:
        """One a day, for freezing."""
        texts = {"topic": "t0000", "prompt": "p", "completion": "c", "passages": "[]", "release_id": "base"}
        found = [
            {**texts, "day": day, "id": f"{day}", "variant": "main", "source": "correction", "interaction_ids": "[]"}
            for day in days
        ]
        return pa.Table.from_pylist(found, CANDIDATES)


class House:
    """`at(n)` turns the clock to the day on which day n (from 0) of the stream closes."""

    def __init__(self, folder: Path, stream: DailyCounts | None = None, **more: Any) -> None:
        self.lake = FolderLake(folder / "lake")
        self.ledger = LakeLedger(self.lake)
        self.marts = Marts()
        self.rules, self.config, self.release = RULES, CONFIG, Release()
        self.today = FIRST
        self.decision = self.opened(**more)
        if stream is not None:
            self.write(stream)

    def opened(self, **more: Any) -> Decision:
        """The decision, as another process would open it."""
        standing: dict[str, Any] = {
            "lake": self.lake,
            "ledger": self.ledger,
            "variants": ("main",),
            "config": lambda _: self.config,
            "rules": lambda _: self.rules,
            "measured": FromWarehouse(self.marts),
            "release": lambda _: self.release,
            "close_after_days": CLOSING,
            "today": lambda: self.today,
        }
        return Decision(**{**standing, **more})

    def write(self, stream: DailyCounts, variant: str = "main") -> None:
        """Hands daily counts to the lake as a build does: the days that differ, then the note of what was built."""
        self.stream = stream
        by_day: dict[str, list[dict[str, Any]]] = {}
        for row in rows(stream):
            by_day.setdefault(row["day"], []).append({**row, "variant": variant, "day": date.fromisoformat(row["day"])})
        for number in range(stream.days):
            day = self.day(number)
            name, table = partition("daily", day), pa.Table.from_pylist(by_day.get(day.isoformat(), []), DAILY)
            if not table.num_rows:
                self.lake.remove([name])
            elif (stored := self.lake.read(name)) is None or not stored.equals(table):
                file = self.lake.root / name  # as `Lake.write`, without waiting for the disk
                file.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(table, file)
        built = {day.isoformat(): name for day, name in stream.day_digests().items()}
        self.lake.write_text(BUILT, json.dumps(built))

    def correct(self, *numbers: int, by: DailyCounts | None = None) -> None:
        """Some days turn out to have been other ones: those of `by`, or failures are taken away."""
        other = by or replace(self.stream, S={**self.stream.S, "fail": np.maximum(self.stream.S["fail"] - 1, 0)})
        stream = self.stream
        for number in numbers:
            stream = joined(joined(stream, other, number), stream, number + 1)
        self.write(stream)

    def day(self, number: int) -> date:
        """A day of the stream."""
        return FIRST + timedelta(days=number)

    def at(self, number: int) -> House:
        """On the day after which day `number` is closed."""
        self.today = self.day(number) + timedelta(days=CLOSING)
        return self

    def judge(self, number: int | None = None) -> Any:
        """The verdict on main, on the day that day `number` closes, or on the day that it is."""
        return (self if number is None else self.at(number)).decision.judge("main")

    def until_fired(self, first: int = CHANGE, days: int = 20) -> Any:
        """The first verdict that is no `wait`, a day at a time."""
        for number in range(first, first + days):
            made = self.judge(number)
            if made.verdict.action != "wait":
                return made
        raise AssertionError(f"nothing but wait up to {self.day(first + days)}")

    def act(self, made: Any, run: str = "run-1", *, released: bool = True) -> Any:
        """The fine-tune of a verdict, claimed and done."""
        claim = self.decision.finetunes.begin("main", made.id, run, "test")
        self.decision.finetunes.finish(claim, run, "done", released=released)
        return claim

    def kinds(self) -> list[str]:
        """What the ledger holds, in its order."""
        return [str(entry.kind) for entry in self.ledger.entries()]
