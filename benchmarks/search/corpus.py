"""A large, realistic corpus made of little: real sentences recombined, and vectors that cluster as real ones do."""

from __future__ import annotations

import hashlib
import re
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from assets.ports import Passage

DATA = Path(__file__).parents[3] / "shared" / "data" / "docs-history"
NAMESPACE = uuid.UUID("6f5ad2a0-6a1c-4d3f-9d0a-0d6a3f6f4b11")


def sentences(folder: Path = DATA) -> list[str]:
    """The distinct sentences of 20 to 300 characters of every Markdown file in the archives of `folder`."""
    found: dict[str, None] = {}
    for archive in sorted(folder.glob("*-base.tar.gz")):
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile() and member.name.endswith((".md", ".mdx")):
                    stored = tar.extractfile(member)
                    text = stored.read().decode("utf-8", "replace") if stored else ""
                    parts = (part.strip() for part in re.split(r"(?<=[.!?:])\s+|\n+", text))
                    found.update(dict.fromkeys(part for part in parts if 20 <= len(part) <= 300))
    if not found:
        raise SystemExit(f"No archives under {folder}: this benchmark recombines the sentences of real documents.")
    return list(found)


def passages(count: int, pool: list[str], seed: int = 7, per_document: int = 12) -> Iterator[Passage]:
    """`count` passages of 4 to 8 sentences each, with a code such as ERR-04217 in every one (a rare token)."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        picks = rng.integers(0, len(pool), size=int(rng.integers(4, 9)))
        document = number // per_document
        headings = (f"Guide {document}", pool[int(picks[0])][:60])
        body = " ".join(pool[int(pick)] for pick in picks) + f" See ERR-{number:05d}."
        text = " > ".join(headings) + "\n\n" + body
        doc_id = f"docs-{document % 4:02d}/guide-{document:05d}.md"
        yield Passage(
            chunk_id=str(uuid.uuid5(NAMESPACE, f"{seed}/{number}")),
            doc_id=doc_id,
            slice=f"docs-{document % 4:02d}",
            title=f"Guide {document}",
            headings=headings,
            text=text,
            text_sha=hashlib.sha256(text.encode()).hexdigest(),
            metadata={"audience": "all" if document % 10 else "admin", "path": doc_id},
        )


def vectors(count: int, dimension: int = 384, seed: int = 7, topics: int = 1000, rank: int = 32) -> np.ndarray:
    """Unit vectors, float32 [count, dimension], harder to partition than real ones.

    Overlapping topics of very different sizes (Zipf) in a space of `rank` dimensions, as embeddings have a low
    intrinsic dimension, turned into `dimension` with a little noise in all of them.
    """
    fixed, rng = np.random.default_rng(11), np.random.default_rng(seed)
    centers = fixed.standard_normal((topics, rank), dtype=np.float32)
    turn = fixed.standard_normal((rank, dimension), dtype=np.float32) / np.sqrt(rank)
    weights = 1 / np.arange(1, topics + 1) ** 0.7
    chosen = rng.choice(topics, size=count, p=weights / weights.sum())
    out = np.empty((count, dimension), dtype=np.float32)
    for start in range(0, count, 4_096):  # in blocks, so that the peak memory of a benchmark is not this function's
        block = chosen[start : start + 4_096]
        latent = centers[block] + 0.5 * rng.standard_normal((len(block), rank), dtype=np.float32)
        rows = latent @ turn + 0.2 * rng.standard_normal((len(block), dimension), dtype=np.float32)
        out[start : start + 4_096] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return out
