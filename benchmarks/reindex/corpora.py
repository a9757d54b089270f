"""Real edit histories of documentation, replayed into a folder snapshot by snapshot.

The data (two public documentation trees, 24 snapshots each) is described in data/README.md section 1. Every snapshot
is checked against the manifest's `tree_sha256` before anything is measured on it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMES = ("fastapi-docs", "astro-docs")
Tree = Mapping[str, str]


def shared_data() -> Path:
    """The folder with the shared data sets: `TWOHANDS_SHARED_DATA`, or `../shared/data` beside the repository."""
    named = os.environ.get("TWOHANDS_SHARED_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "data"
    if not (folder / "docs-history").is_dir():
        raise SystemExit(f"{folder} has no docs-history/: set TWOHANDS_SHARED_DATA to the folder that holds it")
    return folder


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole tree at one time (path -> text), the rows that led to it, and its date. Number 0 is the base."""

    number: int
    date: str
    tree: Tree
    changes: tuple[dict[str, Any], ...]


def load(name: str) -> list[Snapshot]:
    """All snapshots of one history, the base first, each verified. SystemExit when a tree is not the manifest's."""
    folder = shared_data() / "docs-history"
    manifest = json.loads((folder / f"{name}-manifest.json").read_text())
    with gzip.open(folder / f"{name}-changes.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    tree = _base(folder / f"{name}-base.tar.gz")
    base = manifest["base"]
    _verify(name, 0, tree, base["tree_sha256"])
    snapshots = [Snapshot(0, base.get("date", ""), tree, ())]
    for entry in manifest["snapshots"]:
        changes = tuple(row for row in rows if row["snapshot"] == entry["snapshot"])
        tree = _applied(tree, changes)
        _verify(name, entry["snapshot"], tree, entry["tree_sha256"])
        snapshots.append(Snapshot(entry["snapshot"], entry["date"], tree, changes))
    return snapshots


def write(folder: Path, tree: Tree) -> None:
    """Makes the folder hold exactly this tree. Files that are right already are not touched, and keep their times."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        if path.relative_to(folder).as_posix() not in tree:
            path.unlink()
    for name, text in tree.items():
        path, data = folder / name, text.encode()
        if path.is_file() and path.read_bytes() == data:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def subset(tree: Tree, keep: Callable[[str], bool]) -> dict[str, str]:
    """The part of a tree whose paths are kept."""
    return {path: text for path, text in tree.items() if keep(path)}


def tree_sha256(tree: Tree) -> str:
    """sha256 over the sorted paths of: path, NUL, sha256 hex of the UTF-8 text, LF (the manifest's rule)."""
    whole = hashlib.sha256()
    for path in sorted(tree):
        whole.update(f"{path}\0{hashlib.sha256(tree[path].encode()).hexdigest()}\n".encode())
    return whole.hexdigest()


def _verify(name: str, number: int, tree: Tree, expected: str) -> None:
    if (found := tree_sha256(tree)) != expected:
        raise SystemExit(f"{name} snapshot {number}: tree_sha256 is {found}, the manifest says {expected}")


def _base(archive: Path) -> dict[str, str]:
    tree = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and (file := tar.extractfile(member)) is not None:
                tree[member.name.split("/", 2)[2]] = file.read().decode()  # members are <name>/base/<path>
    return tree


def _applied(tree: Tree, changes: tuple[dict[str, Any], ...]) -> dict[str, str]:
    after = dict(tree)
    for row in changes:
        if row["op"] == "delete":
            del after[row["path"]]
    for row in changes:
        if row["op"] == "rename":
            del after[row["old_path"]]
    for row in changes:
        if row["op"] != "delete":
            after[row["path"]] = row["text"]
    return after
