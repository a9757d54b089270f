"""The index engines that the contract suite runs over, and the small world it runs in.

An engine is registered by adding its `Engine` to `ENGINES`. Everything that the suite asks of it goes through
`assets.ports.VectorIndex`, and through `destroy` for what a person can do to it from outside.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assets.ports import IndexSchema, Passage, VectorIndex

DIMENSION = 16
SCHEMA = IndexSchema("encoder-a", DIMENSION)
OTHER_SCHEMA = IndexSchema("encoder-b", 24)


@dataclass(frozen=True)
class Engine:
    """One engine under test. `open` of one place always opens one index, also from another process.

    * `open(place, lock_timeout)`: a new handle; `place` is a folder of the test, or just a name for the engine.
    * `destroy(place)`: deletes all that is stored there behind the back of whoever has it open.
    * `unavailable`: why the engine cannot run on this machine; its tests are then skipped with this reason.
    * `snapshots`: whether a `Published` that is held keeps its passages when another version is published.
    """

    name: str
    open: Callable[[Path, float], VectorIndex]
    destroy: Callable[[Path], None]
    unavailable: str = ""
    snapshots: bool = True


def _open_lancedb(place: Path, lock_timeout: float) -> VectorIndex:
    from orchestration.engines.lancedb_index import LanceIndex

    return LanceIndex(str(place / "index"), lock_timeout=lock_timeout)


def _lancedb() -> Engine:
    missing = "" if importlib.util.find_spec("lancedb") else "lancedb is not installed"
    return Engine("lancedb", _open_lancedb, lambda place: shutil.rmtree(place / "index"), unavailable=missing)


def _registered() -> dict[str, Engine]:
    engines = [_lancedb()]
    if importlib.util.find_spec("tests.contract.weaviate_engine"):
        from tests.contract import weaviate_engine  # type: ignore[attr-defined]

        engines.append(weaviate_engine.ENGINE)
    return {engine.name: engine for engine in engines}


ENGINES = _registered()


def passage(
    name: str,
    text: str = "",
    *,
    doc: str = "docs/a.md",
    slice: str = "docs",
    title: str = "A",
    headings: tuple[str, ...] = ("Guide",),
    metadata: Mapping[str, str] | None = None,
) -> Passage:
    """A passage whose chunk_id is derived from `name` (engines may ask for UUIDs)."""
    body = text or f"The passage called {name}."
    chunk_id = _uuid(name)
    sha = hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()
    return Passage(chunk_id, doc, slice, title, headings, body, sha, dict(metadata or {}))


def vector(text: str, dimension: int = DIMENSION) -> np.ndarray:
    """A unit vector that belongs to the text: the same text, the same vector; others are about orthogonal."""
    seed = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    found = np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)
    return found / np.linalg.norm(found)


def vectors(passages: Iterable[Passage], dimension: int = DIMENSION) -> np.ndarray:
    """The vectors of the passages' texts, float32 [n, dimension]."""
    found = [vector(each.text, dimension) for each in passages]
    return np.stack(found) if found else np.zeros((0, dimension), np.float32)


def generation(number: int, size: int = 6) -> list[Passage]:
    """Version `number` of one document: every chunk is another one, as after an edit of every paragraph."""
    return [
        passage(f"g{number}/{part}", f"Generation {number} part {part}.", metadata={"generation": str(number)})
        for part in range(size)
    ]


def publish(index: VectorIndex, passages: Iterable[Passage], schema: IndexSchema = SCHEMA) -> str:
    """Makes the index equal to the passages and publishes it."""
    wanted = list(passages)
    with index.candidate(schema) as candidate:
        candidate.add(wanted, vectors(wanted, schema.dimension))
        candidate.delete(sorted(candidate.keys().keys() - {each.chunk_id for each in wanted}))
        return candidate.publish()


def _uuid(name: str) -> str:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"
