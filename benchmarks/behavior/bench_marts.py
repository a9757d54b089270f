"""What the marts cost: a full build, and the correction of 3 days, over interactions that lie in the lake already.

    python benchmarks/behavior/bench_marts.py [--interactions 1000000] [--days 365] [--json FILE]

Prints seconds and peak memory of dbt (DuckDB included), and the share that a 3-day correction costs of a full build.
Interactions are written straight into the lake, so that only the warehouse is timed. Memory is the largest resident
set of any dbt process, as the kernel counts it.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from assets.behavior.schemas import ATTRIBUTIONS, INTERACTIONS, REFERENCE, partition  # noqa: E402
from assets.ports import Lake  # noqa: E402
from orchestration.engines.lake import open_lake  # noqa: E402
from orchestration.engines.warehouse import Warehouse  # noqa: E402

FIRST = date(2025, 1, 1)
TOPICS = np.array([f"topic-{number:02d}" for number in range(12)])
TEXT = np.array([("the handbook says that " + "words of an answer " * size)[: 80 + 20 * size] for size in range(16)])


def chosen(dice: np.random.Generator, values: list[object], shares: list[float], count: int) -> pa.Array:
    """`count` values by their shares, as an Arrow array."""
    return pa.array(values).take(pa.array(dice.choice(len(values), count, p=shares)))


def write_day(lake: Lake, day: date, count: int, dice: np.random.Generator) -> None:
    """A day as ingestion and attribution leave it: 30% labelled, 12% edited, 12 topics, 2 variants."""
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1e6)
    moments = np.sort(dice.integers(0, 86_400_000_000, count)) + start
    ids = pa.array([f"{day:%Y%m%d}-{number:07d}" for number in range(count)])
    pieces = pa.array(TEXT)
    response = pc.binary_join_element_wise(pieces.take(pa.array(dice.integers(0, 16, count))), ids, " ")
    edited = pa.array(dice.random(count) < 0.12)
    better = pc.binary_join_element_wise(response, pa.scalar("corrected"), " ")
    feedback = chosen(dice, ["up", "down", "none"], [0.12, 0.08, 0.8], count)
    corrected = pc.if_else(edited, better, pa.scalar(None, pa.string()))
    columns = {
        "id": ids,
        "occurred_at": pa.array(moments, pa.timestamp("us", tz="UTC")),
        "received_at": pa.array(moments + 1_000_000, pa.timestamp("us", tz="UTC")),
        "user_id": pc.binary_join_element_wise(
            "user", pc.cast(pa.array(dice.integers(0, 5_000, count)), "string"), "-"
        ),
        "variant": chosen(dice, ["main", "support"], [0.8, 0.2], count),
        "prompt": pc.binary_join_element_wise(pieces.take(pa.array(dice.integers(0, 6, count))), ids, " "),
        "response": response,
        "passages": pa.repeat('[{"chunk_id": "c1", "doc_id": "handbook/a.md", "text_sha": "00"}]', count),
        "release_id": pa.repeat("r1", count),
        "feedback": feedback,
        "corrected_response": corrected,
        "schema_ok": chosen(dice, [True, False, None], [0.5, 0.05, 0.45], count),
        "topic": pa.array(TOPICS).take(pa.array(dice.integers(0, len(TOPICS), count))),
        "tags": pa.repeat("[]", count),
    }
    lake.write(partition("interactions", day), pa.table(columns, INTERACTIONS))
    needs = pc.or_(edited, pc.equal(feedback, "down"))
    failed = ids.filter(needs)
    size, was_edited = len(failed), edited.filter(needs)
    nothing = pa.scalar(None, pa.float64())
    made = {
        "id": failed,
        "topic": pa.nulls(size, pa.string()),
        "verdict": chosen(dice, ["knowledge", "behavior", "unclear"], [0.4, 0.4, 0.2], size),
        "kind": chosen(dice, [None, "missing_document"], [0.9, 0.1], size),
        "doc_id": chosen(dice, [None, *(f"handbook/{n}.md" for n in range(40))], [0.2, *([0.02] * 40)], size),
        "evidence": pa.repeat("{}", size),
        "edit": pc.if_else(was_edited, pa.array(dice.random(size)), nothing),
        "produced_refusal": pa.array(dice.random(size) < 0.02),
        "corrected_refusal": pa.array(dice.random(size) < 0.02),
        "produced_format": chosen(dice, ["prose", "list"], [0.9, 0.1], size),
        "corrected_format": chosen(dice, ["prose", "list"], [0.9, 0.1], size),
        "version": pa.repeat("1", size),
    }
    made["kind"] = pc.if_else(
        pc.equal(made["verdict"], "knowledge"), pa.scalar("missing_document"), nothing.cast("string")
    )
    lake.write(partition("attributions", day), pa.table(made, ATTRIBUTIONS))


def fill(lake: Lake, interactions: int, days: list[date]) -> None:
    dice = np.random.default_rng(7)
    for day in days:
        write_day(lake, day, interactions // len(days), dice)
    rows = [
        {"variant": variant, "topic": str(topic), "style_median": 200.0, "edit_p60": 0.6}
        for variant in ("main", "support")
        for topic in TOPICS
    ]
    lake.write("behavior/reference/data.parquet", pa.Table.from_pylist(rows, REFERENCE))


def processor_seconds() -> float:
    """Of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(interactions: int, count: int, home: Path) -> dict[str, float | int]:
    lake = open_lake(str(home / "lake"), locks=home / "locks")
    warehouse = Warehouse(project=ROOT / "dbt_project", home=home, lake=lake, lake_root=str(home / "lake"))
    days = [FIRST + timedelta(number) for number in range(count)]
    clock = time.perf_counter()
    fill(lake, interactions, days)
    filled = time.perf_counter() - clock
    clock = time.perf_counter()
    warehouse.manifest()
    parsed = time.perf_counter() - clock
    before = processor_seconds()
    full = warehouse.build(days)
    cpu = processor_seconds() - before
    clock = time.perf_counter()
    rows = warehouse.export_daily(days)
    exported = time.perf_counter() - clock
    middle = count // 2
    write_day(lake, days[middle], interactions // count // 2, np.random.default_rng(1))
    near = warehouse.build(days[middle : middle + 3])
    far = warehouse.build([days[0], days[middle], days[-1]])
    return {
        "interactions": interactions,
        "days": count,
        "filling_seconds": round(filled, 1),
        "parse_seconds": round(parsed, 1),
        "full_seconds": round(full.seconds, 1),
        "full_cpu_seconds": round(cpu, 1),
        "export_seconds": round(exported, 1),
        "daily_rows": rows,
        "three_days_in_a_row_seconds": round(near.seconds, 1),
        "three_days_apart_seconds": round(far.seconds, 1),
        "share_in_a_row": round(near.seconds / full.seconds, 4),
        "share_apart": round(far.seconds / full.seconds, 4),
        "peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        "warehouse_mib": (home / "warehouse.duckdb").stat().st_size // 2**20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--json", type=Path, default=None, help="also write the numbers to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options.interactions, options.days, Path(folder))
    width = max(len(name) for name in found)
    for name, value in found.items():
        print(f"{name:<{width}}  {value:>12,}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
