"""Where tables and texts are kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # see __init__.py
    import pyarrow as pa


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
