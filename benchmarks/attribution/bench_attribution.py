"""How often attribution is right on labelled cases, and how fast it is.

    python -m benchmarks.attribution.bench_attribution [--per-source 400] [--half report|tuning]

Prints precision and recall, the confusion matrix, kinds and sources; writes benchmarks/out/attribution.json and .png.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from assets.behavior.attribution import VERSION, Verdict, attribute, attribute_day
from assets.behavior.schemas import INTERACTIONS
from benchmarks.attribution.cases import Labelled, build
from orchestration.engines.corpus_history import LakeHistory
from orchestration.engines.lake import FolderLake

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "benchmarks" / "out"
VERDICTS = ("knowledge", "behavior", "unclear")


def judge(cases: list[Labelled], history: LakeHistory) -> list[Verdict]:
    found = []
    for row in cases:
        corpus = history.as_of(row.at)
        later = history.as_of(row.corrected_at) if row.corrected_at else corpus
        found.append(attribute(row.case, corpus, later))
    return found


def measure(cases: list[Labelled], verdicts: list[Verdict]) -> dict[str, Any]:
    """Precision and recall of both verdicts, and counts by label, kind and source."""
    matrix = Counter((case.verdict, verdict.verdict) for case, verdict in zip(cases, verdicts, strict=True))
    kinds, sources = Counter(), Counter()
    for case, verdict in zip(cases, verdicts, strict=True):
        made, given = f"{case.verdict}/{case.kind}", f"{verdict.verdict}/{verdict.kind}"
        kinds[made, given] += 1
        sources[case.source, made, "right" if case.verdict == verdict.verdict else f"{verdict.verdict}"] += 1
    scores = {}
    for name in VERDICTS[:2]:
        right = matrix[name, name]
        given = sum(count for (_, got), count in matrix.items() if got == name)
        made = sum(count for (label, _), count in matrix.items() if label == name)
        scores[name] = {"precision": right / max(1, given), "recall": right / max(1, made), "cases": made}
    return {
        "cases": len(cases),
        "scores": scores,
        "matrix": {made: {got: matrix[made, got] for got in VERDICTS} for made in VERDICTS},
        "kinds": _nested(kinds),
        "sources": _nested(Counter({(f"{s}, {m}", g): n for (s, m, g), n in sources.items()})),
    }


def balanced(report: dict[str, Any]) -> dict[str, float]:
    """Recall averaged over sources, so that no large source hides a small one."""
    found: dict[str, list[float]] = {name: [] for name in VERDICTS[:2]}
    for name, counts in report["sources"].items():
        verdict = name.rsplit(", ", 1)[1].split("/")[0]
        if verdict in found:
            found[verdict].append(counts.get("right", 0) / sum(counts.values()))
    return {name: sum(rates) / len(rates) for name, rates in found.items()}


def speed(cases: list[Labelled], history: LakeHistory, failing: float = 0.05) -> dict[str, float]:
    """Failed interactions a second through `attribute_day`, and seconds for all of a day of which few fail."""
    failed = table(cases)
    began = time.perf_counter()
    attribute_day(failed, history, topics=None)
    seconds = time.perf_counter() - began
    good = failed.slice(0, 1_000).set_column(
        INTERACTIONS.get_field_index("corrected_response"), "corrected_response", pa.nulls(1_000, pa.string())
    )
    good = good.set_column(INTERACTIONS.get_field_index("feedback"), "feedback", pa.array(["up"] * 1_000))
    whole = pa.concat_tables([failed, *[good] * int(len(cases) / failing / 1_000)])
    began = time.perf_counter()
    attribute_day(whole, history, topics=lambda prompts: ["some"] * len(prompts))
    mixed = time.perf_counter() - began
    return {
        "failed_per_second": len(cases) / seconds,
        "interactions": whole.num_rows,
        "interactions_per_second": whole.num_rows / mixed,
    }


def table(cases: list[Labelled]) -> pa.Table:
    """The cases as a day's interactions, in the order of time."""
    rows = []
    for row in sorted(cases, key=lambda case: case.at):
        case = row.case
        passages = [{"chunk_id": "", "doc_id": p.doc_id, "text_sha": p.text_sha} for p in case.passages]
        texts = [{"text": p.text} if p.text else {} for p in case.passages]
        rows.append(
            {
                "id": row.id,
                "occurred_at": row.at,
                "received_at": row.corrected_at or row.at + timedelta(seconds=1),
                "prompt": case.prompt,
                "response": case.response,
                "passages": json.dumps([a | b for a, b in zip(passages, texts, strict=True)]),
                "feedback": case.feedback,
                "corrected_response": case.corrected,
            }
        )
    return pa.Table.from_pylist(rows, schema=INTERACTIONS)


def run(data: Path, per_source: int, half: str) -> dict[str, Any]:
    cases, log = build(data, per_source)
    chosen = [case for case in cases if case.reported == (half == "report")]
    with tempfile.TemporaryDirectory() as folder:
        lake = FolderLake(Path(folder))
        rows = log.write(lake)
        history = LakeHistory(lake)
        began = time.perf_counter()
        texts = len(history.log.texts)
        history.log.indexed()
        built = time.perf_counter() - began
        report = measure(chosen, judge(chosen, history))
        report |= {"version": VERSION, "half": half, "balanced_recall": balanced(report)}
        report["speed"] = speed(chosen, history) | {"log_rows": rows, "texts": texts, "index_seconds": built}
    return report


def show(report: dict[str, Any]) -> None:
    for name, row in report["scores"].items():
        balance = report["balanced_recall"][name]
        print(
            f"{name:10} precision {row['precision']:.3f}  recall {row['recall']:.3f}  "
            f"mean recall of sources {balance:.3f}  ({row['cases']} cases)"
        )
    print(f"\n{'made to be':12}" + "".join(f"{name:>12}" for name in VERDICTS))
    for made, row in report["matrix"].items():
        print(f"{made:12}" + "".join(f"{row[name]:12}" for name in VERDICTS))
    for part in ("kinds", "sources"):
        print(f"\n{part}")
        for made, counts in sorted(report[part].items()):
            print(f"  {made:60} " + ", ".join(f"{got} {n}" for got, n in sorted(counts.items(), key=lambda x: -x[1])))
    print("\n" + ", ".join(f"{name} {value:,.1f}" for name, value in report["speed"].items()))


def draw(report: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.2, 3.8), layout="constrained")
    values = [[report["matrix"][made][got] for got in VERDICTS] for made in VERDICTS]
    shares = [[value / max(1, sum(row)) for value in row] for row in values]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            color = "white" if shares[y][x] > 0.5 else "black"
            axes.text(x, y, f"{value:,}\n{shares[y][x]:.1%}", ha="center", va="center", color=color)
    axes.set_xticks(range(3), VERDICTS)
    axes.set_yticks(range(3), VERDICTS)
    axes.set_xlabel("verdict")
    axes.set_ylabel("made to be")
    axes.set_title(f"Attribution, {report['cases']:,} cases of the reported half")
    figure.savefig(path, dpi=150)


def _nested(counts: Counter[Any]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (made, got), count in counts.items():
        found.setdefault(made, {})[got] = count
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-source", type=int, default=400)
    parser.add_argument("--half", choices=("report", "tuning"), default="report")
    options = parser.parse_args()
    data = Path(os.environ.get("TWOHANDS_SHARED_DATA", ROOT.parent / "shared" / "data"))
    report = run(data, options.per_source, options.half)
    show(report)
    if options.half == "report":
        OUT.mkdir(exist_ok=True)
        (OUT / "attribution.json").write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
        draw(report, OUT / "attribution.png")


if __name__ == "__main__":
    main()
