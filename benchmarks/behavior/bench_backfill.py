"""From landed files to exported daily counts, end to end: the whole history, then a correction of three days of it.

    python benchmarks/behavior/bench_backfill.py [--interactions 1000000] [--days 365] [--apart]

Runs what `twohands ingest` and `twohands backfill` run, in one process and dbt beside it. Prints seconds by stage, the
share that the correction costs of the full rebuild, what a look costs that finds nothing, and peak memory. 30% of the
interactions are labelled, 5% failed with a correction, and every event names its topic.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from assets.behavior.landing.folder import Landing  # noqa: E402
from assets.behavior.pipeline import BehaviorData, Options  # noqa: E402
from assets.knowledge.sources import open_source  # noqa: E402
from orchestration.assembly_behavior import LANDED, open_warehouse  # noqa: E402
from orchestration.config import load  # noqa: E402
from orchestration.engines.corpus_history import LakeHistory  # noqa: E402
from orchestration.engines.lake import open_lake  # noqa: E402

FIRST = date(2025, 1, 1)
WORDS = [
    "how",
    "do",
    "I",
    "request",
    "access",
    "to",
    "the",
    "warehouse",
    "when",
    "my",
    "manager",
    "is",
    "away",
    "and",
    "the",
    "report",
    "is",
    "due",
    "on",
    "Monday",
]
SECONDS = {}


class NoEncoder:
    """Every event names its topic, so that nothing is embedded."""

    fingerprint, dimension = "none", 1

    def encode(self, texts: list[str]) -> None:
        raise AssertionError(texts)

    encode_queries = encode


def lines(day: date, count: int, choose: random.Random) -> Iterator[bytes]:
    """One day's log; answers and corrections differ in a number that the passage states, or in their form."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    for number in range(count):
        at = midnight + timedelta(seconds=choose.randrange(86_400))
        answer = f"You have {choose.randrange(20, 40)} days for " + " ".join(choose.choices(WORDS, k=18)) + "."
        labelled, failed = choose.random() < 0.3, choose.random() < 0.17
        record = {
            "id": f"{day:%Y%m%d}-{number:07d}",
            "occurred_at": at.isoformat(),
            "received_at": (at + timedelta(seconds=choose.randrange(1, 3_000))).isoformat(),
            "user": f"user-{choose.randrange(5_000)}",
            "prompt": " ".join(choose.choices(WORDS, k=12)),
            "response": answer,
            "passages": [
                {"chunk_id": f"c{i}", "doc_id": f"handbook/{choose.randrange(200)}.md", "text_sha": f"{i:064x}",
                 "text": answer if i == 0 else "Other things are said here."}
                for i in range(2)
            ],
            "release_id": "base",
            "topic": f"topic-{choose.randrange(12):02d}",
        }  # fmt: skip
        if labelled and failed:
            record |= {"feedback": "down", "corrected_response": "- " + answer.replace(" days for ", " days\n- for ")}
        elif labelled:
            record["feedback"] = "up"
        yield json.dumps(record).encode() + b"\n"


class Documents(LakeHistory):
    """An empty version log that counts as one: passages carry their text, and no failure is one of knowledge."""

    empty = False


@contextmanager
def timed(stage: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    SECONDS[stage] = SECONDS.get(stage, 0.0) + time.perf_counter() - began
    print(f"  {stage:34} {time.perf_counter() - began:8.2f} s", flush=True)


def rebuild(data: BehaviorData, chosen: list[date], name: str) -> float:
    """What `backfill` does, stage by stage; returns its seconds."""
    began = time.perf_counter()
    with timed(f"{name}: ingest"):
        data.ingest()
    with timed(f"{name}: interactions"):
        rows = sum(data.interactions(day).rows for day in chosen)
    with timed(f"{name}: reference"):
        data.reference()
    with timed(f"{name}: attributions"):
        failures = sum(sum(report.verdicts.values()) for report in data.attributions(chosen))
    with timed(f"{name}: marts and export"):
        counted = data.marts(chosen)
    print(f"  {rows:,} interactions, {failures:,} failures, {counted:,} rows of behavior_daily")
    return time.perf_counter() - began


def peak(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--apart", action="store_true", help="correct three days that are far apart")
    given = parser.parse_args()
    if os.getloadavg()[0] > 0.25 * (os.cpu_count() or 1):
        print(f"The machine is busy (load {os.getloadavg()[0]:.1f}): the seconds say little.")
    home = Path(tempfile.mkdtemp(prefix="twohands-bench-"))
    try:
        results = measure(home, given.interactions, given.days, given.apart)
    finally:
        shutil.rmtree(home)
    for name, value in results.items():
        print(f"{name:34} {value:,}")
    out = ROOT / "benchmarks" / "out"
    out.mkdir(exist_ok=True)
    (out / "backfill.json").write_text(json.dumps(vars(given) | results | {"stages": SECONDS}, indent=1) + "\n")


def measure(home: Path, interactions: int, count: int, apart: bool) -> dict[str, float]:
    (home / "landing").mkdir()
    every = [FIRST + timedelta(days=number) for number in range(count)]
    choose = random.Random(7)  # noqa: S311
    for day in every:
        (home / "landing" / f"{day}.jsonl").write_bytes(b"".join(lines(day, interactions // count, choose)))
    time.sleep(2.1)  # a source does not trust the time stamps of files younger than two seconds
    data = opened(home)
    data.warehouse.manifest()
    full = rebuild(data, every, "full")
    corrected = [every[place] for place in ((10, count // 2, count - 10) if apart else (10, 11, 12))]
    for day in corrected:
        file = home / "landing" / f"{day}.jsonl"
        kept = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join([*kept[5:], *lines(day, 3, random.Random(8))]))  # noqa: S311
    time.sleep(2.1)
    data.ingest()
    assert sorted(data.dirty_inputs()) == corrected
    again = rebuild(opened(home), corrected, "correction")
    idle = []
    for _ in range(5):
        fresh, began = opened(home), time.perf_counter()
        assert fresh.landing.pending().files == 0
        assert not fresh.dirty_inputs()
        idle.append(time.perf_counter() - began)
    return {
        "full_s": round(full, 1),
        "interactions_per_s": round(interactions / full),
        "correction_s": round(again, 2),
        "correction_share": round(again / full, 4),
        "no_op_look_s": round(sorted(idle)[2], 4),
        "peak_gib": round(peak(resource.RUSAGE_SELF), 2),
        "peak_gib_dbt": round(peak(resource.RUSAGE_CHILDREN), 2),
    }


def opened(home: Path) -> BehaviorData:
    (home / "twohands.toml").write_text('[sources.docs]\nurl = "docs"\n[behavior]\nlanding = "landing"\n')
    settings = load(str(home / "twohands.toml"), str(home / "home"))
    lake = open_lake(str(settings.home / "lake"), locks=home / "locks")
    source = open_source(str(home / "landing"), include=LANDED, base=home, cache=home / "git", max_bytes=1 << 40)
    return BehaviorData(
        lake=lake,
        landing=Landing(lake, source),
        warehouse=open_warehouse(settings, lake),
        history=lambda: Documents(lake),
        encoder=NoEncoder(),  # type: ignore[arg-type]
        options=Options(reference_days=28),
    )


if __name__ == "__main__":
    main()
