"""What each day's marts are computed from: files of the lake by their stamps, and the dbt project by its content."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path

from assets.behavior.schemas import partition
from assets.fingerprints import digest, sha256_bytes
from assets.ports import Lake
from orchestration.engines.lake import FolderLake, ObjectLake

REFERENCE = "behavior/reference/data.parquet"
MAPPINGS = Path("models", "warehouse_logs")  # models from a team's own columns to the contract's
_DAY = re.compile(r"/day=(\d{4}-\d{2}-\d{2})/data\.parquet$")
_NOT_PROJECT = ("target", "logs", "dbt_packages")  # what a dbt that was called by hand leaves in its folder


def lake_days(lake: Lake, table: str) -> set[date]:
    """Days of which the lake has a file of `interactions`, `attributions` or `daily`."""
    found = (_DAY.search(name) for name in lake.names(f"behavior/{table}"))
    return {date.fromisoformat(match.group(1)) for match in found if match}


def inputs(lake: Lake, project: str, days: Iterable[date]) -> dict[date, str]:
    """A digest for each day: its interactions and attributions, the frozen reference, the project's digest."""
    reference = lake.read(REFERENCE)  # small, and part of every day: only another content makes all days stale
    shared = [project, "" if reference is None else json.dumps(reference.to_pylist())]
    tables = ("interactions", "attributions")
    return {day: digest([*shared, *(_stamp(lake, partition(table, day)) for table in tables)]) for day in days}


def project_digest(project: Path) -> str:
    """The content of every file of the dbt project."""
    return _content(project, lambda _: True)


def marts_digest(project: Path) -> str:
    """The content of all that the marts are built by: the mapping of a team's own logs is none of it."""
    return _content(project, lambda name: not name.is_relative_to(MAPPINGS))


def mappings_digest(project: Path) -> str:
    """The content of all that a mapping model is built by."""
    return _content(project, lambda name: name.is_relative_to(MAPPINGS) or name.parts[0] == "macros")


def _content(project: Path, chosen: Callable[[Path], bool]) -> str:
    files = sorted(file for file in project.rglob("*") if file.is_file() and _counts(file.relative_to(project)))
    names = [file.relative_to(project) for file in files]
    parts = ((name.as_posix(), sha256_bytes((project / name).read_bytes())) for name in names if chosen(name))
    return digest(text for part in parts for text in part)


def _counts(name: Path) -> bool:
    return name.parts[0] not in _NOT_PROJECT and not name.name.startswith(".") and name.suffix != ".md"


def _stamp(lake: Lake, name: str) -> str:
    """A file's change token; empty where there is no file. A rewrite counts as a change, whatever it wrote."""
    if isinstance(lake, FolderLake):
        try:
            status = (lake.root / name).stat()
        except FileNotFoundError:
            return ""
        return f"{status.st_size}:{status.st_mtime_ns}"
    if isinstance(lake, ObjectLake):
        try:
            info = lake.fs.info(f"{lake.root.rstrip('/')}/{name}")
        except FileNotFoundError:
            return ""
        token = next((info[key] for key in ("ETag", "etag", "LastModified", "mtime", "created") if info.get(key)), "")
        return f"{info.get('size')}:{token}"
    table = lake.read(name)  # a lake of another kind tells nothing but its content
    return "" if table is None else digest([str(table.nbytes), str(table.schema.metadata), str(table.num_rows)])
