"""The marts by their definitions, in plain Python over the lake's rows: what the SQL must come to."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import date

from assets.behavior.schemas import partition
from assets.ports import Lake


def outcomes(lake: Lake, days: list[date]) -> list[dict]:
    """One dict an interaction, joined with its attribution and the reference."""
    reference = {(row["variant"], row["topic"]): row for row in rows(lake, "behavior/reference/data.parquet")}
    found = []
    for day in days:
        made = {row["id"]: row for row in rows(lake, partition("attributions", day))}
        for row in rows(lake, partition("interactions", day)):
            found.append(outcome(day, row, made.get(row["id"], {}), reference))
    return found


def rows(lake: Lake, name: str) -> list[dict]:
    table = lake.read(name)
    return [] if table is None else table.to_pylist()


def outcome(day: date, row: dict, made: dict, reference: dict) -> dict:
    corrected = row["corrected_response"]
    topic = row["topic"] or made.get("topic") or "unassigned"
    variant = row["variant"] or "main"
    compared = reference.get((variant, topic), {})
    failed = row["feedback"] == "down" or (corrected is not None and corrected != row["response"])
    return {
        **row,
        "attribution": made,
        "day": day,
        "topic": topic,
        "variant": variant,
        "edited": corrected is not None,
        "labelled": row["feedback"] in ("up", "down") or corrected is not None,
        "failed": failed,
        "verdict": (made.get("verdict") or "unclear") if failed else None,
        "style_median": compared.get("style_median"),
        "edit_p60": compared.get("edit_p60"),
    }


def events(row: dict) -> dict[str, bool]:
    """Event -> whether it occurred, for every event that the interaction could show."""
    made, found = row["attribution"], {"labelled": row["labelled"]}
    if row["labelled"]:
        found |= {"know": row["verdict"] == "knowledge", "fail": row["verdict"] == "behavior"}
    if row["schema_ok"] is not None:
        found["schema_bad"] = not row["schema_ok"]
    if row["style_median"] is not None:
        found["style"] = len(row["response"]) > row["style_median"]
    if row["edited"]:
        found["refusal"] = made["produced_refusal"] != made["corrected_refusal"]
        found["format"] = made["produced_format"] != made["corrected_format"]
        if row["edit_p60"] is not None:
            found["edit"] = made["edit"] > row["edit_p60"]
    return found


def daily(lake: Lake, days: list[date]) -> list[dict]:
    counted: dict[tuple, list[int]] = defaultdict(lambda: [0, 0])
    for row in outcomes(lake, days):
        for event, occurred in events(row).items():
            cell = counted[(row["day"], row["variant"], row["topic"], event)]
            cell[0] += 1
            cell[1] += occurred
    keys = ("day", "variant", "topic", "event", "n", "S")
    return [dict(zip(keys, (*key, *cell), strict=True)) for key, cell in sorted(counted.items())]


def candidates(lake: Lake, days: list[date]) -> list[dict]:
    found = []
    for row in outcomes(lake, days):
        correction = row["failed"] and row["edited"] and row["verdict"] == "behavior"
        accepted = row["labelled"] and not row["failed"] and row["schema_ok"] is not False
        if correction or accepted:
            same = ("day", "id", "variant", "topic", "user_id", "prompt", "passages", "release_id", "occurred_at")
            found.append(
                {name: row[name] for name in same}
                | {"completion": row["corrected_response"] if row["edited"] else row["response"]}
                | {"source": "correction" if correction else "accepted"}
                | {"interaction_ids": json.dumps([row["id"]], ensure_ascii=False)}
            )
    return sorted(found, key=lambda row: (row["day"], row["id"].encode()))


def gaps(lake: Lake, days: list[date]) -> list[dict]:
    """Without the rank: the order of the list is what is compared with it."""
    groups: dict[tuple, list[dict]] = defaultdict(list)
    for row in outcomes(lake, days):
        if row["verdict"] == "knowledge":
            made = row["attribution"]
            groups[(row["variant"], made["kind"], made["doc_id"], row["topic"])].append(row)
    found = []
    for (variant, kind, doc_id, topic), members in groups.items():
        newest = sorted(members, key=lambda row: (-row["day"].toordinal(), row["id"].encode()))
        found.append(
            {
                "variant": variant,
                "kind": kind,
                "doc_id": doc_id,
                "topic": topic,
                "failures": len(members),
                "users": len({row["user_id"] for row in members} - {None}),
                "first_day": newest[-1]["day"],
                "last_day": newest[0]["day"],
                "example_ids": json.dumps([row["id"] for row in newest[:5]], ensure_ascii=False, separators=(",", ":")),
                "example_prompt": newest[0]["prompt"],
            }
        )
    return sorted(
        found,
        key=lambda gap: (
            *(-gap["failures"], -gap["users"], -gap["last_day"].toordinal(), gap["variant"]),
            *(gap["kind"] is None, gap["kind"] or "", gap["doc_id"] is None, gap["doc_id"] or "", gap["topic"]),
        ),
    )
