"""Somebody wants to be forgotten: interactions leave every table and every file of the lake and the warehouse.

    find       every version of the interactions in the landed events
    note       their ids: whatever lands under them from now on is a tombstone, as feedback on an erased answer is
    tombstones one for each interaction, later than all of its versions: landed like any other event
    rebuild    the days that held them, from interactions to the marts, and the corpus report
    scrub      their texts leave the landed events, the frozen training candidates, the datasets, the held-out sets and
               the pages of evaluations that quote them
    purge      the warehouse is rewritten: deleted rows would stay in its file, unseen, until something else lies there

Each step can be done again, so a kill anywhere is mended by erasing the same interactions once more. What is left are
ids, times and counts. The files that were landed are their owners': those that still hold lines are named here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute

from assets.behavior.dataset import store
from assets.behavior.evaluation import records, sets
from assets.behavior.frozen import FOLDER
from assets.behavior.landing import erased, holdings
from assets.behavior.landing.holdings import Held
from assets.behavior.landing.tick import MANUAL
from assets.behavior.taint.looking import FOLDER as TAINT
from assets.errors import Final
from assets.ports import Lake, Progress

if TYPE_CHECKING:
    from assets.behavior.pipeline import BehaviorData

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them
FILE = "erased.jsonl"  # the name that tombstones are given under


@dataclass(frozen=True, slots=True)
class Plan:
    """What an erasure concerns: interactions, ids that nothing is known of, event days, and the landed files (or days
    of logs) that hold them still. `prompts` are what was asked, for whoever looks for quotes elsewhere."""

    ids: tuple[str, ...]
    unknown: tuple[str, ...]
    days: tuple[date, ...]
    files: tuple[str, ...]
    prompts: tuple[str, ...]
    held: tuple[Held, ...] = ()


@dataclass(frozen=True, slots=True)
class Erased:
    """What was done: tombstones that were needed, rows scrubbed in landed events, candidates taken out of snapshots.

    `datasets` says how many rows each dataset lost, by its digest: what was trained on it knows them still. `held_out`
    counts items taken out of evaluation sets.
    """

    tombstones: int = 0
    rows: int = 0
    candidates: int = 0
    datasets: Mapping[str, int] = field(default_factory=dict)
    held_out: int = 0


class NotErased(Final):
    """An interaction could not be taken away."""


def plan(lake: Lake, ids: Sequence[str], users: Sequence[str] = ()) -> Plan:
    """Looks for these interactions, and for those of these users; changes nothing."""
    held = holdings.find(lake, ids, users)
    found = {one.id for one in held}
    files = {one.file for one in held if one.file and not one.file.startswith(MANUAL) and not one.deleted}
    return Plan(
        tuple(sorted(found)),
        tuple(sorted(set(ids) - found)),
        tuple(sorted({one.day for one in held})),
        tuple(sorted(files)),
        tuple(sorted({one.prompt for one in held} - {""})),
        tuple(held),
    )


def erase(data: BehaviorData, chosen: Plan, progress: Progress | None = None, now: datetime | None = None) -> Erased:
    """Does it; see above. Raises what a backfill raises, and NotErased when a tombstone is refused."""
    erased.add(data.lake, chosen.ids)  # before the tombstones are dated: what landed until here is older than they are
    lines = _tombstones(chosen.held, now or datetime.now(UTC))
    if lines:
        text = "".join(json.dumps(line) + "\n" for line in lines).encode()
        report = data.landing.ingest(FILE, text, "interactions")
        if report.quarantined:
            raise NotErased(
                f"{report.quarantined} tombstones were refused: {', '.join(report.reasons)}",
                expected="events that the settings [behavior] first_day and future_minutes let in",
                next_step="correct these settings, and erase again",
            )
    if chosen.days:
        data.backfill(chosen.days, progress)
        data.gaps(refresh=True)
    rows = holdings.scrub(data.lake, chosen.ids)
    candidates = _from_snapshots(data.lake, chosen.ids)
    datasets: dict[str, int] = {}
    for variant in sorted({name.split("/")[2] for name in data.lake.names(store.FOLDER)}):
        datasets |= store.forget(data.lake, variant, chosen.ids)
        data.lake.remove(data.lake.names(f"{TAINT}/{variant}"))  # so that verdicts look again
    held_out = 0
    for variant in records.variants(data.lake):
        records.forget(
            data.lake, variant, sets.holding(data.lake, variant, chosen.ids)
        )  # before it is not known any more
        held_out += sum(sets.forget(data.lake, variant, chosen.ids).values())
    if chosen.days:
        data.warehouse.purge()
    return Erased(len(lines), rows, candidates, datasets, held_out)


def _tombstones(held: Sequence[Held], now: datetime) -> list[dict[str, object]]:
    """One for each interaction whose greatest version is none."""
    newest: dict[str, Held] = {}
    for one in sorted(held, key=lambda one: (one.received_at, one.deleted)):
        newest[one.id] = one
    return [
        {
            "id": one.id,
            "occurred_at": one.occurred_at.isoformat(),
            "received_at": max(now, one.received_at + timedelta(seconds=1)).isoformat(),
            "deleted": True,
        }
        for one in sorted(newest.values(), key=lambda one: one.id)
        if not one.deleted
    ]


def _from_snapshots(lake: Lake, ids: Collection[str]) -> int:
    """Takes rows out of frozen candidates. A snapshot keeps its name, and its card says how many it lost."""
    values, count = pa.array(sorted(ids), pa.string()), 0
    for name in lake.names(FOLDER):
        table = lake.read(name) if name.endswith(".parquet") else None
        if table is None:
            continue
        gone = pc.is_in(table.column("id"), value_set=values)
        lost = int(pc.sum(gone).as_py() or 0)
        if lost:
            lake.write(name, table.filter(pc.invert(gone)))
            card_name = name.removesuffix(".parquet") + ".json"
            card = json.loads(lake.read_text(card_name) or "{}")
            lake.write_text(card_name, json.dumps({**card, "erased": card.get("erased", 0) + lost}, sort_keys=True))
            count += lost
    return count
