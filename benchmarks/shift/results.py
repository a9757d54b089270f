"""Outcomes of streams as the numbers of the report, JSON-able."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.shift import measure, regret, tuning
from benchmarks.shift.runs import QUIET_ON, Outcome
from benchmarks.shift.streams import KINDS
from benchmarks.shift.systems import ORACLE, OURS, PROPOSED

POOL = "pooled"
CURVES = ("fail_0.6", "fail_0.3", "one_topic")
LARGE = ("fail_0.6", "fail_1.2", "schema", "all")  # shifts of .6 and more of all topics
YEAR = 365
Numbers = dict[str, Any]


def grouped(outcomes: Iterable[Outcome]) -> dict[float, dict[str, list[Outcome]]]:
    """Volume -> kind -> outcomes."""
    found: dict[float, dict[str, list[Outcome]]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.per_day, {}).setdefault(outcome.kind, []).append(outcome)
    return found


def changes(kinds: dict[str, list[Outcome]]) -> dict[str, list[Outcome]]:
    """Those kinds in which behavior changes."""
    return {kind: rows for kind, rows in kinds.items() if rows[0].change is not None}


def labels(rows: Iterable[Outcome]) -> list[str]:
    """Systems that ran on any of the streams, in their order."""
    return list(dict.fromkeys(label for row in rows for label in row.triggers))


def quiet(kinds: dict[str, list[Outcome]]) -> Numbers:
    """kind -> system -> false triggers; the goal's kinds also pooled."""
    still = {kind: rows for kind, rows in kinds.items() if rows[0].change is None}
    pool = [row for kind in QUIET_ON for row in still.get(kind, [])]
    return {kind: _quiet(rows) for kind, rows in (still | ({POOL: pool} if pool else {})).items()}


def _quiet(rows: list[Outcome]) -> Numbers:
    return {
        label: asdict(
            measure.quiet((row.triggers[label] for row in rows if label in row.triggers), rows[0].days / YEAR)
        )
        for label in labels(rows)
    }


def shifts(kinds: dict[str, list[Outcome]]) -> Numbers:
    """kind -> system -> delays; with the share found within 90 days where the oracle was, too."""
    found: Numbers = {}
    for kind, rows in changes(kinds).items():
        found[kind] = {}
        for label in labels(rows):
            ran = [row for row in rows if label in row.triggers]
            days = [row.change or 0 for row in ran]
            found[kind][label] = asdict(measure.delays([row.triggers[label] for row in ran], days))
            found[kind][label]["possible"] = _possible(ran, label)
    return found


def _possible(rows: Sequence[Outcome], label: str) -> list[int]:
    """[streams that the oracle finds within 90 days, those of them that the system does]."""
    can = [row for row in rows if _in_time(row, ORACLE)]
    return [len(can), sum(_in_time(row, label) for row in can)]


def _in_time(row: Outcome, label: str) -> bool:
    return label in row.triggers and measure.delay(row.triggers[label], row.change or 0) <= measure.WITHIN


def costs(kinds: dict[str, list[Outcome]], prices: regret.Prices) -> Numbers:
    """system -> kind -> mean regret of a stream-year {fine_tunes, spoiled, total}; the mean over kinds is "mean".

    Kinds: the pool of quiet ones and all changes whose law is known, each counting the same.
    """
    chosen = {kind: rows for kind, rows in kinds.items() if kind in QUIET_ON or rows[0].harm}
    found: Numbers = {}
    for label in labels(row for rows in chosen.values() for row in rows):
        parts = {kind: _cost(rows, label, prices) for kind, rows in chosen.items()}
        if all(part is not None for part in parts.values()):
            total = {key: float(np.mean([part[key] for part in parts.values()])) for key in _KEYS}  # type: ignore[index]
            found[label] = {**parts, "mean": total}
    return found


_KEYS = ("fine_tunes", "spoiled", "total")


def _cost(rows: list[Outcome], label: str, prices: regret.Prices) -> Numbers | None:
    if label == ORACLE and rows[0].change is None:
        price = regret.ideal_on_quiet(0.05, prices)
        return {"fine_tunes": price, "spoiled": 0.0, "total": price}
    paid = [regret.regret(row.triggers[label], row.change, row.harm, prices) for row in rows if label in row.triggers]
    if not paid:
        return None
    tunes, spoiled = np.mean(paid, axis=0)
    return {"fine_tunes": float(tunes), "spoiled": float(spoiled), "total": float(tunes + spoiled)}


def best_peer(found: Numbers) -> str | None:
    """The system, other than ours and the oracle, with the least mean regret."""
    rest = [label for label in found if label not in (OURS, PROPOSED, ORACLE)]
    return min(rest, key=lambda label: found[label]["mean"]["total"], default=None)


def curves(kinds: dict[str, list[Outcome]], grids: dict[str, Sequence[float]]) -> Numbers:
    """peer -> settings, share of quiet streams that fire, and median delay by kind for each."""
    pool = [row for kind in QUIET_ON for row in kinds.get(kind, []) if row.firsts]
    found: Numbers = {}
    for peer, grid in grids.items():
        if not any(peer in row.firsts for row in pool):
            continue
        found[peer] = {"settings": list(grid), "false": tuning.shares(pool, peer).tolist(), "delay": {}}
        for kind in CURVES:
            rows = [row for row in kinds.get(kind, []) if peer in row.firsts]
            days = [row.change or 0 for row in rows]
            points = [measure.conditional([row.firsts[peer][i] for row in rows], days) for i in range(len(grid))]
            enough = max(2, len(rows) // 4)  # a median of the few that were quiet until then says nothing
            found[peer]["delay"][kind] = [middle if count >= enough else None for middle, count in points]
    return found


def ratio(found: Numbers, kind: str) -> float | None:
    """Our median delay over the oracle's."""
    row = found.get(kind, {})
    if OURS not in row or ORACLE not in row:
        return None
    return row[OURS]["median"] / row[ORACLE]["median"]


def goals(out: Numbers) -> list[tuple[str, str, bool]]:
    """(goal, seen, met) for each figure of the benchmark that was measured."""
    still, moved = out["quiet"].get("100", {}), out["shifts"].get("100", {})
    rows: list[tuple[str, str, bool]] = []
    if POOL in still:
        pool = still[POOL][OURS]
        rows.append(("false re-fine-tunes per stream-year <= 0.05", f"{pool['rate']:.3f} (upper 95% "
                     f"{pool['rate_upper']:.3f}, {pool['streams']} streams)", pool["rate"] <= 0.05))  # fmt: skip
        upper = still[POOL].get(PROPOSED, pool)["share_upper"]
        rows.append(("upper 95% bound of any trigger <= 0.06", f"{upper:.3f}", upper <= 0.06))
    if "stale_documents" in still:
        rate = still["stale_documents"][OURS]["rate"]
        rows.append(("stale documents with attribution errors <= 0.05", f"{rate:.3f}", rate <= 0.05))
    for kind in ("ar1", "ar1_all"):
        row = out["quiet"].get("100000", {}).get(kind)
        if row:
            share = row[OURS]["share"]
            seen = f"{share:.1%} of {row[OURS]['streams']}"
            rows.append((f"{kind} at 100,000 a day: any trigger <= 5%", seen, share <= 0.05))
    for kinds, limit, name in (
        (LARGE, 2, ">= .6 logit"),
        (("fail_0.3",), 3, ".3 logit"),
        (("one_topic",), 3, "1 of 8"),
    ):
        seen = {kind: value for kind in kinds if (value := ratio(moved, kind)) is not None}
        if seen:
            text = ", ".join(f"{kind} {value:.1f}x" for kind, value in seen.items())
            rows.append((f"median delay / oracle at {name} <= {limit}x", text, max(seen.values()) <= limit))
    return rows + _found(moved) + _regret(out) + _speed(out)


def _found(moved: Numbers) -> list[tuple[str, str, bool]]:
    counts = {kind: row[OURS]["possible"] for kind, row in moved.items() if row.get(OURS, {}).get("possible", [0])[0]}
    if not counts:
        return []
    can, did = (sum(pair[i] for pair in counts.values()) for i in (0, 1))
    low = [f"{kind} {pair[1] / pair[0]:.0%}" for kind, pair in counts.items() if pair[1] < 0.95 * pair[0]]
    text = f"{did / can:.1%} of {can}" + (f"; below: {', '.join(low)}" if low else "")
    return [("found within 90 days where the oracle can, every kind >= 95%", text, not low)]


def _regret(out: Numbers) -> list[tuple[str, str, bool]]:
    found = out["regret"]
    if OURS not in found:
        return []
    ours, rows = found[OURS]["mean"]["total"], []
    if ORACLE in found:
        times = ours / found[ORACLE]["mean"]["total"]
        rows.append(("regret against the oracle <= 1.5x", f"{times:.2f}x", times <= 1.5))
    best = best_peer(found)
    if best:
        times = ours / found[best]["mean"]["total"]
        rows.append(("regret against the best peer <= 0.5x", f"{times:.2f}x ({best})", times <= 0.5))
    return rows


def _speed(out: Numbers) -> list[tuple[str, str, bool]]:
    timing = out.get("timing")
    if not timing:
        return []
    limits = (("one tick's evidence", "tick", 0.1), ("the whole trajectory", "trajectory", 1.5))
    return [(f"{name} <= {limit} s", f"{timing[key]:.3f} s", timing[key] <= limit) for name, key, limit in limits]


def order(kinds: Iterable[str]) -> list[str]:
    """Kinds in the order of `streams.KINDS`, the pool first, others (real ones) last."""
    places = {POOL: -1, **{kind: place for place, kind in enumerate(KINDS)}}
    return sorted(kinds, key=lambda kind: (places.get(kind, len(places)), kind))
