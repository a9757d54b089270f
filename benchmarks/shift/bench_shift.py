"""When must the slow hand move? Our test beside its peers and an oracle, on the same streams, in one run.

    python -m benchmarks.shift.bench_shift                     everything (an hour or more on two cores)
    python -m benchmarks.shift.bench_shift --quick             minutes: few streams, 100 interactions a day only
    python -m benchmarks.shift.bench_shift --streams PATH      streams from files (see stored.py), tuned settings kept
    python -m benchmarks.shift.bench_shift --render [--timing] tables and figure anew from the numbers of the last run

Writes docs/shift-benchmark.md and .json and docs/images/shift-delay.png; with --quick, --kinds or --streams to
benchmarks/out/. No stream is both tuned on and reported. Reports goals that are missed, and never fails for them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before numpy: the processes share the cores
    os.environ.setdefault(_name, "1")

from benchmarks.shift import campaign, report, results, runs, stored  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "benchmarks" / "out"
DOCS = ROOT / "docs"
NAME = "shift-benchmark"


def main() -> int:
    """Runs, prints, writes."""
    given = arguments()
    if given.streams:
        return from_files(given)
    kept = given.out / f"{NAME}.json"
    if given.render:
        out = json.loads(kept.read_text())
        if given.timing:
            out["timing"] = campaign.timing()
            out["goals"] = results.goals(out)
            write(kept, out)
    else:
        out = clean(campaign.everything(given))
        write(kept, out)
    text = report.document(out)
    print(text)
    (given.out / f"{NAME}.md").write_text(text)
    image = given.out / "images" / "shift-delay.png"
    if out["curves"]:
        report.figure(image, out)
    return 0


def from_files(given: argparse.Namespace) -> int:
    """Streams from files: what each system does on each, and all of them together."""
    kept = DOCS / f"{NAME}.json"
    tuned = json.loads(kept.read_text())["tuned"].get("100", {}) if kept.exists() else {}
    if not kept.exists():
        print(f"{kept.name} is not there: systems run at their defaults only", file=sys.stderr)
    rows = [
        runs.Job(one.kind, one.seed, one.per_day, tuned, slow=given.slow, stored=one)
        for one in stored.read(given.streams)
    ]
    outcomes = runs.run_all(rows, given.processes, campaign.progress("streams"))
    print(report.streams(outcomes))
    found: dict[str, Any] = {
        "streams": [{"stream": row.kind, "change": row.change, "triggers": row.triggers} for row in outcomes]
    }
    quiet = [row for row in outcomes if row.change is None]
    moved = [row for row in outcomes if row.change is not None]
    if quiet:
        found["quiet"] = results.quiet({"all quiet streams": quiet})
        print("\n" + report.quiet(found["quiet"]))
    if moved:
        found["moved"] = clean(results.shifts({"all changed streams": moved}))
        print("\n" + report.shifts(found["moved"]))
    write(OUT / "shift-streams.json", found)
    return 0


def clean(value: Any) -> Any:
    """The same without infinities, which JSON does not know: None."""
    if isinstance(value, dict):
        return {str(key): clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [clean(inner) for inner in value]
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return None
    return value


def write(path: Path, content: dict[str, Any]) -> None:
    """As JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    print(path.name, file=sys.stderr)


def arguments() -> argparse.Namespace:
    """The command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="few streams, 100 interactions a day")
    options.add_argument("--streams", type=Path, help="a directory or file of daily counts")
    options.add_argument("--render", action="store_true", help="only tables and figure, from the JSON of the last run")
    options.add_argument("--timing", action="store_true", help="with --render: our seconds, measured anew")
    options.add_argument("--kinds", nargs="+", help='only these, such as none fail_0.6 "real maths"')
    options.add_argument("--seed", type=int, default=0, help="another number, other reported streams")
    options.add_argument("--quiet", type=int, help="streams of each kind of the pool (6 kinds)")
    options.add_argument("--shifts", type=int, help="streams of each other kind")
    options.add_argument("--tuning", type=int, help="streams of each kind of the pool that is tuned on")
    options.add_argument("--volume", type=int, help="streams of each kind at other volumes")
    options.add_argument("--real-streams", type=int, help="streams of each kind made of real texts")
    options.add_argument("--volumes", type=float, nargs="+", help="interactions a day: 10 100 100000")
    options.add_argument("--no-real", dest="real", action="store_false", help="no streams of real texts")
    options.add_argument("--no-slow", dest="slow", action="store_false", help="without Evidently")
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    few, many = (8, 6, 5, 4, 3), (80, 60, 40, 30, 20)
    names = ("quiet", "shifts", "tuning", "volume", "real_streams")
    for name, default in zip(names, few if given.quick else many, strict=True):
        if getattr(given, name) is None:
            setattr(given, name, default)
    given.volumes = given.volumes or ([100.0] if given.quick else [100.0, 10.0, 100_000.0])
    given.out = given.out or (OUT if given.quick or given.kinds else DOCS)
    return given


if __name__ == "__main__":
    sys.exit(main())
