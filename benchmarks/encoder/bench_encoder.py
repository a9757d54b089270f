"""Our encoder against plain sentence-transformers on the same real passages, in one process, round by round.

    python -m benchmarks.encoder.bench_encoder [--passages 600] [--rounds 5] [--threads N]

Passages are FastAPI's documentation cut at paragraphs into about 175 tokens, from $TWOHANDS_SHARED_DATA (default
../shared/data). Every round times every system once, in a new order, so that a busy machine slows all alike; medians
are reported, with the spread of the rounds. CPU seconds count all threads. Writes benchmarks/out/encoder.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np

from orchestration.engines.encoder_places import locate
from orchestration.engines.encoders import cpu_flags, load_encoder, load_tokenizer

ROOT = Path(__file__).parents[2]
OUT = ROOT / "benchmarks" / "out" / "encoder.json"
TOKENS = 175
BASELINE = "sentence-transformers fp32 bs32"
START = {
    "torch alone": "import torch",
    "ours": "from orchestration.engines.encoders import load_encoder; load_encoder().encode(['text'])",
    "sentence-transformers": (
        "from sentence_transformers import SentenceTransformer as S; from orchestration.engines.encoder_places "
        "import locate; S(str(locate('bundled', None)), device='cpu').encode(['text'])"
    ),
}


def passages(count: int) -> list[str]:
    """Real passages: paragraphs of one document joined up to about TOKENS tokens, spread over all documents."""
    data = Path(os.environ.get("TWOHANDS_SHARED_DATA", ROOT.parent / "shared" / "data"))
    tokenizer, found = load_tokenizer(), []
    with tarfile.open(data / "docs-history" / "fastapi-docs-base.tar.gz") as archive:
        files = [member for member in archive if member.isfile() and member.name.endswith(".md")]
        for file in files:
            paragraphs = archive.extractfile(file).read().decode().split("\n\n")  # type: ignore[union-attr]
            found += packed(paragraphs, tokenizer.count(paragraphs))
    found = [text for text in found if text.strip()]
    return found[:: max(1, len(found) // count)][:count]


def packed(paragraphs: list[str], lengths: list[int]) -> list[str]:
    texts, here, used = [], [], 0
    for paragraph, length in zip(paragraphs, lengths, strict=True):
        if here and used + length > TOKENS + 25:
            texts.append("\n\n".join(here))
            here, used = [], 0
        here.append(paragraph)
        used += length
    return [*texts, "\n\n".join(here)]


def systems(threads: int | None) -> dict[str, Callable[[list[str]], np.ndarray]]:
    import torch
    from sentence_transformers import SentenceTransformer

    if threads:
        torch.set_num_threads(threads)
    folder = str(locate("bundled", None))
    fp32 = SentenceTransformer(folder, device="cpu")
    bf16 = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": torch.bfloat16})

    def plain(model, batch: int):
        def encode(texts: list[str]) -> np.ndarray:
            found = model.encode(
                texts, batch_size=batch, normalize_embeddings=True, convert_to_tensor=True, show_progress_bar=False
            )
            return found.float().numpy()

        return encode

    return {
        BASELINE: plain(fp32, 32),
        "sentence-transformers fp32 bs8": plain(fp32, 8),
        "sentence-transformers bf16 bs32": plain(bf16, 32),
        "ours fp32": load_encoder(device="cpu", dtype="fp32", threads=threads).encode,
        "ours bf16": load_encoder(device="cpu", dtype="bf16", threads=threads).encode,
    }


def measure(texts: list[str], rounds: int, threads: int | None) -> dict[str, dict[str, float]]:
    found = systems(threads)
    vectors = {name: encode(texts[:64]) for name, encode in found.items()}  # warm up
    wall: dict[str, list[float]] = {name: [] for name in found}
    cpu: dict[str, list[float]] = {name: [] for name in found}
    for number in range(rounds):
        names = list(found)
        random.Random(number).shuffle(names)  # noqa: S311 -- an order, not a secret
        for name in names:
            started, used = time.perf_counter(), time.process_time()
            vectors[name] = found[name](texts)
            wall[name].append(time.perf_counter() - started)
            cpu[name].append(time.process_time() - used)
        print(f"round {number + 1} of {rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    base = vectors[BASELINE]
    return {
        name: {
            "wall_s": statistics.median(wall[name]),
            "wall_min_s": min(wall[name]),
            "wall_max_s": max(wall[name]),
            "cpu_s": statistics.median(cpu[name]),
            "wall_ratio": statistics.median(b / w for b, w in zip(wall[BASELINE], wall[name], strict=True)),
            "cpu_ratio": statistics.median(b / c for b, c in zip(cpu[BASELINE], cpu[name], strict=True)),
            "passages_per_s": len(texts) / statistics.median(wall[name]),
            "min_cosine": float((base * vectors[name]).sum(1).min()),
        }
        for name in found
    }


def starts(rounds: int) -> dict[str, dict[str, float]]:
    """Seconds from the start of a process to its end, with one text embedded."""
    wall: dict[str, list[float]] = {name: [] for name in START}
    for _ in range(rounds):
        for name, code in START.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
            wall[name].append(time.perf_counter() - started)
    return {name: {"wall_s": statistics.median(found), "wall_min_s": min(found)} for name, found in wall.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--passages", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    texts = passages(options.passages)
    tokens = sum(load_tokenizer().count(texts)) / len(texts)
    started = starts(options.rounds)
    table = measure(texts, options.rounds, options.threads)
    flags = sorted(cpu_flags() & {"amx_bf16", "avx512_bf16"})
    print(f"{len(texts)} passages of {tokens:.0f} tokens, {options.rounds} rounds, {os.cpu_count()} CPUs {flags}")
    print(
        f"{'system':34}{'wall s':>8}{'min':>7}{'max':>7}{'CPU s':>8}{'per s':>7}{'wall x':>8}{'CPU x':>7}  min cosine"
    )
    for name, row in table.items():
        print(
            f"{name:34}{row['wall_s']:8.1f}{row['wall_min_s']:7.1f}{row['wall_max_s']:7.1f}{row['cpu_s']:8.1f}"
            f"{row['passages_per_s']:7.1f}{row['wall_ratio']:8.2f}{row['cpu_ratio']:7.2f}  {row['min_cosine']:.6f}"
        )
    for name, row in started.items():
        print(f"process start to one vector, {name:24}{row['wall_s']:6.1f} s (min {row['wall_min_s']:.1f})")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    about = {"passages": len(texts), "mean_tokens": tokens, "rounds": options.rounds, "threads": options.threads}
    OUT.write_text(json.dumps({**about, "cpu_flags": flags, "encode": table, "start": started}, indent=1))


if __name__ == "__main__":
    main()
