"""A lake that remembers its writes in memory: what a sync would do, without doing it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

import pyarrow as pa

from assets.ports import Lake


class Overlay:
    """Reads fall through to the lake below; writes and removals stay here and end with this object."""

    def __init__(self, below: Lake) -> None:
        self._below = below
        self._tables: dict[str, pa.Table | None] = {}
        self._texts: dict[str, str] = {}

    def read(self, name: str) -> pa.Table | None:
        """A table as it would be."""
        return self._tables[name] if name in self._tables else self._below.read(name)

    def columns(self, name: str, columns: Sequence[str]) -> pa.Table:
        """Some columns of a table as it would be."""
        table = self._tables.get(name)
        return self._below.columns(name, columns) if table is None else table.select(list(columns))

    def write(self, name: str, table: pa.Table) -> None:
        """Remembers a table."""
        self._tables[name] = table

    def read_text(self, name: str) -> str | None:
        """A text as it would be."""
        return self._texts.get(name) or self._below.read_text(name)

    def write_text(self, name: str, text: str) -> None:
        """Remembers a text."""
        self._texts[name] = text

    def names(self, prefix: str) -> list[str]:
        """Names as they would be."""
        mine = {name for name in (*self._tables, *self._texts) if name.startswith(prefix.rstrip("/") + "/")}
        gone = {name for name, table in self._tables.items() if table is None}
        return sorted((set(self._below.names(prefix)) | mine) - gone)

    def remove(self, names: Iterable[str]) -> None:
        """Remembers that these are gone."""
        for name in names:
            self._tables[name] = None
            self._texts.pop(name, None)

    def size(self, prefix: str) -> int:
        """Bytes stored below; what is remembered here takes none."""
        return self._below.size(prefix)

    def lock(self, name: str, timeout: float) -> AbstractContextManager[object]:  # noqa: ARG002 - nothing is written
        """No lock is needed to look."""
        return nullcontext()
