"""The retrieval index in LanceDB: a folder or an object store, no server.

One Lance table; every write is a new version of it, and the tag `published` names the one that readers open.
Publishing is one atomic replacement of that tag. See docs/decisions/0003-index-publish.md.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from assets.ports import IndexSchema
from orchestration.engines import lancedb_rows as rows
from orchestration.engines import lancedb_store as stores
from orchestration.engines import lancedb_upkeep as upkeep
from orchestration.engines.lancedb_candidate import LanceCandidate
from orchestration.engines.lancedb_errors import translating
from orchestration.engines.lancedb_search import LanceReader

if TYPE_CHECKING:
    from lancedb.table import LanceTable


class LanceIndex:
    """`VectorIndex` over LanceDB at `uri`, a folder or an object store URL (with `storage_options`).

    * `ann_threshold`: rows from which neighbors are searched in an IvfFlat index instead of exactly.
    * `keep_versions`: versions, the published one included, that `maintain` leaves for readers that still hold them.
    * `fold_rows`: rows outside the search indexes that a publish leaves to a later one (500 cost a search 10 ms).
    * `lock_timeout`: seconds that a writer waits for another one.
    * `cache_mb`: memory for index pages. Lance's own default, 6 GB, also keeps those of versions long gone.

    One writer at a time: a file lock beside the folder, or for an object store in the machine's temporary folder,
    where a pool of the orchestrator has to keep other machines from writing.
    """

    def __init__(
        self,
        uri: str,
        *,
        storage_options: Mapping[str, str] | None = None,
        ann_threshold: int = 20_000,
        keep_versions: int = 3,
        fold_rows: int = 500,
        lock_timeout: float = 600,
        cache_mb: int = 1_024,
    ) -> None:
        self._store = stores.LanceStore(uri, storage_options, keep_versions, lock_timeout, cache_mb)
        self._ann_threshold, self._fold_rows = ann_threshold, fold_rows
        self._opening = threading.Lock()
        self._opened: tuple[object, LancePublished | None] = (None, None)

    def published(self) -> LancePublished | None:
        """The published version, or None where nothing was published yet, or the folder was deleted.

        In a folder the same reader is given out until the tag moves: opening costs 2 ms, looking at the tag 0.05 ms.
        """
        stamp = self._store.tag_stamp()
        with self._opening:
            if stamp is None or stamp != self._opened[0]:
                self._opened = (stamp, self._open())
            return self._opened[1]

    def _open(self) -> LancePublished | None:
        with translating(self._store.place):
            table = self._store.open()
            version = None if table is None else stores.published_version(table)
            if table is None or version is None:
                return None
            table.checkout(version)
            return LancePublished(table, self._store)

    def candidate(self, schema: IndexSchema) -> LanceCandidate:
        """The next version; its lock is taken when the context is entered (EngineBusy after `lock_timeout`)."""
        return LanceCandidate(self._store, schema, self._refresh)

    def maintain(self) -> dict[str, int]:
        """Folds all new rows into the indexes, compacts, removes old versions. The version's name stays the same.

        Returns bytes_before and bytes_after (0 for object stores), versions_removed, rows_folded and rows. Readers
        in other processes keep answering from the version they hold, while it is one of the last `keep_versions`.
        """
        with self._store.writing(), translating(self._store.place):
            before = self._store.size()
            counts = {"bytes_before": before, "bytes_after": before, "versions_removed": 0, "rows_folded": 0, "rows": 0}
            table = self._store.open()
            published = None if table is None else stores.published_version(table)
            if table is None or published is None:
                return counts
            stores.settle(table, published)
            counts["rows_folded"] = upkeep.unindexed(table)
            self._refresh(table, limit=0)
            upkeep.compact(table)
            history = stores.history_of(table.schema)
            if table.version != published:
                history = self._store.publish(table, stores.name_of(table.schema), history)
            counts["versions_removed"] = upkeep.prune(table, history)
            return counts | {"bytes_after": self._store.size(), "rows": table.count_rows()}

    def describe(self) -> dict[str, str]:
        """Engine, version, place."""
        from importlib.metadata import version

        return {"engine": "lancedb", "version": version("lancedb"), "place": self._store.place}

    def _refresh(self, table: LanceTable, limit: int | None = None) -> None:
        upkeep.fold(table, ann_threshold=self._ann_threshold, limit=self._fold_rows if limit is None else limit)


class LancePublished(LanceReader):
    """A published version. It stays as it is, whatever is published later."""

    def __init__(self, table: LanceTable, store: stores.LanceStore) -> None:
        stored = table.schema
        super().__init__(table, rows.index_schema(stored, store.place), store.place)
        self.version = stores.name_of(stored)
        self._store, self._number = store, table.version

    def _superseded(self) -> bool:
        head = self._store.open()
        return head is not None and stores.published_version(head) != self._number
