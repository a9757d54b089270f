"""All that is outside: Protocols, and the values that cross them.

`assets` says what exists and talks to these; `orchestration/engines` holds one file per engine that fits them.
Arrays are numpy, tables are pyarrow, and nothing here imports an engine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

if TYPE_CHECKING:  # the parser's workers import this module, and start in half the time without these
    import numpy as np
    import pyarrow as pa

    from assets.decision.ledger import Entry, Kind

Progress = Callable[[str, int, int], None]  # what is being done, how much of it, of how much

# --------------------------------------------------------------------------------------------------- documents


class Reason(StrEnum):
    """Why a file was refused."""

    ENCRYPTED = "encrypted"
    CORRUPT = "corrupt"
    EMPTY = "empty"
    NO_TEXT = "no_text"
    UNSUPPORTED = "unsupported"
    MISMATCH = "mismatch"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that was not accepted. `detail` is one sentence for the person who owns the file."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One listed file. `path` is relative to the source's root, with "/" between its parts.

    `stamp` is the cheap change token: equal stamps mean that the bytes need not be read again. It is empty where
    the source cannot promise that (the file is then always read and hashed). `modified` is in unix seconds.
    """

    path: str
    size: int
    stamp: str
    modified: float | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source holds now: files sorted by path, files that may not be read, and the source's own revision."""

    files: tuple[SourceFile, ...]
    refused: Mapping[str, Refusal] = field(default_factory=dict)
    revision: str | None = None


class Source(Protocol):
    """Where documents come from. `list` and `read` raise SourceError (Final) or SourceBusy (Retryable)."""

    def list(self) -> Listing: ...

    def read(self, file: SourceFile) -> bytes:
        """The bytes of a listed file; SourceBusy when it is no longer the file that was listed."""
        ...


class DayLogs(Protocol):
    """Logs that lie in a table: a source whose files are the table's days, each named `prefix` + its day.

    A day's stamp changes whenever its rows do. `known` are the days that were read before, by path, with their stamps
    (an empty one: to be read again). A known day that has no rows any more is listed too, and its bytes are none: its
    rows were deleted in the table, and what was read of them is to be withdrawn.
    """

    prefix: str

    def glance(self, known: Mapping[str, str]) -> Listing | None:
        """What a look would list now, without waiting for anybody; None where a look has to do more than to list."""
        ...

    def look(self, known: Mapping[str, str], days: Sequence[date] | None = ()) -> AbstractContextManager[Source]:
        """One consistent view of the newest days, and of these besides (None: of every day). Errors as of `Source`,
        and those of the warehouse."""
        ...

    def looked(self) -> None:
        """What the last look listed has been read for good."""
        ...


class Mark(NamedTuple):
    """A top-level block of a document: its kind ("h1".."h6" are headings, which have a name) and lines [start, end)."""

    kind: str
    start: int
    end: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """An accepted document, as Markdown. `text` is NFC with "\\n" line ends; `date` is ISO 8601, if it states one.

    `outline` has the blocks of the text; None where the parser leaves it to the chunker to find them.
    """

    text: str
    title: str
    date: str | None = None
    links: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    outline: tuple[Mark, ...] | None = None


class Parser(Protocol):
    """Bytes to documents, bounded in time and memory for each file."""

    fingerprint: str

    def parse(self, files: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, Document | Refusal]]:
        """Yields (path, outcome) in the order given, one for every file; never raises for what a file contains."""
        ...


# --------------------------------------------------------------------------------------------------- encoding


class Tokenizer(Protocol):
    """Counts tokens as the encoder will see them; needs no torch."""

    fingerprint: str
    max_tokens: int

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without the special ones the encoder adds."""
        ...


class Encoder(Protocol):
    """Texts to unit vectors."""

    fingerprint: str
    dimension: int

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [len(texts), dimension], L2-normalized, in the order given."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """As `encode`, with the model's query prompt where it has one."""
        ...


# --------------------------------------------------------------------------------------------------- the index


@dataclass(frozen=True, slots=True)
class Passage:
    """One published chunk. `text` is exactly what was embedded: the heading path, a blank line, the body."""

    chunk_id: str
    doc_id: str
    slice: str
    title: str
    headings: tuple[str, ...]
    text: str
    text_sha: str
    metadata: Mapping[str, str] = field(default_factory=dict)


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

    `where` keeps passages whose `slice`, `doc_id`, `title` or metadata equal the given values, all of them.
    """

    text: str
    vector: np.ndarray
    k: int = 5
    where: Mapping[str, str] = field(default_factory=dict)


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


# --------------------------------------------------------------------------------------------------- the lake


class Lake(Protocol):
    """Tables and texts by name under one root, with atomic replacement. Names use "/" and never leave the root."""

    def read(self, name: str) -> pa.Table | None:
        """A stored table, or None where there is none. CorruptState when it cannot be read."""
        ...

    def write(self, name: str, table: pa.Table) -> None:
        """Stores or replaces a table: readers see the old one or the new one, also after a kill.

        A name that ends in ".arrow" is stored for random access (memory-mapped where that is possible), any other
        as Parquet.
        """
        ...

    def columns(self, name: str, columns: Sequence[str]) -> pa.Table:
        """Some columns of a stored table; CorruptState where there is none."""
        ...

    def read_text(self, name: str) -> str | None: ...

    def write_text(self, name: str, text: str) -> None:
        """As `write`, for a small UTF-8 text."""
        ...

    def names(self, prefix: str) -> list[str]:
        """Names of all that is stored under a folder, sorted."""
        ...

    def remove(self, names: Iterable[str]) -> None: ...

    def size(self, prefix: str) -> int:
        """Bytes stored under a folder."""
        ...

    def lock(self, name: str, timeout: float) -> AbstractContextManager[object]:
        """One holder at a time; EngineBusy when it is not free within `timeout` seconds."""
        ...


# --------------------------------------------------------------------------------------------------- the ledger


class Ledger(Protocol):
    """What was spent, decided, approved and done (assets/decision/ledger.py): entries are added, never changed.

    CorruptState names an entry that is not what was written; EngineBusy when another process does not let go.
    """

    def append(self, entry: Entry) -> bool:
        """Adds an entry; False, and nothing is changed, when there is one with its id, of whatever time.

        Whoever is told True is the only one, among all processes: this is how a fine-tune is claimed once.
        """
        ...

    def entries(
        self,
        kinds: Collection[Kind] = (),
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        variant: str | None = None,
    ) -> list[Entry]:
        """Entries of these kinds (none: of all), `since` <= at < `until`, of a variant (None: of all), in the order in
        which they were appended: that of time, but for a clock that went back."""
        ...

    def get(self, id: str) -> Entry | None:
        """The entry with this id, or None."""
        ...

    def maintain(self) -> Mapping[str, int]:
        """Joins entries of months that are over; returns counts. Nothing that is read changes."""
        ...


# --------------------------------------------------------------------------------------------------- warehouse


class Warehouse(Protocol):
    """Where SQL turns interactions and attributions into marts, day by day. One writer at a time."""

    def locked(self) -> AbstractContextManager[None]:
        """The warehouse for ourselves; EngineBusy names the holder who does not let go."""
        ...

    def inputs(self, days: Sequence[date]) -> dict[date, str]:
        """What the marts of each day are built from, as a digest: rows of the lake, the reference, the models."""
        ...

    def load(self, days: Sequence[date]) -> None:
        """Makes these days of the lake readable in SQL; nothing to do where the warehouse reads the lake itself."""
        ...

    def build(self, days: Sequence[date] | None) -> object:
        """Rebuilds these days of every mart, or all; EngineError naming the models and tests that failed."""
        ...

    def build_whole(self) -> object:
        """Rebuilds the models over all days, and no day; errors as for `build`."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """What a dbt process needs to build the same; of a password only the name of its variable."""
        ...

    def arguments(self, days: Sequence[date] | None) -> list[str]:
        """dbt's words for building these days, or the models that have no days."""
        ...

    def target(self) -> Path:
        """An empty folder for the output of one dbt process that somebody else runs; call it under the lock."""
        ...

    def export_daily(self, days: Sequence[date], inputs: Mapping[date, str]) -> int:
        """Writes these days of behavior_daily to the lake, where they can be read without a lock; returns the rows.

        `inputs` is what `inputs` said before the build; each day's file carries it.
        """
        ...

    def purge(self) -> None:
        """Rewrites what is stored, so that nothing of deleted rows is left on the disk."""
        ...

    def gaps(self) -> pa.Table:
        """The rows of knowledge_gaps, worst first."""
        ...

    def candidates(self, days: Sequence[date] | None = None) -> pa.Table:
        """The rows of training_candidates, by day and id; of all days where none are named."""
        ...

    def candidates_count(self, days: Sequence[date] | None = None) -> pa.Table:
        """How many candidates there are: variant, topic, source, n."""
        ...

    def release_days(self, days: Sequence[date]) -> pa.Table:
        """How many interactions each release answered: variant, day, release_id, n."""
        ...
