"""How much does it cost to keep an index equal to changing documents? Ours, CocoIndex and LangChain, in one run.

    python -m benchmarks.reindex.bench_reindex             all steps, free and real encoder, whole histories
    python -m benchmarks.reindex.bench_reindex --quick     a few minutes less: fewer files, free encoder only

Every system runs in a process of its own, over the same files, with the same counting encoder. Writes
benchmarks/out/reindex.json and reindex.png. Peers that are not installed are skipped with the reason; the exit status
is 1 when one of our own exactness targets is missed (times are reported, and never fail the run).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run as a file: `benchmarks` is no installed package
    sys.path[0] = str(ROOT)

from benchmarks.reindex import corpora, report, scenario, worker  # noqa: E402

EXTRA = 'pip install -e ".[bench]"'
BUSY = ": THE MACHINE IS BUSY, so that its times say little (the counts hold)"
REAL = ("ours", "cocoindex", "langchain")  # the others differ in what they store, not in what they embed at what speed


def main() -> int:
    """Runs, prints, writes."""
    given = _arguments()
    labels = {step.key: step.label for step in scenario.steps(given.quick)}
    here = machine()
    print(f"{here['cpu']}, {here['cores']} cores, load {here['load_before']:.1f}{BUSY * here['busy']}\n", flush=True)
    out: dict[str, Any] = {"machine": here, "labels": labels, "modes": {}, "histories": []}
    for mode in given.mode:
        chosen = [name for name in given.systems if mode == "free" or name in REAL]
        rounds = range(given.repeat if mode == "free" else 1)  # in rounds, so that a busy minute hits every system
        found = [[_once(name, mode, given.quick) for name in chosen] for _ in rounds]
        entries = [merged(list(runs)) for runs in zip(*found, strict=True)]
        out["modes"][mode] = entries
        print(report.render(mode, entries, labels), flush=True)
    if given.histories and "ours" in given.systems:
        out["histories"] = _histories(given.quick)
    verdicts = report.verdicts(out["modes"].get("free", []), out["histories"])
    out["targets"] = [{"target": target, "seen": seen, "met": met} for target, seen, met in verdicts]
    if verdicts:
        rows = [[target, seen, "yes" if met else "NO"] for target, seen, met in verdicts]
        print(f"\n## Targets\n\n{report.table(['target', 'seen', 'met'], rows)}")
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "reindex.json").write_text(json.dumps(out, indent=1) + "\n")
    print(f"\n{given.out / 'reindex.json'}")
    first = next(iter(out["modes"]))
    if any("steps" in entry for entry in out["modes"][first]):
        report.figure(given.out / "reindex.png", out["modes"][first], labels, first)
        print(given.out / "reindex.png")
    failed = [e for entries in out["modes"].values() for e in entries if e["system"] == "ours" and "steps" not in e]
    return int(bool(failed) or any(not met for target, _, met in verdicts if "own seconds" not in target))


def merged(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The runs of one system, each in a process of its own, as one: times are medians, counts must agree."""
    worst = next((entry for entry in found if "steps" not in entry), None)
    if worst:
        return worst
    entry = found[0]
    for place, step in enumerate(entry["steps"]):
        same = [other["steps"][place] for other in found]
        for key in ("seconds", "encoder", "cpu"):
            step[key] = statistics.median(other[key] for other in same)
        step["counts_agree"] = len({(s["embeds"], s["floor"], s["stale"], s["missing"]) for s in same}) == 1
    return {**entry, "runs": len(found)}


def _once(name: str, mode: str, quick: bool) -> dict[str, Any]:
    print(f"{name}, {mode} encoder", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.reindex.worker", name, str(out), "--mode", mode]
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            command + ["--quick"] * quick, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=False
        )
        if not out.exists():
            return {"system": name, "failed": f"the process ended with status {done.returncode}; see above"}
        entry = json.loads(out.read_text())
    if "skipped" in entry:
        entry["skipped"] += f" (or all peers: {EXTRA})"
    return entry


def _histories(quick: bool) -> list[dict[str, Any]]:
    from benchmarks.reindex import history

    found = [history.replay(name, quick) for name in corpora.NAMES]
    print(f"\n{report.histories(found)}", flush=True)
    return found


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "busy": os.getloadavg()[0] > 0.5,
        "python": platform.python_version(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _arguments() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="fewer files and snapshots, the free encoder, one run")
    options.add_argument("--mode", choices=("free", "real"), action="append", help="default: both; quick: free")
    options.add_argument("--systems", nargs="+", choices=worker.SYSTEMS, default=list(worker.SYSTEMS))
    options.add_argument("--repeat", type=int, help="runs with the free encoder, of which the median is taken")
    options.add_argument("--no-histories", dest="histories", action="store_false")
    options.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out")
    given = options.parse_args()
    given.mode = given.mode or (["free"] if given.quick else ["free", "real"])
    given.repeat = given.repeat or (1 if given.quick else 3)
    return given


if __name__ == "__main__":
    sys.exit(main())
