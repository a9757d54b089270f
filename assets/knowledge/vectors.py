"""The vector cache: a text is embedded once by one encoder, whatever happens to its document.

    <folder>/<encoder fingerprint>/part-*.arrow      columns `key` (32 bytes, the text's SHA-256) and `vector`

Parts are immutable; one is written after every batch of the encoder, so that a kill loses at most one batch. Garbage
collection keeps what is needed now and what was needed within a number of days, so that a revert embeds nothing.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from assets.ports import Encoder, Lake, Progress

BATCH = 256  # texts between two writes: the most that a kill can lose
PART_ROWS = 16_384  # small parts are joined up to this many rows: 25 MB at 384 dimensions
COMPACT_AT = 24  # parts smaller than that


@dataclass(frozen=True, slots=True)
class Embedded:
    """What `embed` did: texts embedded, texts found in the cache, and the encoder's seconds and characters."""

    embedded: int = 0
    reused: int = 0
    seconds: float = 0.0
    characters: int = 0


def folder_of(fingerprint: str) -> str:
    """The name of an encoder's folder in the cache."""
    return fingerprint[:32]


def cached_encoders(lake: Lake, folder: str) -> list[str]:
    """Encoders that have vectors in the cache, by the names of their folders."""
    return sorted({name.removeprefix(f"{folder}/").split("/")[0] for name in lake.names(folder)})


class VectorCache:
    """Vectors of one encoder by the hash of their text."""

    def __init__(self, lake: Lake, folder: str, fingerprint: str) -> None:
        self._lake = lake
        self.folder = f"{folder}/{folder_of(fingerprint)}"
        self._parts: dict[str, pa.Table] = {}
        self._places: dict[bytes, tuple[str, int]] = {}
        self._refresh()

    def __contains__(self, sha: str) -> bool:
        return bytes.fromhex(sha) in self._places

    def missing(self, shas: Sequence[str]) -> list[str]:
        """Those hashes that have no vector yet, each once, in the order given."""
        return [sha for sha in dict.fromkeys(shas) if bytes.fromhex(sha) not in self._places]

    def get(self, shas: Sequence[str]) -> np.ndarray:
        """float32 [len(shas), dimension]; KeyError where one is missing."""
        rows: dict[str, list[tuple[int, int]]] = {}
        for position, sha in enumerate(shas):
            part, row = self._places[bytes.fromhex(sha)]
            rows.setdefault(part, []).append((position, row))
        result = np.empty((len(shas), 0), np.float32)
        for part, pairs in rows.items():
            taken = self._parts[part].column("vector").take(pa.array([row for _, row in pairs])).combine_chunks()
            vectors = taken.flatten().to_numpy(zero_copy_only=False).reshape(len(pairs), -1)
            if result.shape[1] == 0:
                result = np.empty((len(shas), vectors.shape[1]), np.float32)
            result[[position for position, _ in pairs]] = vectors
        return result

    def put(self, shas: Sequence[str], vectors: np.ndarray) -> None:
        """Stores vectors as one new part."""
        flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
        columns = {
            "key": pa.array([bytes.fromhex(sha) for sha in shas], pa.binary(32)),
            "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        }
        self._write(pa.table(columns))

    def embed(
        self, texts: dict[str, str], encoder: Encoder, *, queries: bool = False, progress: Progress | None = None
    ) -> Embedded:
        """Embeds what is missing of `texts` (hash -> text), in batches, each stored before the next begins."""
        missing = self.missing(list(texts))
        missing.sort(key=lambda sha: len(texts[sha]))  # alike lengths in one batch: less padding
        encode = encoder.encode_queries if queries else encoder.encode
        seconds = 0.0
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            began = time.perf_counter()
            vectors = encode([texts[sha] for sha in batch])
            seconds += time.perf_counter() - began
            self.put(batch, vectors)
            if progress:
                progress("embedding", start + len(batch), len(missing))
        characters = sum(len(texts[sha]) for sha in missing)
        return Embedded(len(missing), len(texts) - len(missing), seconds, characters)

    def compact(self, keep: Callable[[str], bool] | None = None) -> int:
        """Joins small parts, and with `keep` also drops what is not kept; returns the number of vectors dropped."""
        small = [part for part in self._parts if self._parts[part].num_rows < PART_ROWS // 2]
        chosen = list(self._parts) if keep else small if len(small) >= COMPACT_AT else []
        dropped = 0
        pending: list[pa.Table] = []
        replaced: list[str] = []
        for part in chosen:
            table = self._parts[part]
            mask = [keep(key.hex()) for key in table.column("key").to_pylist()] if keep else None
            kept = table if mask is None or all(mask) else table.filter(pa.array(mask))
            if kept is table and part not in small:
                continue
            dropped += table.num_rows - kept.num_rows
            pending.append(kept)
            replaced.append(part)
            if sum(waiting.num_rows for waiting in pending) >= PART_ROWS:
                self._write(pa.concat_tables(pending))
                pending = []
        if sum(waiting.num_rows for waiting in pending):
            self._write(pa.concat_tables(pending))
        self._lake.remove(replaced)  # after their replacement was written: a kill in between leaves copies, no gaps
        self._refresh()
        return dropped

    def _write(self, table: pa.Table) -> None:
        name = f"{self.folder}/part-{uuid.uuid4().hex}.arrow"
        self._lake.write(name, table)
        self._learn(name)

    def _refresh(self) -> None:
        self._parts.clear()
        self._places.clear()
        for name in self._lake.names(self.folder):
            self._learn(name)

    def _learn(self, name: str) -> None:
        table = self._lake.read(name)
        if table is None:  # another process has just joined it into a larger part
            return
        self._parts[name] = table
        for row, key in enumerate(table.column("key").to_pylist()):
            self._places[key] = (name, row)
