"""How many interactions each variant has on each built day: kept as a note, so that a look reads no interaction.

Interactions of a variant that twohands.toml lacks are stored and counted like others, and never judged: it has neither
a reference nor a decision of its own. A misspelt name would go unseen for good, so that somebody has to be told.

    {day: {variant: interactions}}   behavior/variants.json, written before a build is noted as done
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import date

from assets.behavior.schemas import partition
from assets.ports import Lake
from assets.rendering import counted

NOTE = "behavior/variants.json"
_EVERY = "labelled"  # the event of behavior_daily for which all interactions are eligible
_NAMED, _CHARACTERS = 5, 60  # variants that are named, and how much of a name


def note(lake: Lake, built: Collection[str], fresh: Iterable[date]) -> None:
    """Keeps the counts of the `built` days, and counts `fresh` ones anew. Call it under the lock of builds."""
    before = _noted(lake)
    known = {day: before[day] for day in before.keys() & set(built) - {day.isoformat() for day in fresh}}
    found = _filled(lake, known, built)
    if found != before:
        lake.write_text(NOTE, json.dumps(found, sort_keys=True))


def counts(lake: Lake, built: Collection[str]) -> dict[str, Mapping[str, int]]:
    """Interactions by day and variant of the `built` days. A day that was built before there was a note is counted."""
    before = _noted(lake)
    return _filled(lake, {day: before[day] for day in before.keys() & set(built)}, built)


def lacking(found: Iterable[Mapping[str, int]], served: Collection[str]) -> dict[str, int]:
    """Of these days' counts those of variants that are not served, the largest first."""
    total: Counter[str] = Counter()
    for day in found:
        total.update(day)
    return {name: count for name, count in total.most_common() if name not in served}


def told(unknown: Mapping[str, int]) -> str:
    """What `lacking` found, in words; empty where it found nothing."""
    if not unknown:
        return ""
    names = ["".join(c if c.isprintable() else "?" for c in name)[:_CHARACTERS] for name in list(unknown)[:_NAMED]]
    names += ["..."] if len(unknown) > _NAMED else []
    count = counted(sum(unknown.values()), "interaction")
    return f"{count} of variants that twohands.toml lacks: {', '.join(names)}"


def _noted(lake: Lake) -> dict[str, Mapping[str, int]]:
    return json.loads(lake.read_text(NOTE) or "{}")


def _filled(lake: Lake, known: Mapping[str, Mapping[str, int]], built: Collection[str]) -> dict[str, Mapping[str, int]]:
    return {**known, **{day: _counted(lake, date.fromisoformat(day)) for day in built if day not in known}}


def _counted(lake: Lake, day: date) -> dict[str, int]:
    table = lake.read(partition("daily", day))
    found: Counter[str] = Counter()
    for row in table.select(["variant", "event", "n"]).to_pylist() if table is not None else ():
        if row["event"] == _EVERY:
            found[row["variant"]] += row["n"]
    return dict(found)
