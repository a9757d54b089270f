"""The marts as Arrow tables: short-lived reads, typed and sorted alike on every warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import date
from typing import Protocol

import pyarrow as pa

from assets.behavior.schemas import DAILY
from orchestration.engines.warehouse_days import condition
from orchestration.engines.warehouse_sessions import Session

_DAY = pa.schema([("day", pa.date32())])
GAPS = pa.schema(
    [
        ("rank", pa.int64()),
        ("variant", pa.string()),
        ("kind", pa.string()),
        ("doc_id", pa.string()),
        ("topic", pa.string()),
        ("failures", pa.int64()),
        ("users", pa.int64()),
        ("first_day", pa.date32()),
        ("last_day", pa.date32()),
        ("example_ids", pa.string()),  # JSON list, newest first, at most 5
        ("example_prompt", pa.string()),
    ]
)
CANDIDATES = pa.schema(
    [
        ("day", pa.date32()),
        ("id", pa.string()),
        ("variant", pa.string()),
        ("topic", pa.string()),
        ("user_id", pa.string()),
        ("prompt", pa.string()),
        ("completion", pa.string()),
        ("passages", pa.string()),  # JSON, as the interaction carries it
        ("source", pa.string()),  # correction, accepted
        ("interaction_ids", pa.string()),  # JSON list
        ("release_id", pa.string()),
        ("occurred_at", pa.timestamp("us", tz="UTC")),
    ]
)
COUNTS = pa.schema([("variant", pa.string()), ("topic", pa.string()), ("source", pa.string()), ("n", pa.int64())])

RELEASES = pa.schema([("variant", pa.string()), ("day", pa.date32()), ("release_id", pa.string()), ("n", pa.int64())])


class Engine(Protocol):
    """What differs between the warehouses."""

    target: str
    alone: bool  # whether a writer keeps everybody else out

    def environment(self) -> dict[str, str]:
        """What profiles.yml and sources.yml read."""
        ...

    def load(self, days: Sequence[date]) -> None:
        """Brings those days of the lake where dbt reads them."""
        ...

    def query(self, sql: str, schema: pa.Schema) -> pa.Table:
        """Rows of a mart; none where it was never built."""
        ...

    def relation(self, name: str) -> str:
        """A mart's name in SQL."""
        ...

    def look(self, wait: float, most: float) -> AbstractContextManager[Session]:
        """One consistent, read-only look; waits `wait` s until it is free, and gives a query `most` s (0: any)."""
        ...

    def changed(self) -> str | None:
        """A text that is another one whenever anything in the warehouse is; None where nobody can tell that."""
        ...

    def purge(self) -> None:
        """Rewrites the tables, without what was deleted from them."""
        ...

    def free(self, deadline: float) -> AbstractContextManager[None]:
        """Waits until nobody else's process keeps dbt out; EngineBusy after `deadline` (of time.monotonic)."""
        ...


def daily(engine: Engine, days: Sequence[date] | None) -> pa.Table:
    """behavior_daily of those days (None: all), with the lake's names and order."""
    sql = f"select day, variant, topic, event, n, s from {engine.relation('behavior_daily')} where {condition(days)}"  # noqa: S608
    return engine.query(sql, DAILY).sort_by([(name, "ascending") for name in ("day", "variant", "topic", "event")])


def gaps(engine: Engine) -> pa.Table:
    """knowledge_gaps, the most frequent first."""
    return engine.query(f"select {', '.join(GAPS.names)} from {engine.relation('knowledge_gaps')}", GAPS).sort_by(  # noqa: S608
        "rank"
    )


def candidates(engine: Engine, days: Sequence[date] | None) -> pa.Table:
    """training_candidates with their texts, sorted by day and id."""
    relation = engine.relation("training_candidates")
    sql = f"select {', '.join(CANDIDATES.names)} from {relation} where {condition(days)}"  # noqa: S608
    return engine.query(sql, CANDIDATES).sort_by([("day", "ascending"), ("id", "ascending")])


def candidates_count(engine: Engine, days: Sequence[date] | None) -> pa.Table:
    """Candidates by variant, topic and source."""
    keys = ("variant", "topic", "source")
    relation = engine.relation("training_candidates")
    names = ", ".join(keys)
    sql = f"select {names}, count(*) as n from {relation} where {condition(days)} group by {names}"  # noqa: S608
    return engine.query(sql, COUNTS).sort_by([(key, "ascending") for key in keys])


def release_days(engine: Engine, days: Sequence[date]) -> pa.Table:
    """Interactions by variant, day and release."""
    keys, relation = ("variant", "day", "release_id"), engine.relation("int_outcomes")
    names = ", ".join(keys)
    where = f"{condition(days)} and release_id is not null"
    sql = f"select {names}, count(*) as n from {relation} where {where} group by {names}"  # noqa: S608
    return engine.query(sql, RELEASES).sort_by([(key, "ascending") for key in keys])


def built_days(engine: Engine) -> set[date]:
    """Days of which the warehouse holds anything."""
    names = ("int_outcomes", "behavior_daily", "training_candidates")
    found = [engine.query(f"select distinct day from {engine.relation(name)}", _DAY) for name in names]  # noqa: S608
    return {day for table in found for day in table["day"].to_pylist()}
