"""The whole benchmark as a plan: what is tuned on, what is reported, and all of it summed up."""

from __future__ import annotations

import argparse
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.shift import real_streams, regret, results, runs, streams, systems, tuning
from benchmarks.shift.ours import CONFIG, prepared, tick, trajectory

VOLUME_QUIET = ("none", "stale_documents", "seasonality", "ar1", "ar1_all")
VOLUME_SHIFTS = ("fail_0.3", "fail_0.6", "fail_1.2", "style", "one_topic", "ar1_all_fail_0.6")
SLOW_EVERY = 4  # one stream in so many is also given to the slow peers
SEEDS = 100_000  # between two values of --seed


def jobs(given: argparse.Namespace, volume: float, tuned: dict[str, float]) -> list[runs.Job]:
    """The reported streams of one volume."""
    usual = volume == 100
    quiet = streams.QUIET if usual else VOLUME_QUIET
    moved = streams.SHIFTS if usual else VOLUME_SHIFTS
    found = []
    for kind in (*quiet, *moved):
        if given.kinds and kind not in given.kinds:
            continue
        pooled = kind in runs.QUIET_ON
        count = given.volume if not usual else given.quiet if pooled else given.shifts
        curves = usual and (pooled or kind in results.CURVES)
        found += [_job(given, kind, i, volume, tuned, curves=curves) for i in range(count)]
    return found


def real_jobs(given: argparse.Namespace, tuned: dict[str, float]) -> list[runs.Job]:
    """Streams of real texts, where the data is."""
    here = real_streams.available()[0] if given.real else []
    names = [name for name in real_streams.NAMES if name.split()[0] in here]
    if given.kinds:
        names = [name for name in names if real_streams.PREFIX + name in given.kinds]
    return [_job(given, real_streams.PREFIX + name, i, 100, tuned) for name in names for i in range(given.real_streams)]


def _job(
    given: argparse.Namespace, kind: str, place: int, volume: float, tuned: dict[str, float], *, curves: bool = False
) -> runs.Job:
    seed = runs.REPORT + SEEDS * given.seed + place
    slow = given.slow and volume == 100 and place % SLOW_EVERY == 0
    return runs.Job(kind, seed, volume, tuned, curves, slow)


def tune(given: argparse.Namespace, volume: float) -> tuple[dict[str, float], float]:
    """Settings as quiet as our test at its default, and how quiet that is."""
    kinds = runs.QUIET_ON if volume == 100 else VOLUME_QUIET[:3]
    rows = [
        runs.Job(kind, runs.TUNING + place, volume, {}, True, given.slow and volume == 100 and place % SLOW_EVERY == 0)
        for kind in kinds
        for place in range(given.tuning)
    ]
    outcomes = runs.run_all(rows, given.processes, progress(f"tuning, {volume:,.0f} a day"))
    grids = {peer.name: peer.grid for peer in systems.peers()[0] if peer.grid}
    most = tuning.target(outcomes, CONFIG.alpha, grids[systems.OURS])
    found = tuning.tune(outcomes, grids, most)
    found.pop(systems.OURS, None)  # ours is reported as it comes
    return found, most


def timing() -> dict[str, Any]:
    """Seconds of one tick and of the whole trajectory after a year of 50 topics, the best of three."""
    stream = streams.make("none", runs.REPORT, per_day=2_000, topics=50)
    daily, contract = prepared(stream)
    found: dict[str, Any] = {"days": stream.days, "topics": 50, "events": len(CONFIG.events)}
    for name, work in (("tick", lambda: tick(daily, contract)), ("trajectory", lambda: trajectory(stream.since(0)))):
        seconds = []
        for _ in range(3):
            began = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - began)
        found[name] = min(seconds)
    return found


def everything(given: argparse.Namespace) -> dict[str, Any]:
    """Tunes, runs, and sums up."""
    peers, skipped = systems.peers()
    skipped += real_streams.available()[1] if given.real else []
    out: dict[str, Any] = {"timing": timing(), "tuned": {}, "targets": {}, "skipped": skipped}
    checked(given)
    outcomes: list[runs.Outcome] = []
    for volume in given.volumes:
        key = f"{volume:.0f}"
        out["tuned"][key], out["targets"][key] = tune(given, volume)
        rows = jobs(given, volume, out["tuned"][key])
        rows += real_jobs(given, out["tuned"][key]) if volume == 100 else []
        outcomes += runs.run_all(rows, given.processes, progress(f"{volume:,.0f} a day"))
    kinds = {f"{volume:.0f}": found for volume, found in results.grouped(outcomes).items()}
    out["quiet"] = {volume: results.quiet(found) for volume, found in kinds.items()}
    out["shifts"] = {volume: results.shifts(found) for volume, found in kinds.items()}
    usual = kinds.get("100", {})
    synthetic = {kind: rows for kind, rows in usual.items() if not kind.startswith(real_streams.PREFIX)}
    prices = regret.PRICES
    out["regret"] = results.costs(synthetic, prices)
    out["sensitivity"] = sensitivity(synthetic)
    out["prices"] = {
        "currency": "EUR", "fine_tune": prices.fine_tune, "gpu_hours": prices.gpu_hours, "gpu_hour": prices.gpu_hour,
        "failure": prices.failure,
    }  # fmt: skip
    out["curves"] = results.curves(synthetic, {peer.name: peer.grid for peer in peers if peer.grid})
    out["defaults"] = {peer.name: peer.default for peer in peers if peer.default is not None}
    out["leaks"] = real_streams.leaks() if given.real else {}
    out["goals"] = results.goals(out)
    out |= {"versions": versions(), "config": CONFIG.digest, "command": " ".join(["bench_shift", *sys.argv[1:]])}
    return out


def sensitivity(kinds: dict[str, list[runs.Outcome]]) -> list[dict[str, Any]]:
    """Regret against the oracle and the best peer for fine-tunes that are dearer beside a spoiled answer."""
    found = []
    for hours in (1, 8, 64):
        prices = regret.Prices(gpu_hours=hours)
        costs = results.costs(kinds, prices)
        best = results.best_peer(costs)
        if best and systems.OURS in costs and systems.ORACLE in costs:
            ours, oracle = (costs[name]["mean"]["total"] for name in (systems.OURS, systems.ORACLE))
            peer = costs[best]["mean"]["total"]
            row = {
                "worth": prices.fine_tune / prices.failure,
                "oracle": ours / oracle,
                "peer": ours / peer,
                "best": best,
            }
            found.append(row)
    return found


def checked(given: argparse.Namespace) -> None:
    """Evidently's preset against its tests run apart."""
    if given.slow:
        from benchmarks.shift.peers import evidently_peer

        for days in (1, 7):
            windows = evidently_peer.agrees(streams.make("topic_mix", runs.TUNING), days)
            print(f"Evidently: preset and tests agree on {windows} windows of {days} day(s)", file=sys.stderr)


def versions() -> dict[str, str]:
    """Of what was compared."""
    found = {"python": sys.version.split()[0]}
    for name in ("numpy", "scipy", "river", "evidently"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def progress(what: str) -> Any:
    """A callback that says on stderr how far it is, twenty times."""
    began = time.monotonic()

    def show(number: int, total: int) -> None:
        if number == total or number % max(1, total // 20) == 0:
            print(f"{what}: {number} of {total}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

    return show
