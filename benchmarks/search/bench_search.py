"""How fast and how right the LanceDB index is at 100,000 passages of 384 numbers.

    python -m benchmarks.search.bench_search [--passages 100000] [--queries 500]

Builds an index of synthetic-but-real passages (corpus.py) in a temporary folder and prints a table: building,
publishing 5 changed rows, hybrid search, recall against exact neighbors, housekeeping. Writes
benchmarks/out/search.json. Passages are generated while they are added and not counted in the times; the vectors
(150 MB for 100,000) are part of the peak memory that is shown. Processor times are given beside the wall clock,
because a busy machine changes only the latter.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from assets.ports import IndexSchema, Passage, Query, Reader
from benchmarks.search import corpus
from orchestration.engines.lancedb_index import LanceIndex

OUT = Path(__file__).parents[1] / "out" / "search.json"
DIMENSION = 384
SCHEMA = IndexSchema("benchmark", DIMENSION)
K = 10


def main() -> None:
    """Measures and prints."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--passages", type=int, default=100_000)
    options.add_argument("--queries", type=int, default=500)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="twohands-bench-") as folder:
        report = measure(Path(folder), asked.passages, asked.queries)
    width = max(len(name) for name in report)
    for name, value in report.items():
        print(f"{name:<{width}}  {value}")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"written to {OUT}")


def measure(folder: Path, count: int, queries: int) -> dict[str, float | int | str]:
    """All numbers; times in seconds or milliseconds as their names say."""
    pool = corpus.sentences()
    vectors = corpus.vectors(count + 1_000)
    index = LanceIndex(str(folder / "index"))
    report: dict[str, float | int | str] = {
        "passages": count,
        "dimension": DIMENSION,
        "cpus": os.cpu_count() or 0,
        "load_average_at_start": round(os.getloadavg()[0], 1),
    }
    report["build_s"], report["build_cpu_s"] = build(index, corpus.passages(count, pool), vectors)
    report["rss_peak_after_build_mb"] = peak()
    report["folder_after_build_mb"] = size(folder)
    asked = questions(pool, queries, corpus.vectors(queries, seed=99))
    report |= searches(index, asked, "built")
    publishes = [small_publish(index, round, pool, vectors[count:]) for round in range(20)]
    report["publish_5_rows_p50_ms"], report["publish_5_rows_max_ms"] = spread(publishes, (50, 100))
    opened = [timed(lambda: index.published().version) for _ in range(100)]  # type: ignore[union-attr]
    report["published_version_p50_ms"], report["published_version_p95_ms"] = spread(opened, (50, 95))
    report |= searches(index, asked, "hybrid")
    report |= searches(index, [Query(q.text, q.vector, K, {"audience": "admin"}) for q in asked], "filtered")
    report["recall_at_10"] = recall(index, asked)
    report["keys_of_all_s"] = round(timed(lambda: reader(index).keys()) / 1e3, 2)
    report["maintain_s"] = round(timed(index.maintain) / 1e3, 1)
    report["maintain_again_s"] = round(timed(index.maintain) / 1e3, 2)
    report |= searches(index, asked, "maintained")
    report["recall_at_10_maintained"] = recall(index, asked)
    report["folder_after_maintain_mb"] = size(folder)
    report["rss_peak_mb"] = peak()
    return report


def reader(index: LanceIndex) -> Reader:
    """The published version, which there is by now."""
    published = index.published()
    assert published is not None
    return published


def build(index: LanceIndex, stream: Iterator[Passage], vectors: np.ndarray) -> tuple[float, float]:
    """Seconds, and processor seconds, to add all passages in batches of 1,024, index and publish them."""
    made, made_cpu, done, began, worked = 0.0, 0.0, 0, time.perf_counter(), time.process_time()
    with index.candidate(SCHEMA) as candidate:
        while True:
            started, started_cpu = time.perf_counter(), time.process_time()
            batch = list(islice(stream, 1_024))
            made, made_cpu = made + time.perf_counter() - started, made_cpu + time.process_time() - started_cpu
            if not batch:
                break
            candidate.add(batch, vectors[done : done + len(batch)])
            done += len(batch)
        candidate.publish()
    return round(time.perf_counter() - began - made, 1), round(time.process_time() - worked - made_cpu, 1)


def small_publish(index: LanceIndex, round: int, pool: list[str], vectors: np.ndarray) -> float:
    """Milliseconds from opening a candidate to the moved tag: 4 new rows and 1 replaced one."""
    fresh = list(corpus.passages(5, pool, seed=1_000 + round))
    rows = vectors[5 * round : 5 * round + 5]

    def change() -> None:
        with index.candidate(SCHEMA) as candidate:
            candidate.add(fresh, rows)
            candidate.publish()

    return timed(change)


def questions(pool: list[str], count: int, vectors: np.ndarray) -> list[Query]:
    """Ten words of a real sentence, and a vector from the same distribution as the stored ones."""
    rng = np.random.default_rng(5)
    texts = [" ".join(pool[int(pick)].split()[:10]) for pick in rng.integers(0, len(pool), count)]
    return [Query(text, vector, K) for text, vector in zip(texts, vectors, strict=True)]


def searches(index: LanceIndex, asked: list[Query], name: str) -> dict[str, float]:
    """Latency of opening the published version and searching it, as the ask page does."""
    for query in asked[:20]:
        reader(index).search(query)
    worked = time.process_time()
    times = [timed(lambda query=query: reader(index).search(query)) for query in asked]
    cpu = (time.process_time() - worked) / len(asked) * 1e3
    p50, p95 = spread(times, (50, 95))
    return {f"{name}_search_p50_ms": p50, f"{name}_search_p95_ms": p95, f"{name}_search_cpu_ms": round(cpu, 1)}


def recall(index: LanceIndex, asked: list[Query]) -> float:
    """Share of the exact 10 nearest neighbors that a search without words returns, over 200 queries."""
    published = reader(index)
    stored = published.vectors(list(published.keys()))
    names, matrix = list(stored), np.stack(list(stored.values()))
    found = 0
    for query in asked[:200]:
        exact = np.argpartition(-(matrix @ query.vector), K)[:K]
        hits = {hit.passage.chunk_id for hit in published.search(Query("", query.vector, K))}
        found += len(hits & {names[place] for place in exact})
    return round(found / (K * len(asked[:200])), 4)


def timed(action: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1e3


def spread(times: list[float], percentiles: tuple[int, int]) -> tuple[float, float]:
    """Two percentiles."""
    low, high = np.percentile(times, percentiles)
    return round(float(low), 1), round(float(high), 1)


def size(folder: Path) -> int:
    """Megabytes on disk."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) >> 20


def peak() -> int:
    """Megabytes of the largest resident set so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


if __name__ == "__main__":
    main()
