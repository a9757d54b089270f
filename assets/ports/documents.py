"""Where documents and logs come from, and what becomes of their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import NamedTuple, Protocol


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
