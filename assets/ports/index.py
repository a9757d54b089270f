"""The retrieval index: its passages, its one published version, and the next one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:  # see __init__.py
    import numpy as np


_BETWEEN = "\n"  # values of one field: no value has a line break of its own


def joined(values: Iterable[str]) -> str:
    """Several values of a metadata field as the text that is stored: each once, in order."""
    return _BETWEEN.join(dict.fromkeys(values))


def values(stored: str) -> tuple[str, ...]:
    """The values of a metadata field: of a list each one, else the text itself, commas and all."""
    return tuple(stored.split(_BETWEEN))


def told(metadata: Mapping[str, str]) -> dict[str, str | list[str]]:
    """Metadata for readers: several values as a list."""
    return {name: list(values(held)) if _BETWEEN in held else held for name, held in metadata.items()}


@dataclass(frozen=True, slots=True)
class Passage:
    """One published chunk. `text` is exactly what was embedded: the heading path, a blank line, the body. A metadata
    field may have several values (`values`)."""

    chunk_id: str
    doc_id: str
    slice: str
    title: str
    headings: tuple[str, ...]
    text: str
    text_sha: str
    metadata: Mapping[str, str] = field(default_factory=dict)

    def values(self, name: str) -> tuple[str, ...]:
        """What filters compare: slice, doc_id, title, or the values of a metadata field; empty where it has none."""
        columns = {"slice": self.slice, "doc_id": self.doc_id, "title": self.title}
        if name in columns:
            return (columns[name],)
        return values(self.metadata[name]) if name in self.metadata else ()


@dataclass(frozen=True, slots=True)
class Key:
    """What the plan compares: the document, the text's hash and the hash of every other stored field."""

    doc_id: str
    text_sha: str
    fields_sha: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found. `score` is higher for better; only its order is comparable between engines."""

    passage: Passage
    score: float


@dataclass(frozen=True, slots=True)
class Query:
    """Hybrid search: `text` for full-text, `vector` (float32 [dimension]) for nearest neighbors, fused by rank.

    `where` keeps passages whose `slice`, `doc_id`, `title` or metadata equal the given values, all of them; a field
    with several values equals each of them. `allowed` keeps those whose field is one of the given values, for each
    field; a passage without the field is not shown, and no values are no passages. Both are applied before ranking,
    so that k passages come where there are as many.
    """

    text: str
    vector: np.ndarray
    k: int = 5
    where: Mapping[str, str] = field(default_factory=dict)
    allowed: Mapping[str, Collection[str]] = field(default_factory=dict)

    @property
    def hopeless(self) -> bool:
        """Whether nothing can be found: a field may have none of any values."""
        return any(not values for values in self.allowed.values())


@dataclass(frozen=True, slots=True)
class IndexSchema:
    """What the passages of one index must have in common. Another schema means a rebuild side by side."""

    encoder: str
    dimension: int


class Reader(Protocol):
    """A consistent view of the passages of one index version."""

    def keys(self, slice: str | None = None, doc_ids: Sequence[str] | None = None) -> dict[str, Key]:
        """chunk_id -> Key of one slice, or of some documents, or of all."""
        ...

    def count(self, slice: str | None = None) -> int: ...

    def passages(self, slice: str | None = None) -> Iterator[Passage]: ...

    def get(self, chunk_ids: Sequence[str]) -> dict[str, Passage]:
        """The passages of those chunk ids that exist."""
        ...

    def vectors(self, chunk_ids: Sequence[str]) -> dict[str, np.ndarray]:
        """The stored vectors of those chunk ids that exist."""
        ...

    def search(self, query: Query) -> list[Hit]: ...


class Published(Reader, Protocol):
    """The version that readers see. `version` changes with every publish and is never used twice."""

    version: str
    schema: IndexSchema


class Candidate(Reader, AbstractContextManager["Candidate"], Protocol):
    """The next version, invisible to readers until `publish`. Leaving the context without it discards the change.

    It starts as a copy of the published version, or empty where the schema is another (`rebuilt`).
    """

    rebuilt: bool

    def add(self, passages: Sequence[Passage], vectors: np.ndarray) -> None:
        """Adds or replaces passages by chunk_id; `vectors` is float32 [len(passages), dimension]. Idempotent."""
        ...

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Removes passages; ids that do not exist are ignored."""
        ...

    def publish(self) -> str:
        """Makes this the published version, at once for every reader, and returns its name."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class VectorIndex(Protocol):
    """A retrieval index with one published version. Engine errors are EngineBusy or EngineError."""

    def published(self) -> Published | None:
        """The published version, or None where nothing was published yet (or the index was deleted)."""
        ...

    def candidate(self, schema: IndexSchema) -> Candidate:
        """Opens the next version; one at a time (EngineBusy when another writer does not finish in time)."""
        ...

    def maintain(self) -> Mapping[str, int]:
        """Compacts, folds new rows into the search indexes, drops unreachable versions; returns counts."""
        ...

    def describe(self) -> Mapping[str, str]:
        """Engine, version, place: for `doctor` and the UI. Never a secret."""
        ...
