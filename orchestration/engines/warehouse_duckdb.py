"""The embedded warehouse: one DuckDB file, which one process at a time can open for writing."""

from __future__ import annotations

import contextlib
import glob
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from assets.behavior.schemas import ATTRIBUTIONS, INTERACTIONS, REFERENCE, partition
from assets.errors import EngineBusy, EngineError
from assets.ports import Lake
from orchestration.engines.lake import FolderLake
from orchestration.engines.warehouse_sessions import DuckSession, Outdated, Session

_HOLDER = re.compile(r"PID (\d+)")
_LOCKED = ("Could not set lock on file", "different configuration", "already open")
_POLL = 0.25  # seconds between two tries to open a file that another process holds


class DuckWarehouse:
    """Marts in `file`; sources are the lake's own Parquet files, or local copies of a remote lake's."""

    target, alone = "duckdb", True

    def __init__(self, file: Path, lake: Lake, lake_root: str, scratch: Path, memory: str, threads: int) -> None:
        self.file, self.lake, self.scratch = file, lake, scratch
        self.memory, self.threads = memory, threads
        self.copies = FolderLake(scratch / "lake") if "://" in lake_root.removeprefix("file://") else None
        self.folder = self.copies.root if self.copies else Path(lake_root.removeprefix("file://")).absolute()

    def environment(self) -> dict[str, str]:
        """What profiles.yml and sources.yml read. The lake's folder is a pattern: its own [, * and ? are escaped."""
        return {
            "TWOHANDS_WAREHOUSE": str(self.file),
            "TWOHANDS_LAKE": glob.escape(str(self.folder)),
            "TWOHANDS_DUCKDB_MEMORY": self.memory,
            "TWOHANDS_DUCKDB_THREADS": str(self.threads),
            "TWOHANDS_DUCKDB_TEMP": str(self.scratch / "tmp"),
        }

    def load(self, days: Sequence[date]) -> None:
        """Nothing for a lake in a folder; the days' files of a remote lake are copied beside the warehouse."""
        if self.copies is None:
            return
        names = [partition(table, day) for day in days for table in ("interactions", "attributions")]
        for name in [*names, "behavior/reference/data.parquet"]:
            table = self.lake.read(name)
            if table is None:
                self.copies.remove([name])
            else:
                self.copies.write(name, table)

    def query(self, sql: str, schema: pa.Schema) -> pa.Table:
        """Rows of a mart in a short-lived read-only connection; no rows where the mart was never built."""
        import duckdb

        if not self.file.exists():
            return schema.empty_table()
        try:
            with duckdb.connect(str(self.file), read_only=True) as connection:
                connection.execute("set TimeZone = 'UTC'")
                return connection.sql(sql).to_arrow_table().rename_columns(schema.names).cast(schema)
        except duckdb.CatalogException:
            return schema.empty_table()
        except duckdb.Error as error:
            raise _translated(self.file, error) from error

    def relation(self, name: str) -> str:
        """A mart's name in SQL."""
        return f'"main"."{name}"'

    @contextmanager
    def look(self, wait: float, most: float) -> Iterator[Session]:  # noqa: ARG002 -- DuckDB has no time limit
        """One read-only connection, as soon as nobody has the file open for writing; EngineBusy after `wait` s."""
        import duckdb

        if not self.file.exists():
            raise Outdated(f"{self.file} does not exist")
        deadline = time.monotonic() + wait
        while True:
            try:
                connection = duckdb.connect(str(self.file), read_only=True, config=self._config())
                break
            except duckdb.Error as error:
                problem = _translated(self.file, error)
                if isinstance(problem, EngineError) or time.monotonic() > deadline:
                    raise problem from error
            time.sleep(_POLL)
        with connection:
            yield DuckSession(connection, str(self.file))

    def changed(self) -> str | None:
        """The state of the file on the disk."""
        found = []
        for path in (self.file, self.file.with_name(self.file.name + ".wal")):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                found.append(f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}")
        return " ".join(found)

    def purge(self) -> None:
        """Copies what is there to another file, and puts that in this one's place: DuckDB's own VACUUM keeps the bytes
        of deleted rows until something else is written over them. Call it under the lock."""
        import duckdb

        shutil.rmtree(self.scratch / "tmp", ignore_errors=True)  # what a killed build spilled
        if not self.file.exists():
            return
        fresh = self.file.with_name(self.file.name + ".fresh")
        fresh.unlink(missing_ok=True)
        try:
            with duckdb.connect(config=self._config()) as connection:
                connection.execute(f"attach '{_quoted(self.file)}' as old")
                connection.execute("checkpoint old")  # what is in its log is in the file then
                connection.execute(f"attach '{_quoted(fresh)}' as fresh")
                connection.execute("copy from database old to fresh")
        except duckdb.Error as error:
            fresh.unlink(missing_ok=True)
            raise _translated(self.file, error) from error
        fresh.replace(self.file)

    def _config(self) -> dict[str, Any]:
        return {"memory_limit": self.memory, "threads": self.threads, "temp_directory": str(self.scratch / "tmp")}

    @contextmanager
    def free(self, deadline: float) -> Iterator[None]:
        """Waits until the file can be opened (`deadline` is of time.monotonic), else EngineBusy.

        The lock file keeps our own processes apart; this is for a DuckDB shell, or a dbt whose caller was killed.
        """
        import duckdb

        self.scratch.joinpath("tmp").mkdir(parents=True, exist_ok=True)
        while self.file.exists():
            try:
                duckdb.connect(str(self.file)).close()
                break
            except duckdb.Error as error:
                problem = _translated(self.file, error)
                if isinstance(problem, EngineError) or time.monotonic() > deadline:
                    raise problem from error
            time.sleep(_POLL)
        yield


def _quoted(file: Path) -> str:
    return str(file).replace("'", "''")


def is_busy(message: str) -> bool:
    """Whether DuckDB refused because somebody else has the file."""
    return any(sign in message for sign in _LOCKED)


def busy(file: Path | str, message: str) -> EngineBusy:
    """The error for a file that another process has open."""
    holder = _HOLDER.search(message)
    return EngineBusy(
        f"{file} is open in another process" + (f" (pid {holder.group(1)})" if holder else ""),
        expected="one process at a time: DuckDB lets nobody read while somebody writes",
        next_step="close the DuckDB shell or notebook that has it open (or copy the lake's Parquet files, which can "
        "be read at any time), and run this again",
    )


def _translated(file: Path, error: Any) -> EngineBusy | EngineError:
    message = str(error).splitlines()[0]
    if is_busy(str(error)):
        return busy(file, str(error))
    return EngineError(
        f"{file} cannot be read: {message}",
        expected="a DuckDB file that Twohands wrote",
        next_step="move it away and build every day again: the marts are rebuilt from the lake",
    )


SOURCES: Mapping[str, pa.Schema] = {"interactions": INTERACTIONS, "attributions": ATTRIBUTIONS, "reference": REFERENCE}
