"""The Lance dataset of an index: where it is, which version is published, and who may write."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assets.errors import EngineBusy
from assets.ports import IndexSchema
from orchestration.engines import lancedb_rows as rows
from orchestration.engines.lancedb_errors import is_missing

if TYPE_CHECKING:
    from lancedb.db import LanceDBConnection
    from lancedb.table import LanceTable

TABLE, TAG = "passages", "published"
STAMP = "chunk_id"  # the column whose field metadata carries the stamp: it travels with the version, atomically
NAME, HISTORY = "twohands.version", "twohands.history"


class LanceStore:
    """One table, `passages`, whose tag `published` names the version that readers open.

    The stamp of a version is its published name and the Lance versions that were published last, itself first.
    """

    def __init__(
        self,
        uri: str,
        storage_options: Mapping[str, str] | None,
        keep_versions: int,
        lock_timeout: float,
        cache_mb: int,
    ) -> None:
        self._remote = "://" in uri and not uri.startswith("file://")
        # An absolute path, because LanceDB's async client takes a name that starts with "db" for its cloud.
        self._uri = uri if self._remote else str(Path(uri.removeprefix("file://")).absolute())
        self.place = re.sub(r"//[^/@]*@", "//", self._uri).split("?")[0]
        self._options = dict(storage_options or {})
        self._keep, self._lock_timeout, self._cache_mb = max(1, keep_versions), lock_timeout, cache_mb
        self._connection: LanceDBConnection | None = None
        self._connecting = threading.Lock()

    def open(self) -> LanceTable | None:
        """A handle of its own on the newest version, or None where there is no table. About 1 ms."""
        if not self._remote and not Path(self._uri, f"{TABLE}.lance").is_dir():
            return None  # connecting would create the folder
        try:
            return self._connect().open_table(TABLE)  # type: ignore[return-value]
        except (ValueError, RuntimeError, OSError) as error:
            if not is_missing(error) or self._was_published():
                raise
            return None

    def tag_stamp(self) -> tuple[str, int, int] | None:
        """What changes whenever the tag moves, at the price of one small file; None for object stores, or no tag."""
        if self._remote:
            return None
        try:
            path = self._tag()
            found = path.stat()
            return path.read_text(encoding="utf-8"), found.st_ino, found.st_mtime_ns
        except OSError:
            return None

    def create(self, schema: IndexSchema) -> LanceTable:
        """An empty head with another schema: overwriting is one more version, older ones and the tag stay readable."""
        arrow = rows.arrow_schema(schema)
        return self._connect().create_table(TABLE, schema=arrow, mode="overwrite")  # type: ignore[return-value]

    def publish(self, table: LanceTable, name: str, earlier: Sequence[int]) -> list[int]:
        """Stamps the head and moves the tag to it, the one moment at which readers change over; returns the history.

        EngineBusy when somebody else wrote in between, which the lock excludes on one machine only.
        """
        version = table.version + 1  # of the commit that the stamp itself is
        history = [version, *earlier][: self._keep]
        stamp = {NAME: name, HISTORY: ",".join(str(each) for each in history)}
        table.update_field_metadata({"path": STAMP, "metadata": stamp})
        if table.version != version:
            raise EngineBusy(
                f"Another writer changed the index at {self.place}",
                expected="one writer at a time",
                next_step="limit the pool of knowledge/index to 1, then run again",
            )
        tags = table.tags
        (tags.update if TAG in tags.list() else tags.create)(TAG, version)
        return history

    def size(self) -> int:
        """Bytes in the folder; 0 for an object store, where counting would cost a listing."""
        if self._remote or not Path(self._uri).is_dir():
            return 0
        return sum(path.stat().st_size for path in Path(self._uri).rglob("*") if path.is_file())

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Holds the writer's lock; EngineBusy naming the holder. The kernel frees it when the holder is killed."""
        from filelock import FileLock, Timeout

        path = self._lock_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not thread-local: a generator or a pool may leave the context in another thread than it was entered in.
        lock = FileLock(path, timeout=self._lock_timeout, thread_local=False)
        holder = path.with_suffix(".holder")
        try:
            lock.acquire()
        except Timeout as error:
            raise EngineBusy(
                f"The index at {self.place} is being written by {_read(holder) or 'another process'}",
                expected=f"a free lock within {self._lock_timeout:g} s",
                next_step="wait for it to finish, then run again",
            ) from error
        try:
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    def _was_published(self) -> bool:
        """Whether a table that cannot be found once was there: then it is damaged, not absent."""
        return not self._remote and self._tag().exists()

    def _tag(self) -> Path:
        return Path(self._uri, f"{TABLE}.lance", "_refs", "tags", f"{TAG}.json")

    def _connect(self) -> LanceDBConnection:
        with self._connecting:
            if self._connection is None:
                # Lance logs ordinary events, such as an empty partition, as warnings on stderr.
                os.environ.setdefault("LANCEDB_LOG", "error")
                import lancedb

                session = lancedb.Session(self._cache_mb << 20, (self._cache_mb << 20) // 4)
                self._connection = lancedb.connect(self._uri, storage_options=self._options or None, session=session)  # type: ignore[assignment]
            return self._connection  # type: ignore[return-value]

    def _lock_path(self) -> Path:
        if self._remote:
            name = hashlib.sha256(self._uri.encode()).hexdigest()[:16]
            return Path(tempfile.gettempdir(), f"twohands-index-{name}.lock")
        return Path(f"{self._uri.rstrip('/')}.lock")


def published_version(table: LanceTable) -> int | None:
    """The Lance version that the tag names; None where nothing was published."""
    found = table.tags.list().get(TAG)
    return None if found is None else int(found["version"])


def settle(table: LanceTable, published: int) -> None:
    """Makes the head equal to the published version where a discarded or killed candidate left something else."""
    if table.version != published:
        table.restore(published)


def name_of(stored: Any) -> str:
    """The published name in the stamp of an Arrow schema."""
    return _stamp(stored).get(NAME, "")


def history_of(stored: Any) -> list[int]:
    """The Lance versions that were published last, newest first."""
    return [int(each) for each in _stamp(stored).get(HISTORY, "").split(",") if each]


def _stamp(stored: Any) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (stored.field(STAMP).metadata or {}).items()}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
