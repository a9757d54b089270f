"""Made-up candidates in a lake: questions and answers over made-up passages, with what real ones have wrong with them.

Of the rows about 4% state something that no passage holds, 3% hold personal data, 10% are asked and answered nearly as
another one was, 2% equal another one, and 30% are corrections (lists), the rest accepted prose.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from assets.behavior.frozen import FOLDER
from assets.behavior.schemas import ATTRIBUTIONS, INTERACTIONS, partition
from assets.fingerprints import sha256_text
from assets.ports import Lake

FIRST = date(2026, 1, 1)
PASSAGES, SENTENCES = 20_000, 8
ASKED = ("What about", "How do we handle", "Please tell me about", "Who decides on", "When is the limit for")
FROZEN = f"{FOLDER}/main/benchmark.parquet"
CANDIDATES = pa.schema(
    [
        ("day", pa.date32()), ("id", pa.string()), ("variant", pa.string()), ("topic", pa.string()),
        ("user_id", pa.string()), ("prompt", pa.string()), ("completion", pa.string()), ("passages", pa.string()),
        ("source", pa.string()), ("interaction_ids", pa.string()), ("release_id", pa.string()),
        ("occurred_at", pa.timestamp("us", tz="UTC")),
    ]
)  # fmt: skip


def corpus(seed: int = 1) -> dict[str, tuple[str, list[str]]]:
    """sha -> a passage's text and its sentences."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    words = ["".join(dice.choices("aeioulnrst", k=dice.randint(3, 9))) for _ in range(8_000)]
    found = {}
    for number in range(PASSAGES):
        sentences = [
            " ".join([dice.choice(words).title(), *dice.choices(words, k=dice.randint(6, 14))])
            + f" takes {dice.randint(2, 999)} {dice.choice(words)}."
            for _ in range(SENTENCES)
        ]
        text = f"Guide {number % 400} > Part {number}\n\n{' '.join(sentences)}"
        found[sha256_text(text)] = (text, sentences)
    return found


def write(lake: Lake, rows: int, days: int = 30, seed: int = 2) -> dict[str, str]:
    """Writes candidates, interactions and attributions; returns the passages' texts by sha."""
    passages = corpus()
    dice = random.Random(seed)  # noqa: S311 - no secret
    parts = []
    for number in range(days):
        day = FIRST + timedelta(days=number)
        made = list(_day(day, rows // days, dice, passages))
        parts.append(pa.Table.from_pylist(made, schema=CANDIDATES))
        said = [_interaction(row) for row in made]
        lake.write(partition("interactions", day), pa.Table.from_pylist(said, schema=INTERACTIONS))
        why = [_attribution(row) for row in made if row["source"] == "correction"]
        lake.write(partition("attributions", day), pa.Table.from_pylist(why, schema=ATTRIBUTIONS))
    lake.write(FROZEN, pa.concat_tables(parts))
    return {sha: text for sha, (text, _) in passages.items()}


def _day(
    day: date, count: int, dice: random.Random, passages: Mapping[str, tuple[str, list[str]]]
) -> Iterator[dict[str, Any]]:
    shas, former = list(passages), []
    for number in range(count):
        shown = dice.sample(shas, 3)
        sentences = dice.sample(passages[shown[0]][1], 3)
        correction = dice.random() < 0.3
        answer = "\n".join(f"- {one}" for one in sentences) if correction else " ".join(sentences)
        row = {
            "day": day,
            "id": f"{day:%Y%m%d}-{number:06d}",
            "variant": "main",
            "topic": f"topic-{dice.randint(1, 20)}",
            "user_id": f"user-{dice.randint(1, 50_000)}",
            "prompt": f"{dice.choice(ASKED)} {', and '.join(' '.join(one.split()[:4]) for one in sentences)}",
            "completion": answer,
            "passages": _passages(shown, passages),
            "source": "correction" if correction else "accepted",
            "release_id": "base",
            "occurred_at": datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=number % 86_400),
        }
        row |= _spoiled(row, former, dice)
        row["interaction_ids"] = json.dumps([row["id"]])
        former.append(row)
        yield row


def _spoiled(row: Mapping[str, Any], former: list[dict[str, Any]], dice: random.Random) -> dict[str, Any]:
    kind = dice.random()
    if kind < 0.04:
        return {"completion": row["completion"] + f" It was {dice.randint(1_000, 9_999)} before Novembrius came."}
    if kind < 0.07:
        return {"prompt": f"{row['prompt']} Call me on +49 30 {dice.randint(1_000_000, 9_999_999)} or jo@example.org."}
    if kind < 0.19 and former:
        other = dice.choice(former[-2_000:])
        tail = "" if kind < 0.09 else " please?"
        same = {name: other[name] for name in ("completion", "passages", "source", "topic")}
        return {"prompt": other["prompt"] + tail, **same}
    return {}


def _passages(shown: list[str], passages: Mapping[str, tuple[str, list[str]]]) -> str:
    rows = [{"chunk_id": sha[:36], "doc_id": f"{passages[sha][0].split(' >')[0]}.md", "text_sha": sha} for sha in shown]
    return json.dumps(rows)


def _interaction(row: Mapping[str, Any]) -> dict[str, Any]:
    corrected = row["source"] == "correction"
    return {
        "id": row["id"],
        "occurred_at": row["occurred_at"],
        "received_at": row["occurred_at"],
        "user_id": row["user_id"],
        "variant": "main",
        "prompt": row["prompt"],
        "response": row["completion"].replace("- ", "") if corrected else row["completion"],
        "passages": row["passages"],
        "feedback": "none" if corrected else "up",
        "corrected_response": row["completion"] if corrected else None,
        "topic": row["topic"],
    }


def _attribution(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "verdict": "behavior",
        "kind": "format" if row["id"][-1] < "8" else "style",
        "version": "1",
    }
