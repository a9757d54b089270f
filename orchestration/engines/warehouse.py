"""The warehouse: dbt builds the marts day by day, in a DuckDB file or on a Postgres server.

Everything that opens the DuckDB file goes through `locked()`. A killed build leaves each day old or new, never half:
building those whose `inputs()` are not those of their last export converges.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import pyarrow as pa

from assets.behavior.schemas import partition
from assets.errors import ConfigError, EngineBusy
from assets.fingerprints import digest
from assets.ports import Lake
from orchestration.engines import warehouse_dbt, warehouse_inputs, warehouse_marts
from orchestration.engines.lake import file_lock
from orchestration.engines.warehouse_days import Days, ranges
from orchestration.engines.warehouse_duckdb import DuckWarehouse
from orchestration.engines.warehouse_postgres import PostgresSettings, PostgresWarehouse
from orchestration.engines.warehouse_sessions import Session

__all__ = ["DAILY_MODELS", "WHOLE_MODELS", "BuildReport", "Days", "PostgresSettings", "Warehouse", "ranges"]

DAILY_MODELS = "tag:daily"  # staging views and microbatch models: one partition a day
WHOLE_MODELS = "tag:whole"  # tables over all days
MAPPING_MODELS = "tag:mapping"  # views over a team's own logs, built when they changed (warehouse_logs.py)
_INPUTS = b"twohands.inputs"  # schema metadata of an exported day: what it was computed from
_PARSED_KEPT = 3  # parsed projects that stay: another process may still read an older one


@dataclass(frozen=True, slots=True)
class BuildReport:
    """A build that succeeded: every model was built and every test passed."""

    days: tuple[date, ...]
    ranges: tuple[Days, ...]
    models: tuple[str, ...]
    tests: int
    seconds: float


class Warehouse:
    """dbt's project over one lake. `home` is the folder of all state, `lake_root` the lake's folder or URL.

    `lock_seconds` is how long a caller waits for another build, or for a DuckDB shell that has the file open.
    `memory` and `threads` are DuckDB's; `variables` are dbt's vars, for logs that lie in the warehouse already.
    """

    def __init__(
        self,
        *,
        project: Path,
        home: Path,
        lake: Lake,
        lake_root: str,
        target: Literal["duckdb", "postgres"] = "duckdb",
        postgres: PostgresSettings | None = None,
        lock_seconds: float = 600,
        memory: str = "3GB",
        threads: int = 2,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.project, self.home, self.lake = project.absolute(), home.absolute(), lake
        self.lock_seconds, self.threads = lock_seconds, threads
        self.scratch, self.variables = self.home / "dbt", dict(variables or {})
        self.engine: warehouse_marts.Engine
        if target == "duckdb":
            file = self.home / "warehouse.duckdb"
            self.engine = DuckWarehouse(file, lake, lake_root, self.scratch, memory, threads)
        elif postgres is not None:
            self.engine = PostgresWarehouse(postgres, lake)
        else:
            raise ConfigError("warehouse: target postgres without a server", expected="the server's settings")
        self._mutex, self._depth = threading.RLock(), 0

    # ---------------------------------------------------------------------------------------------- dbt's side

    @property
    def environment(self) -> dict[str, str]:
        """What a dbt subprocess needs; of a password only its variable's name. Nothing is written to the project."""
        return {
            **self._settings(),
            "DBT_PROJECT_DIR": str(self.project),
            "DBT_PROFILES_DIR": str(self.project),
            "DBT_TARGET_PATH": str(self._parsed()),
            "DBT_LOG_PATH": str(self.scratch / "logs"),
            "DBT_USE_COLORS": "False",
            "DBT_USE_COLORS_FILE": "False",
            "DBT_LOG_LEVEL_FILE": "info",  # the SQL of 3 x 365 batches is in the target folder already
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "False",
            "DBT_VERSION_CHECK": "False",
            "DO_NOT_TRACK": "1",
        }

    def arguments(
        self, days: Sequence[date] | None, *, select: str = "", exclude: str = "", full_refresh: bool = False
    ) -> list[str]:
        """dbt's words for building the range that encloses the days; None for models that have no days."""
        words = ["build", *self._variables()]
        if days:
            words += Days(min(days), max(days)).flags()
        if select:
            words += ["--select", select]
        if exclude:
            words += ["--exclude", *exclude.split()]
        return [*words, "--full-refresh"] if full_refresh else words

    def manifest(self) -> Path:
        """manifest.json of the project as it is now; parsed once for each content, target and environment."""
        folder = self._parsed()
        file = folder / "manifest.json"
        if not file.exists():
            with file_lock(self.home / "locks" / "warehouse-manifest.lock", self.lock_seconds):
                if not file.exists():
                    self._parse(folder)
        return file

    def target(self) -> Path:
        """An empty folder for one dbt run, with the parsed project in it so that dbt parses nothing again.

        There is one: call it under the lock.
        """
        parsed, run = self.manifest().parent, self.scratch / "run"
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        shutil.copy(parsed / "partial_parse.msgpack", run)
        return run

    # ---------------------------------------------------------------------------------------------- building

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The warehouse for ourselves; a thread may enter again. EngineBusy names the holder who does not let go."""
        with self._held(self.lock_seconds, self.engine.free(time.monotonic() + self.lock_seconds)):
            yield

    @contextmanager
    def look(self, wait: float | None = None, most: float = 0) -> Iterator[Session]:
        """One consistent, read-only look. A DuckDB file that is being written is waited for `wait` s (lock_seconds).

        `most` is how many seconds a query on a server may take; 0 is any.
        """
        wait = self.lock_seconds if wait is None else wait
        alone = self._held(wait, nullcontext()) if self.engine.alone else nullcontext()
        with alone, self.engine.look(wait, most) as session:
            yield session

    @contextmanager
    def _held(self, wait: float, free: AbstractContextManager[None]) -> Iterator[None]:
        if not self._mutex.acquire(timeout=wait):
            raise EngineBusy(
                f"Another thread of this process has held the warehouse for more than {wait:g} s",
                expected="one build at a time",
                next_step="wait for it to end, and run this again",
            )
        try:
            if self._depth:
                yield
                return
            with file_lock(self.home / "locks" / "warehouse.lock", wait), free:
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
        finally:
            self._mutex.release()

    def load(self, days: Sequence[date]) -> None:
        """Brings those days where dbt reads them: rows of Postgres, or local copies of a remote lake's files."""
        with self.locked():
            self.engine.load(sorted(set(days)))

    def build(self, days: Sequence[date] | None = None, *, on_line: Callable[[str], None] | None = None) -> BuildReport:
        """Loads and builds those days (None: every day of the lake and of the warehouse), tests included.

        One dbt invocation for each range of days, in one process; days that are close share one (`ranges`). The
        tables over all days are built by the last. EngineError names what failed, EngineBusy who holds the warehouse.
        """
        started = time.monotonic()
        with self.locked():
            wanted = sorted(set(self.known_days() if days is None else days))
            self.load(wanted)
            parts = ranges(wanted)
            mappings = MAPPING_MODELS if self.variables.get("warehouse_logs") else ""
            excluded = [f"{WHOLE_MODELS} {mappings}".strip()] * (len(parts) - 1) + [mappings]
            commands = [self.arguments(part, exclude=name) for part, name in zip(parts, excluded, strict=False)]
            quick = [[*words, "--no-write-json"] for words in commands]  # nobody reads these artifacts: 0.3 s
            outcome = self.dbt(*quick, on_line=on_line) if quick else warehouse_dbt.Outcome((), ())
        models = tuple(sorted(set(outcome.models)))
        return BuildReport(tuple(wanted), tuple(parts), models, len(outcome.tests), time.monotonic() - started)

    def build_whole(self) -> None:
        """Builds the models over all days from the days that are there. Errors as for `build`."""
        self.dbt([*self.arguments(None, select=WHOLE_MODELS), "--no-write-json"])

    def dbt(self, *commands: Sequence[str], on_line: Callable[[str], None] | None = None) -> warehouse_dbt.Outcome:
        """Runs dbt commands under the lock, with artifacts in home/dbt/run. Errors as for `build`."""
        with self.locked():
            run = self.target()
            environment = {**self.environment, "DBT_TARGET_PATH": str(run)}
            return warehouse_dbt.invoke(commands, environment, self.project, on_line)

    def export_daily(self, days: Sequence[date] | None = None, inputs: Mapping[date, str] | None = None) -> int:
        """Writes behavior_daily of those days into the lake, a file a day; a day that is empty now loses its file.

        `inputs` is what `inputs(days)` said before the build; each file carries it. A file that
        would stay the same is not written. Returns the number of rows.
        """
        wanted = self.known_days() if days is None else sorted(set(days))
        stamps = inputs if inputs is not None else self.inputs(wanted)
        table = self.daily(wanted)
        rows: dict[date, list[int]] = {day: [] for day in wanted}
        for row, day in enumerate(table["day"].to_pylist()):
            rows[day].append(row)
        self.lake.remove(partition("daily", day) for day in wanted if not rows[day])
        for day in wanted:
            if rows[day]:
                fresh = table.take(rows[day]).replace_schema_metadata({_INPUTS: stamps[day].encode()})
                stored = self.lake.read(partition("daily", day))
                if stored is None or not stored.equals(fresh, check_metadata=True):
                    self.lake.write(partition("daily", day), fresh)
        return table.num_rows

    def purge(self) -> None:
        """Rewrites the engine's tables: nothing of deleted rows is left on the disk."""
        with self.locked():
            self.engine.purge()

    def build_mapping(self, model: str) -> None:
        """Builds the view of a mapping model, and nothing else. Errors as for `build`."""
        self.dbt(["run", "--select", model, *self._variables()])

    # ---------------------------------------------------------------------------------------------- what is known

    def known_days(self) -> list[date]:
        """Every day that the lake or the warehouse holds, sorted."""
        with self.locked():
            built = warehouse_marts.built_days(self.engine)
        return sorted(built | warehouse_inputs.lake_days(self.lake, "interactions"))

    def inputs(self, days: Sequence[date]) -> dict[date, str]:
        """What the marts of each day are computed from, as a digest. Take it before a build, for `export_daily`."""
        return warehouse_inputs.inputs(self.lake, warehouse_inputs.marts_digest(self.project), days)

    def daily(self, days: Sequence[date] | None = None) -> pa.Table:
        """behavior_daily (schema DAILY), sorted by day, variant, topic and event."""
        with self.locked():
            return warehouse_marts.daily(self.engine, days)

    def gaps(self) -> pa.Table:
        """knowledge_gaps (schema warehouse_marts.GAPS), the most frequent first."""
        with self.locked():
            return warehouse_marts.gaps(self.engine)

    def candidates(self, days: Sequence[date] | None = None) -> pa.Table:
        """training_candidates (schema warehouse_marts.CANDIDATES), sorted by day and id."""
        with self.locked():
            return warehouse_marts.candidates(self.engine, days)

    def candidates_count(self, days: Sequence[date] | None = None) -> pa.Table:
        """Candidates by variant, topic and source (schema warehouse_marts.COUNTS), without reading their texts."""
        with self.locked():
            return warehouse_marts.candidates_count(self.engine, days)

    def release_days(self, days: Sequence[date]) -> pa.Table:
        """Interactions by variant, day and release (schema warehouse_marts.RELEASES), where they name one."""
        with self.locked():
            return warehouse_marts.release_days(self.engine, days)

    # ---------------------------------------------------------------------------------------------- inside

    def _settings(self) -> dict[str, str]:
        """The variables of profiles.yml."""
        return {
            "TWOHANDS_WAREHOUSE_TARGET": self.engine.target,
            "TWOHANDS_DBT_THREADS": str(self.threads),
            **self.engine.environment(),
        }

    def _variables(self) -> list[str]:
        return ["--vars", json.dumps(self.variables)] if self.variables else []

    def _parsed(self) -> Path:
        """The folder of the parsed project, named by all that parsing depends on."""
        versions = [f"{name}=={importlib.metadata.version(name)}" for name in ("dbt-core", "dbt-adapters")]
        settings = [f"{key}={value}" for key, value in sorted(self._settings().items())] + self._variables()
        key = digest([str(self.project), warehouse_inputs.project_digest(self.project), *versions, *settings])
        return self.scratch / "parsed" / key[:16]

    def _parse(self, folder: Path) -> None:
        """Parses beside `folder` and moves the result there at once. Needs neither network nor warehouse."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = folder.with_name(f".new-{uuid.uuid4().hex}")
        try:
            environment = {**self.environment, "DBT_TARGET_PATH": str(fresh)}
            warehouse_dbt.invoke([["parse", "--quiet", *self._variables()]], environment, self.project)
            shutil.rmtree(folder, ignore_errors=True)  # what a killed process may have left
            fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        others = [other for other in folder.parent.iterdir() if other != folder]
        others.sort(key=lambda other: other.stat().st_mtime)
        for old in others[: max(0, len(others) + 1 - _PARSED_KEPT)]:
            shutil.rmtree(old, ignore_errors=True)
