"""A small deterministic lake of interactions and attributions: what Python would have written, without it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

import pyarrow as pa

from assets.behavior.schemas import ATTRIBUTIONS, INTERACTIONS, REFERENCE, partition
from assets.ports import Lake

FIRST = date(2026, 1, 1)
TOPICS = ("billing", "returns", None)
KINDS = {
    "knowledge": ("missing_document", "retrieval_miss", "stale_passage"),
    "behavior": ("format", "style", "refusal", "ungrounded", "task"),
    "unclear": (None,),
}
ODD = ('a "quoted"\\path', "tab\tline\nbreak", "naïve 😀 ünïcode", "'; drop table x; --", "<script>alert(1)</script>")


def days(count: int, first: date = FIRST) -> list[date]:
    return [first + timedelta(number) for number in range(count)]


def interaction(day: date, number: int, dice: random.Random) -> dict:
    """One event of a day; `number` is unique within the day."""
    response = f"answer {number} " + "word " * dice.randrange(30)
    edited = dice.random() < 0.2
    corrected = response if dice.random() < 0.1 else f"better {number} {dice.choice(ODD)}"
    moment = datetime.combine(day, time(number % 24, number % 60), tzinfo=UTC)
    return {
        "id": f"{day:%m%d}-{number}" + (f"-{ODD[number % 5]}" if number % 7 == 0 else ""),
        "occurred_at": moment,
        "received_at": moment + timedelta(hours=1),
        "user_id": None if number % 5 == 0 else f"user-{number % 4}",
        "variant": "support" if number % 6 == 0 else "main",
        "prompt": f"question {number} {dice.choice(ODD)}",
        "response": response,
        "passages": '[{"chunk_id": "c", "doc_id": "handbook/a.md", "text_sha": "0"}]',
        "release_id": "r1",
        "feedback": dice.choice(("up", "down", "none", "none", None)),
        "corrected_response": corrected if edited else None,
        "schema_ok": dice.choice((True, True, False, None)),
        "topic": TOPICS[number % 3],
        "tags": "[]",
    }


def attribution(row: dict, dice: random.Random) -> dict | None:
    """As the attribution would: a row where there is no topic, a failure or an edit."""
    corrected = row["corrected_response"]
    failed = row["feedback"] == "down" or (corrected is not None and corrected != row["response"])
    if row["topic"] is not None and corrected is None and not failed:
        return None
    verdict = dice.choice(tuple(KINDS)) if failed else None
    return {
        "id": row["id"],
        "topic": dice.choice(("cluster-1", None)) if row["topic"] is None else None,
        "verdict": verdict,
        "kind": dice.choice(KINDS[verdict]) if verdict else None,
        "doc_id": dice.choice(("handbook/a.md", "handbook/b.md", None)) if verdict == "knowledge" else None,
        "evidence": "{}",
        "edit": dice.random() if corrected is not None else None,
        "produced_refusal": dice.random() < 0.2 if corrected is not None else None,
        "corrected_refusal": dice.random() < 0.2 if corrected is not None else None,
        "produced_format": dice.choice(("prose", "list", "json")) if corrected is not None else None,
        "corrected_format": dice.choice(("prose", "list", "json")) if corrected is not None else None,
        "version": "1",
    }


def events(day: date, count: int = 40, seed: int = 0) -> list[dict]:
    dice = random.Random(f"{day} {seed}")  # noqa: S311
    return [interaction(day, number, dice) for number in range(count)]


def write_day(lake: Lake, day: date, rows: Sequence[dict], seed: int = 0) -> None:
    """The day's two files; a day without events keeps its empty files, as ingestion leaves them."""
    dice = random.Random(f"attribution {day} {seed}")  # noqa: S311
    found = [made for row in rows if (made := attribution(row, dice)) is not None]
    lake.write(partition("interactions", day), pa.Table.from_pylist(list(rows), INTERACTIONS))
    lake.write(partition("attributions", day), pa.Table.from_pylist(found, ATTRIBUTIONS))


def remove_day(lake: Lake, day: date) -> None:
    lake.remove([partition("interactions", day), partition("attributions", day)])


def write_reference(lake: Lake) -> None:
    rows = [
        {"variant": "main", "topic": "billing", "style_median": 80.0, "edit_p60": 0.6},
        {"variant": "main", "topic": "returns", "style_median": 90.5, "edit_p60": None},
        {"variant": "support", "topic": "billing", "style_median": None, "edit_p60": 0.5},
    ]
    lake.write("behavior/reference/data.parquet", pa.Table.from_pylist(rows, REFERENCE))


def fill(lake: Lake, on: Sequence[date], count: int = 40) -> None:
    for day in on:
        write_day(lake, day, events(day, count))
    write_reference(lake)
