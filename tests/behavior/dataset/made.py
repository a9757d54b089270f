"""Candidates, sources and prompts for tests of whole datasets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from assets.behavior.dataset.building import Sources
from assets.behavior.dataset.config import DatasetConfig
from assets.behavior.schemas import ATTRIBUTIONS, INTERACTIONS, partition

FIRST = date(2026, 3, 1)
CONFIG = DatasetConfig(min_rows=5, test_share=0.2, validation_share=0.2)
_WORDS = """
vans bikes keys doors laptops badges desks phones monitors lockers ovens frames wheels pedals brakes saddles racks lamps
bells tires tubes cables hubs chains forks stems grips spokes rims valves pumps bags locks mirrors helmets
"""
THINGS = _WORDS.split()
CANDIDATES = pa.schema(
    [
        ("day", pa.date32()), ("id", pa.string()), ("variant", pa.string()), ("topic", pa.string()),
        ("user_id", pa.string()), ("prompt", pa.string()), ("completion", pa.string()), ("passages", pa.string()),
        ("source", pa.string()), ("interaction_ids", pa.string()), ("release_id", pa.string()),
        ("occurred_at", pa.timestamp("us", tz="UTC")),
    ]
)  # fmt: skip
ADDED = pa.schema(
    [*CANDIDATES, ("there", pa.bool_()), ("verdict", pa.string()), ("kind", pa.string()), ("schema_ok", pa.bool_())]
)


def text(number: int) -> str:
    """A passage about one thing."""
    thing = THINGS[number % len(THINGS)]
    return (
        f"Handbook > The {thing}\n\nAll {thing} are checked every {20 + number} days by team {thing}-{number}. "
        f"Broken {thing} go to shelf {100 + number} near the {thing} gate, before closing."
    )


def row(number: int, **given: Any) -> dict[str, Any]:
    """A clean correction of user `number` about thing `number`."""
    thing, day = THINGS[number % len(THINGS)], FIRST + timedelta(days=number % 3)
    made = {
        "day": day,
        "id": f"i{number:03d}",
        "variant": "main",
        "topic": f"topic-{number % 3}",
        "user_id": f"user-{number}",
        "prompt": f"Where do broken {thing} go, and how often does anybody check the {thing}?",
        "completion": f"- Broken {thing}: shelf {100 + number}\n- Checked: every {20 + number} days",
        "passages": json.dumps([{"chunk_id": "c", "doc_id": f"{thing}.md", "text_sha": f"sha-{number}"}]),
        "source": "correction",
        "release_id": "base",
        "occurred_at": datetime(day.year, day.month, day.day, 12, tzinfo=UTC),
        "there": True,
        "verdict": "behavior",
        "kind": "format",
        "schema_ok": None,
    } | given
    made.setdefault("interaction_ids", json.dumps([made["id"]]))
    return made


def accepted(number: int, **given: Any) -> dict[str, Any]:
    """A clean accepted answer."""
    thing = THINGS[number % len(THINGS)]
    said = f"Broken {thing} go to shelf {100 + number}, and they are checked every {20 + number} days."
    return row(number, **{"source": "accepted", "verdict": None, "kind": None, "completion": said} | given)


def table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """As outcomes.joined gives it."""
    return pa.Table.from_pylist(list(rows), schema=ADDED)


def sources(**given: Any) -> Sources:
    """Every passage is known; every correction changed prose."""
    made: dict[str, Any] = {
        "texts": lambda sha: text(int(sha[4:])) if sha.startswith("sha-") else None,
        "produced": lambda wanted: {id_: f"Prose that was corrected in {id_}." for _, id_ in wanted},
    }
    return Sources(**made | given)


def render(asks):
    """Whole passages, then the question."""
    return [
        [{"role": "user", "content": "\n".join(f"[{p.number}] {p.text}" for p in ask.passages) + "\n\n" + ask.question}]
        for ask in asks
    ]


def length(chats):
    """A token a word."""
    return [sum(len(message["content"].split()) for message in chat) for chat in chats]


def fill(lake, rows: Sequence[dict[str, Any]]) -> None:
    """Interactions and attributions of rows, in a lake."""
    for day in sorted({one["day"] for one in rows}):
        these = [one for one in rows if one["day"] == day]
        said = [
            {
                **{name: one[name] for name in ("id", "occurred_at", "user_id", "prompt", "passages", "schema_ok")},
                "received_at": one["occurred_at"],
                "response": f"Prose that was corrected in {one['id']}." if one["verdict"] else one["completion"],
                "corrected_response": one["completion"] if one["source"] == "correction" else None,
            }
            for one in these
        ]
        lake.write(partition("interactions", day), pa.Table.from_pylist(said, schema=INTERACTIONS))
        why = [{name: one[name] for name in ("id", "verdict", "kind")} for one in these if one["verdict"]]
        lake.write(partition("attributions", day), pa.Table.from_pylist(why, schema=ATTRIBUTIONS))
