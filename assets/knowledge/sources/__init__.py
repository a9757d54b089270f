"""Where documents come from: a folder, a git repository at a ref, or any fsspec file system.

    open_source("handbook", base=..., cache=...)                        a folder, relative to twohands.toml
    open_source("file:///srv/handbook", ...)                            the same, absolute
    open_source("git+https://host/repo.git@main#subdirectory=docs", ...) what a branch, tag or commit holds
    open_source("s3://bucket/prefix", ...)                              fsspec; also gs, az, https, memory, sftp, ...

Each lists what it holds with cheap change tokens and reads what it listed; see `selection` for which files count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from assets.errors import SourceError
from assets.knowledge.sources.folder import FolderSource
from assets.knowledge.sources.gathering import shard_of, split
from assets.knowledge.sources.git import GitSource
from assets.knowledge.sources.remote import RemoteSource
from assets.knowledge.sources.selection import IGNORED, SUPPORTED, Selection
from assets.ports import Source

__all__ = ["IGNORED", "MAX_BYTES", "SUPPORTED", "Selection", "folder_of", "open_source", "shard_of", "split"]

MAX_BYTES = 64 * 1024 * 1024


def open_source(
    url: str,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    base: Path,
    cache: Path,
    max_bytes: int = MAX_BYTES,
    storage_options: Mapping[str, Any] | None = None,
) -> Source:
    """The source that `url` names. Nothing is opened, imported or fetched before its first `list`.

    `base` is the folder that relative paths start from, `cache` a folder of our own for git mirrors, `max_bytes` the
    size above which a file is refused as too large. `storage_options` go to fsspec. SourceError for a url that
    cannot be understood, ConfigError for a pattern.
    """
    selection = Selection(include, exclude)
    if not url.strip() or "\0" in url:
        raise SourceError("The source's url is empty", expected="a folder, git+URL@ref, or an fsspec URL")
    if url.startswith("git+"):
        return GitSource(url, base=base, cache=cache, selection=selection, max_bytes=max_bytes)
    folder = folder_of(url, base)
    if folder is None:
        return RemoteSource(url, selection, max_bytes, storage_options or {})
    return FolderSource(folder, selection, max_bytes)


def folder_of(url: str, base: Path) -> Path | None:
    """The folder of this machine that `url` names; None where it names something else. SourceError as above."""
    if re.match(r"(?:file|local):", url) and "::" not in url:
        return _local(url)
    if url.startswith("git+") or re.match(r"[A-Za-z][A-Za-z0-9+.\-]+:(?://|:)", url):
        return None
    return base / Path(url).expanduser()


def _local(url: str) -> Path:
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    if parts.netloc not in ("", "localhost") or not path.is_absolute():
        raise SourceError(
            f"{url} names no folder of this machine",
            expected="file:// with an absolute path, as in file:///srv/handbook",
            next_step="write three slashes, or a plain path",
        )
    return path
