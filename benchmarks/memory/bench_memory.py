"""How much memory does a first sync of 100,000 chunks take? Goal: under 2 GiB.

    python -m benchmarks.memory.bench_memory [--chunks 100000]

The whole fast hand over the configured engines, with a stand-in encoder (hash vectors, 384 numbers), since a model's
own memory is its own. Prints the peak of this process and of its largest parser worker, and writes
benchmarks/out/memory.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run as a file: `benchmarks` is no installed package
    sys.path[0] = str(ROOT)

SECTIONS = 40  # of a document, a chunk each
WORDS = 50  # of a section: about 170 tokens, one chunk
LIMIT = 2.0  # GiB


class Hashes:
    """float32 [n, 384] without a model."""

    fingerprint, dimension = "hashes", 384

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        rows = [np.frombuffer(hashlib.shake_128(text.encode()).digest(384), np.int8) for text in texts]
        vectors = np.stack(rows).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    encode_queries = encode


def main() -> int:
    """Runs, prints, writes; 1 when the limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=100_000)
    given = parser.parse_args()
    from orchestration.assembly import fast_hand
    from orchestration.config import load

    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        root = Path(folder)
        write(root / "docs", given.chunks // SECTIONS)
        (root / "twohands.toml").write_text('[sources.docs]\nurl = "docs"\n')
        hand = fast_hand(load(str(root / "twohands.toml"), str(root / "home")))
        hand.encoder = Hashes()
        began = time.perf_counter()
        report = hand.sync("docs")
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    result = {"chunks": report.index.total, "seconds": round(seconds, 1), "peak_gib": round(peak, 2),
              "parser_worker_gib": round(worker, 2), "limit_gib": LIMIT}  # fmt: skip
    print(json.dumps(result))
    out = ROOT / "benchmarks" / "out"
    out.mkdir(exist_ok=True)
    (out / "memory.json").write_text(json.dumps(result, indent=1))
    return int(peak > LIMIT)


def write(folder: Path, documents: int) -> None:
    """Documents of random words, every section different."""
    choose = random.Random(3)  # noqa: S311
    words = [
        "".join(choose.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(choose.randint(3, 9))) for _ in range(9_000)
    ]
    folder.mkdir()
    for number in range(documents):
        sections = (f"## Section {i}\n\n{' '.join(choose.choices(words, k=WORDS))}." for i in range(SECTIONS))
        (folder / f"{number}.md").write_text(f"# Document {number}\n\n" + "\n\n".join(sections))


if __name__ == "__main__":
    sys.exit(main())
