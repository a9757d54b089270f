"""The next version of a Lance index, on the head of its table."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from assets.errors import EngineError
from assets.ports import IndexSchema, Passage
from orchestration.engines import lancedb_rows as rows
from orchestration.engines import lancedb_store as stores
from orchestration.engines import lancedb_upkeep as upkeep
from orchestration.engines.lancedb_errors import translating
from orchestration.engines.lancedb_search import IDS, LanceReader

if TYPE_CHECKING:
    from lancedb.table import LanceTable


class LanceCandidate(LanceReader):
    """Invisible until `publish`: readers open the tag. What a discarded or killed candidate left on the head is not
    cleaned up on the way out but by the next writer, so that a kill and an exception take the same path.

    Ids that occur twice, in one `add` or in several: the last one wins.
    """

    rebuilt: bool

    def __init__(self, store: stores.LanceStore, schema: IndexSchema, refresh: Callable[[LanceTable], object]) -> None:
        """`refresh` brings the search indexes of a table up to date where that pays."""
        self._store, self.schema, self._place, self._refresh = store, schema, store.place, refresh
        self._rows: int | None = None
        self._adds: dict[str, tuple[Passage, np.ndarray]] = {}
        self._deletes: dict[str, None] = {}
        self._head: LanceTable | None = None
        self._lock: AbstractContextManager[None] | None = None
        self._name, self._history = "", []
        self._done = self._refreshed = False

    def __enter__(self) -> Self:
        lock = self._store.writing()
        lock.__enter__()
        try:
            with translating(self._place):
                self._start()
        except BaseException:
            lock.__exit__(None, None, None)
            raise
        self._lock = lock
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Discards what was not published, and frees the lock."""
        lock, self._lock, self._head = self._lock, None, None
        self._adds, self._deletes = {}, {}
        if lock is not None:
            lock.__exit__(None, None, None)

    def add(self, passages: Sequence[Passage], vectors: np.ndarray) -> None:
        """Adds or replaces passages; EngineError, with nothing added, for a wrong shape, NaN or infinity."""
        self._writable()
        checked = rows.checked_vectors(passages, vectors, self.schema.dimension)
        for passage, vector in zip(passages, checked, strict=True):
            self._deletes.pop(passage.chunk_id, None)
            self._adds[passage.chunk_id] = (passage, vector)
            if len(self._adds) >= upkeep.ROWS_PER_FILE:
                self._flush()

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Removes passages, in batches of 1,000; unknown ids are ignored."""
        self._writable()
        for chunk_id in chunk_ids:
            self._adds.pop(chunk_id, None)
            self._deletes[chunk_id] = None
        if len(self._deletes) >= upkeep.ROWS_PER_FILE:
            self._flush()

    def publish(self) -> str:
        """Writes and indexes what is held back, then moves the tag. Reading is still possible afterwards."""
        self._writable()
        with translating(self._place):
            table = self._settled(searchable=True)
            ordinal = int(self._name.split("-")[0]) + 1 if self._name else 1
            # The random part: a folder that was deleted, or brought back from a backup, counts from an old number.
            name = f"{ordinal}-{uuid.uuid4().hex[:12]}"
            self._store.publish(table, name, self._history)
        self._done = True
        return name

    def _start(self) -> None:
        table = self._store.open()
        published = None if table is None else stores.published_version(table)
        self.rebuilt = published is None
        if table is not None and published is not None:
            stores.settle(table, published)
            stored = table.schema
            self._name, self._history = stores.name_of(stored), stores.history_of(stored)
            self.rebuilt = rows.index_schema(stored, self._place) != self.schema
        if table is None or self.rebuilt:
            table = self._store.create(self.schema)
        self._head = table

    def _settled(self, *, searchable: bool = False) -> LanceTable:
        if self._head is None:
            raise self._closed("The candidate is closed")
        self._flush()
        if searchable and not self._refreshed and not self._done:
            self._refresh(self._head)
            self._refreshed = True
        return self._head

    def _writable(self) -> None:
        if self._head is None or self._done:
            raise self._closed("The candidate is closed" if self._head is None else "The candidate was published")

    def _closed(self, problem: str) -> EngineError:
        expected = "use inside `with index.candidate(schema) as candidate`, changes before publish()"
        return EngineError(problem, expected=expected, next_step="open another candidate")

    def _flush(self) -> None:
        table = self._head
        if table is None or not (self._adds or self._deletes):
            return
        self._rows, self._refreshed = None, False
        with translating(self._place):
            if self._adds:
                held = list(self._adds.values())
                batch = rows.rows([passage for passage, _ in held], np.stack([vector for _, vector in held]))
                merge = table.merge_insert("chunk_id").when_matched_update_all().when_not_matched_insert_all()
                merge.execute(batch, timeout=timedelta(hours=1))
                self._adds = {}
            gone = list(self._deletes)
            for start in range(0, len(gone), IDS):
                table.delete(rows.one_of("chunk_id", gone[start : start + IDS]))
            self._deletes = {}
