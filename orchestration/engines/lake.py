"""The lake: tables and small texts under one root, a local folder or any fsspec URL.

Local writes go to a temporary file beside the target, are flushed to the disk and then renamed; object stores replace
a whole object at once by themselves. Either way a reader, or the next run after a kill, sees the old or the new one.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from assets.errors import CorruptState, DiskFull, EngineBusy, EngineError


def open_lake(url: str, *, locks: Path, options: dict[str, Any] | None = None) -> FolderLake | ObjectLake:
    """A lake at a folder or an fsspec URL; `locks` is a local folder for the lock files of a remote one."""
    if "://" not in url or url.startswith("file://"):
        return FolderLake(Path(url.removeprefix("file://")))
    return ObjectLake(url, locks=locks, options=options or {})


class FolderLake:
    """A lake in a local folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, name: str) -> pa.Table | None:
        """A stored table, memory-mapped where its format allows; None where there is none."""
        path = self._path(name)
        if not path.exists():
            return None
        with _translated(name):
            if name.endswith(".arrow"):
                return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
            return _parquet().read_table(str(path), partitioning=None, memory_map=True)

    def columns(self, name: str, columns: Sequence[str]) -> pa.Table:
        """Some columns of a stored table."""
        path = self._path(name)
        with _translated(name):
            if name.endswith(".arrow"):
                return pa.ipc.open_file(pa.memory_map(str(path))).read_all().select(list(columns))
            return _parquet().read_table(str(path), columns=list(columns), partitioning=None)

    def write(self, name: str, table: pa.Table) -> None:
        """Stores or replaces a table."""
        with self._replacing(name) as file:
            _serialize(name, table, file)

    def read_text(self, name: str) -> str | None:
        """A stored text, or None."""
        try:
            return self._path(name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def write_text(self, name: str, text: str) -> None:
        """Stores or replaces a text."""
        with self._replacing(name) as file:
            file.write(text.encode())

    def names(self, prefix: str) -> list[str]:
        """Names under a folder, sorted; files of an unfinished write are not names."""
        folder = self._path(prefix)
        files = (Path(top) / file for top, _, found in os.walk(folder) for file in found)
        return sorted(f.relative_to(self.root).as_posix() for f in files if not f.name.startswith(".tmp-"))

    def remove(self, names: Iterable[str]) -> None:
        """Deletes what exists of these."""
        for name in names:
            self._path(name).unlink(missing_ok=True)

    def size(self, prefix: str) -> int:
        """Bytes stored under a folder."""
        sizes = 0
        for name in self.names(prefix):
            with contextlib.suppress(FileNotFoundError):  # another process may tidy up meanwhile
                sizes += self._path(name).stat().st_size
        return sizes

    def lock(self, name: str, timeout: float) -> AbstractContextManager[object]:
        """One holder at a time among the processes of this machine; freed by the kernel when its holder dies."""
        return file_lock(self.root / "locks" / f"{_checked(name)}.lock", timeout)

    def _path(self, name: str) -> Path:
        return self.root / _checked(name)

    @contextmanager
    def _replacing(self, name: str) -> Iterator[io.BufferedWriter]:
        target = self._path(name)
        with _disk(name):
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=".tmp-", dir=target.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).replace(target)
                _sync_folder(target.parent)
            finally:
                Path(temporary).unlink(missing_ok=True)


class ObjectLake:
    """A lake at an fsspec URL (s3://, gs://, az://, memory://, ...)."""

    def __init__(self, url: str, *, locks: Path, options: dict[str, Any]) -> None:
        import fsspec

        try:
            self.fs, self.root = fsspec.core.url_to_fs(url, **options)
        except (ImportError, ValueError) as error:
            raise EngineError(
                f"The lake at {url} cannot be opened: {error}",
                expected="a folder, or a URL whose fsspec driver is installed",
                next_step="install the extra for it, e.g. pip install 'twohands[s3]'",
            ) from error
        self.locks = locks

    def read(self, name: str) -> pa.Table | None:
        """A stored table, or None where there is none."""
        data = self._bytes(name)
        if data is None:
            return None
        with _translated(name):
            if name.endswith(".arrow"):
                return pa.ipc.open_file(pa.BufferReader(data)).read_all()
            return _parquet().read_table(pa.BufferReader(data))

    def columns(self, name: str, columns: Sequence[str]) -> pa.Table:
        """Some columns of a stored table; only their byte ranges are fetched."""
        with _translated(name), self.fs.open(self._path(name), "rb") as file:
            if name.endswith(".arrow"):
                return pa.ipc.open_file(file).read_all().select(list(columns))
            return _parquet().read_table(file, columns=list(columns))

    def write(self, name: str, table: pa.Table) -> None:
        """Stores or replaces a table in one request."""
        buffer = io.BytesIO()
        _serialize(name, table, buffer)
        self._pipe(name, buffer.getvalue())

    def read_text(self, name: str) -> str | None:
        """A stored text, or None."""
        data = self._bytes(name)
        return None if data is None else data.decode()

    def write_text(self, name: str, text: str) -> None:
        """Stores or replaces a text in one request."""
        self._pipe(name, text.encode())

    def names(self, prefix: str) -> list[str]:
        """Names under a prefix, sorted."""
        root = self.root.rstrip("/") + "/"
        self.fs.invalidate_cache()  # listings are cached per process, and other processes write here too
        return sorted(path.removeprefix(root) for path in self.fs.find(self._path(prefix)))

    def remove(self, names: Iterable[str]) -> None:
        """Deletes what exists of these."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                self.fs.rm_file(self._path(name))

    def size(self, prefix: str) -> int:
        """Bytes stored under a prefix."""
        return sum(info["size"] or 0 for info in self.fs.find(self._path(prefix), detail=True).values())

    def lock(self, name: str, timeout: float) -> AbstractContextManager[object]:
        """One holder on this machine; between machines it is Dagster's pool that keeps writers apart."""
        return file_lock(self.locks / f"{_checked(name)}.lock", timeout)

    def _path(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{_checked(name)}"

    def _bytes(self, name: str) -> bytes | None:
        try:
            return self.fs.cat_file(self._path(name))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreachable(name, error) from error

    def _pipe(self, name: str, data: bytes) -> None:
        try:
            self.fs.pipe_file(self._path(name), data)
        except OSError as error:
            raise _unreachable(name, error) from error


@contextmanager
def file_lock(path: Path, timeout: float) -> Iterator[None]:
    """A lock held by one process at a time; EngineBusy names the holder when it is not free in time (seconds)."""
    import filelock

    path.parent.mkdir(parents=True, exist_ok=True)
    holder = path.with_suffix(".pid")
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=timeout)
    except filelock.Timeout:
        pid = holder.read_text().strip() if holder.exists() else "unknown"
        raise EngineBusy(
            f"Another process (pid {pid}) has held {path.name} for more than {timeout:g} s",
            expected="one writer at a time",
            next_step="wait for it to end, or stop it, and run this again",
        ) from None
    try:
        with contextlib.suppress(OSError):  # the pid is a courtesy to the reader of the error, not part of the lock
            holder.write_text(str(os.getpid()))
        yield
    finally:
        lock.release()


def _unreachable(name: str, error: OSError) -> EngineBusy:
    """fsspec drivers translate their vendors' errors to OSError."""
    return EngineBusy(
        f"The object store did not take or give {name} ({error})",
        expected="an object store that answers, and credentials that may read and write",
        next_step="check the network and the credentials, and run this again",
    )


def _checked(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not name or "\\" in name:
        raise EngineError(f"{name!r} is not a name in the lake", expected="a relative path without '..'")
    return str(path)


def _parquet() -> Any:
    import pyarrow.parquet

    return pyarrow.parquet


def _serialize(name: str, table: pa.Table, sink: Any) -> None:
    if name.endswith(".arrow"):
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    else:
        _parquet().write_table(table, sink, compression="zstd", compression_level=3)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, EOFError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise EngineBusy(
                f"{name} in the lake could not be read now ({error.strerror or error})",
                expected="a file that this user can open",
                next_step="run this again; if it stays, check permissions, open files and the disk",
            ) from error
        raise CorruptState(
            f"{name} in the lake cannot be read: {error}",
            expected="the file that Twohands wrote there",
            next_step=_remedy(name),
        ) from error


def _remedy(name: str) -> str:
    """Only what documents say can be deleted without a loss: held-out sets, datasets and releases are made once."""
    if name.startswith("knowledge/"):
        return f"delete {name.rsplit('/', 1)[0]} (it is rebuilt from the sources), or restore it from a backup"
    return 'restore it from a backup; without one, docs/runbook.md says what can be made again ("What can be rebuilt")'


@contextmanager
def _disk(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"No space left while writing {name}",
                expected="room for one more copy of what changed",
                next_step="free disk space and run this again; what was published before is still served",
            ) from error
        raise
