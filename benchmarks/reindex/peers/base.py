"""What the benchmark asks of a system, and what it gets back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.reindex.encoders import CountingEncoder

Row = tuple[str, str]  # (path of the document, text of the chunk)


class NotInstalled(Exception):
    """The system cannot be imported here. The message says what is missing and how to install it."""


@dataclass(frozen=True, slots=True)
class Sync:
    """What one sync did. Seconds are wall time; `encoder` is the part spent inside the shared encoder."""

    embeds: int
    seconds: float
    encoder: float


class System(Protocol):
    """A retrieval index that follows a folder."""

    name: str

    def __init__(self, encoder: CountingEncoder) -> None: ...

    def setup(self, folder: Path, state: Path) -> None:
        """Gets ready to follow `folder`, with all its own state under `state`. Not timed."""
        ...

    def sync(self) -> Sync:
        """Makes the index equal to the folder."""
        ...

    def desired(self) -> list[Row]:
        """What the index should hold, from the system's own chunker over the folder as it is now. Not timed."""
        ...

    def stored(self) -> list[Row]:
        """What the index holds. Not timed."""
        ...

    def settings(self) -> str:
        """Versions and the settings chosen, in one line."""
        ...

    def close(self) -> None: ...


def measured(encoder: CountingEncoder, work: Callable[[], object]) -> Sync:
    """Runs `work` and books the encoder's part."""
    texts, seconds = len(encoder.texts), encoder.seconds
    started = time.perf_counter()
    work()
    total = time.perf_counter() - started
    return Sync(len(encoder.texts) - texts, total, encoder.seconds - seconds)


def documents(folder: Path) -> list[tuple[str, str]]:
    """(path, text) of every Markdown file, sorted by path."""
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".md", ".mdx") and p.is_file())
    return [(p.relative_to(folder).as_posix(), p.read_text(encoding="utf-8")) for p in files]
