"""What a dataset costs: candidates of a lake to a stored dataset. Goal: a million in 5 minutes and 4 GiB.

    python -m benchmarks.dataset.bench_dataset [--rows 1000000] [--workers 0] [--encoder] [--json FILE]

Everything that `behavior/dataset` does, over a local lake: the snapshot and the days' interactions are read, every
candidate is screened, compared and balanced, max_rows (20,000) are written. Sentences are ranked by the words that they
share with a question, since an encoder's time is its own; --encoder takes the bundled one. Prints seconds, candidates a
second, what each rule left, and the peak of the resident memory of this process and its workers together, sampled every
50 ms.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run as a file: `benchmarks` is no installed package
    sys.path[0] = str(ROOT)

SECONDS, GIB = 300, 4.0  # for a million


class Words:
    """float32 [n, 384] without a model: each word adds a random direction of its own (feature hashing, in short)."""

    fingerprint, dimension = "words", 384

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        found = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in zip(found, texts, strict=True):
            for word in set(text.lower().replace(",", "").replace(".", "").split()):
                row[:] += _direction(word)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)

    encode_queries = encode


@cache
def _direction(word: str) -> np.ndarray:
    return np.frombuffer(hashlib.shake_128(word.encode()).digest(384), np.int8).astype(np.float32)


class Peak:
    """Samples the resident memory of this process and its children."""

    def __init__(self) -> None:
        self.bytes, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        own = psutil.Process()
        while not self._over.wait(0.05):
            total = 0
            for process in (own, *own.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.bytes = max(self.bytes, total)


def main() -> int:
    """Runs, prints, writes; 1 when a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--encoder", action="store_true", help="rank evidence with the bundled encoder")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dataset-") as folder:
        began = time.perf_counter()
        texts = _written(folder, given.rows)
        print(f"{given.rows:,} candidates made in {time.perf_counter() - began:.0f} s; load {os.getloadavg()[0]:.1f}")
        found = measure(folder, texts, given.workers, given.encoder)
    found = {"rows": given.rows, "workers": given.workers or os.cpu_count(), **found}
    print(json.dumps(found, indent=2))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(found, indent=2) + "\n")
    allowed = SECONDS * max(given.rows / 1e6, 0.1)
    return int(found["seconds"] > allowed or found["peak_gib"] > GIB)


def _written(folder: str, rows: int) -> dict[str, str]:
    """Makes the lake in a process of its own: what that takes is not what is measured."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_write, folder, rows).result()


def _write(folder: str, rows: int) -> dict[str, str]:
    from benchmarks.dataset.candidates import write
    from orchestration.engines.lake import open_lake

    return write(open_lake(folder, locks=Path(folder) / "locks"), rows)


def measure(folder: str, texts: dict[str, str], workers: int, encoder: bool) -> dict[str, object]:
    """One dataset: seconds, rates, memory, counts."""
    from assets.behavior.dataset.config import DatasetConfig
    from assets.behavior.dataset.pipeline import Base, Datasets
    from assets.behavior.dataset.rendering import renderer
    from assets.prompting import TEMPLATES
    from benchmarks.dataset.candidates import FROZEN
    from orchestration.engines.encoders import load_encoder
    from orchestration.engines.lake import open_lake
    from orchestration.engines.processes import spread

    template = TEMPLATES["evidence"]
    render = renderer(template, load_encoder("bundled") if encoder else Words())
    datasets = Datasets(
        lake=open_lake(folder, locks=Path(folder) / "locks"),
        config=DatasetConfig(),
        texts=lambda: texts.get,
        base=lambda: Base(render, _words, template.version, "words"),
        spread=lambda _: spread(workers),
    )
    marks: dict[str, float] = {}
    began, spent = time.perf_counter(), _cpu()

    def mark(what: str, _done: int, _total: int) -> None:
        marks[what] = time.perf_counter() - began

    with Peak() as peak:
        manifest, dataset = datasets.make("main", FROZEN, progress=mark)
    seconds = time.perf_counter() - began
    candidates = dataset.report.candidates
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(_cpu() - spent, 1),
        "candidates_a_second": round(candidates / seconds),
        "done_after": {what: round(at, 1) for what, at in marks.items()},
        "peak_gib": round(peak.bytes / 2**30, 2),
        "examples": len(dataset.examples),
        "pairs": len(dataset.pairs),
        "left_out": dict(manifest.card["left_out"]),
        "encoder": "bundled" if encoder else "words",
        "cpu": os.cpu_count(),
    }


def _cpu() -> float:
    """CPU seconds of this process and of its children that ended."""
    found = os.times()
    return found.user + found.system + found.children_user + found.children_system


def _words(chats: Sequence[Sequence[dict[str, str]]]) -> list[int]:
    return [sum(len(message["content"].split()) for message in chat) for chat in chats]


if __name__ == "__main__":
    sys.exit(main())
