"""A git repository at a branch, tag or commit as a source: a bare, shallow mirror, and never a checkout."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from assets.errors import SourceBusy, SourceError
from assets.knowledge.sources.address import Address, parse_address
from assets.knowledge.sources.gathering import Gathering, escaped, readable
from assets.knowledge.sources.gitcli import Blobs, GitFailed, Remote, git
from assets.knowledge.sources.selection import Selection
from assets.ports import Listing, Reason, SourceFile

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ABBREVIATED = re.compile(r"[0-9a-f]{7,64}")
_POINTER = b"version https://git-lfs.github.com/spec/"
_POINTER_BYTES = 1024
_BROKEN = "broken"
_LOCK_SECONDS = 60.0


class GitSource:
    """Files of one commit. The stamp is the blob id, the revision the commit id, `modified` the commit's time.

    The mirror under `cache` is fetched (depth 1) only when `git ls-remote` says that the ref has moved; a mirror
    that was damaged, or left half-way by a kill, is thrown away and fetched again. Processes take turns by a file lock.
    Symbolic links, submodules and Git LFS pointers are refused; uncommitted changes are not seen.
    """

    def __init__(
        self, url: str, *, base: Path, cache: Path, selection: Selection, max_bytes: int, timeout: float = 600.0
    ) -> None:
        self._url, self._base = url, base
        self._selection, self._max_bytes = selection, max_bytes
        self._cache, self._timeout = cache, timeout
        self._address: Address | None = None
        if not re.match(r"git\+(file:|[^:]*\Z)", url):
            self._address = parse_address(url, base)  # wrong at once; a missing folder is an error of `list`
        self._last: Listing | None = None
        self._blobs: Blobs | None = None

    def list(self) -> Listing:
        """The files of the commit that the ref names now. SourceError: no such repository, ref or folder."""
        from filelock import FileLock, Timeout

        self._address = self._address or parse_address(self._url, self._base)
        self._cache.mkdir(parents=True, exist_ok=True)
        mirror = _mirror(self._cache, self._address.remote)
        try:
            with FileLock(mirror.with_suffix(".lock"), timeout=_LOCK_SECONDS):
                return self._listed(self._address, mirror)
        except Timeout as error:
            raise SourceBusy(f"Another process is still fetching {self._address.remote.shown}") from error
        except GitFailed as error:
            raise error.translated(self._address.remote) from error

    def read(self, file: SourceFile) -> bytes:
        """The bytes of a listed file; SourceBusy when the mirror no longer holds them."""
        if self._blobs is None:
            self.list()
        blobs = self._blobs
        assert blobs is not None  # noqa: S101 - list() has set it
        data = blobs.read(file.stamp) if _COMMIT.fullmatch(file.stamp) else None
        if data is not None and len(data) == file.size:
            return data
        if data is None and self._address and (mirror := _mirror(self._cache, self._address.remote)).is_dir():
            (mirror / _BROKEN).touch()
        raise SourceBusy(f"{file.path} is not in the mirror any more", next_step="nothing; the next tick repairs it")

    def _listed(self, address: Address, mirror: Path) -> Listing:
        wanted = _wanted(address)
        if (mirror / _BROKEN).exists():
            self._discard(mirror)
        is_new = not mirror.exists()
        try:
            return self._refreshed(address, mirror, wanted)
        except GitFailed as error:
            if is_new or error.is_busy():
                raise
        self._discard(mirror)
        return self._refreshed(address, mirror, wanted)

    def _discard(self, mirror: Path) -> None:
        if self._blobs:
            self._blobs.close()
        self._last = None
        # Out of the way first: what a killed process left running must not disturb the new one.
        waste = mirror.rename(mirror.with_suffix(f".waste-{os.getpid()}-{time.monotonic_ns()}"))
        shutil.rmtree(waste, ignore_errors=True)

    def _refreshed(self, address: Address, mirror: Path, wanted: _Wanted) -> Listing:
        if not mirror.exists():
            form = "sha256" if len(wanted.id) == 64 else "sha1"
            git("init", "--quiet", "--bare", "--template=", f"--object-format={form}", mirror=mirror)
        own = "refs/twohands/" + hashlib.sha256(address.ref.encode()).hexdigest()[:16]
        if not _holds(mirror, own, wanted):
            _fetch(mirror, address, wanted, own, self._timeout)
        try:
            when, commit = git("rev-list", "-1", "--timestamp", "--end-of-options", own, mirror=mirror).split()
        except ValueError:
            raise SourceError(f"{address.ref} of {address.remote.shown} is not a commit") from None
        if self._last is None or self._last.revision != commit.decode():
            self._blobs = self._blobs or Blobs(mirror)
            self._last = self._tree(address, mirror, commit.decode(), float(when))
        return self._last

    def _tree(self, address: Address, mirror: Path, commit: str, when: float) -> Listing:
        prefix = address.subdirectory.encode() + b"/" if address.subdirectory else b""
        only = ["--", address.subdirectory + "/"] if prefix else []
        out = git(
            "ls-tree",
            "-r",
            "-z",
            "--long",
            "--full-tree",
            "--end-of-options",
            commit,
            *only,
            mirror=mirror,
            timeout=300,
        )
        if prefix and not out:
            raise SourceError(
                f"There is no folder {address.subdirectory} in {address.remote.shown} at {address.ref}",
                next_step="correct #subdirectory",
            )
        found = Gathering(self._selection, self._max_bytes)
        for mode, blob, size, raw in _entries(out):
            self._entry(found, mode, blob, size, raw.removeprefix(prefix), when)
        self._refuse_pointers(found, out)
        return found.listing(commit)

    def _entry(self, found: Gathering, mode: str, blob: str, size: int, raw: bytes, when: float) -> None:
        path = readable(raw)
        if path is None:
            found.refuse_name(raw)
        elif {"", ".", ".."}.intersection(path.split("/")):
            found.refuse(escaped(raw), Reason.UNREADABLE, "its path leaves the repository")
        elif mode == "160000":
            if self._selection.holds(path):
                found.refuse(path, Reason.UNREADABLE, "a submodule; add its repository as a source of its own")
        elif not self._selection.takes(path):
            return
        elif mode == "120000":
            found.refuse(path, Reason.UNREADABLE, "a symbolic link; git sources do not follow links")
        else:
            found.add(raw, path, size, blob, when)

    def _refuse_pointers(self, found: Gathering, out: bytes) -> None:
        """Git LFS pointers would be indexed as text; looked for only where .gitattributes speaks of LFS."""
        blobs = self._blobs
        attributes = [blob for _, blob, _, raw in _entries(out) if raw.rpartition(b"/")[2] == b".gitattributes"]
        if blobs is None or not any(b"filter=lfs" in (blobs.read(blob) or b"") for blob in attributes):
            return
        for path, file in list(found.files.items()):
            if file.size <= _POINTER_BYTES and (blobs.read(file.stamp) or b"").startswith(_POINTER):
                del found.files[path]
                found.refuse(path, Reason.UNREADABLE, "a Git LFS pointer; the file itself is not in the repository")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What to fetch: an advertised ref (`name`) and the object it names now, or a commit id alone."""

    name: str
    id: str


def _wanted(address: Address) -> _Wanted:
    ref, remote = address.ref, address.remote
    names = (
        [ref] if ref == "HEAD" or ref.startswith("refs/") else [f"refs/{kind}{ref}" for kind in ("tags/", "heads/", "")]
    )
    if _COMMIT.fullmatch(ref):
        return _Wanted("", ref)
    try:
        found = _refs(remote, *names)
    except GitFailed as error:
        raise error.translated(remote) from error
    for name in names:
        if name in found:
            return _Wanted(name, found[name])
    if _ABBREVIATED.fullmatch(ref):
        return _Wanted("", ref)
    raise _missing(address)


def _refs(remote: Remote, *names: str) -> dict[str, str]:
    out = git("ls-remote", "--quiet", "--", remote.url, *names, remote=remote)
    pairs = (line.split("\t", 1) for line in out.decode("utf-8", "replace").splitlines())
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}


def _missing(address: Address) -> SourceError:
    shown = address.remote.shown
    try:
        refs = [name for name in _refs(address.remote, "refs/heads/*", "refs/tags/*") if not name.endswith("^{}")]
    except GitFailed as error:
        raise error.translated(address.remote) from error
    names = [name.split("/", 2)[2] for name in refs]
    if not names:
        return SourceError(
            f"{shown} has no commits", expected="a repository with a branch", next_step="commit something"
        )
    close = difflib.get_close_matches(address.ref, names, n=3, cutoff=0.5)
    some = list(dict.fromkeys([*close, *names]))[:8]
    return SourceError(
        f"{shown} has no branch, tag or commit {address.ref}",
        expected="one of its refs, such as " + ", ".join(some) + (", ..." if len(names) > len(some) else ""),
        next_step="correct what follows the @ in the source's url",
    )


def _holds(mirror: Path, own: str, wanted: _Wanted) -> bool:
    """Our own ref is written last, after git has checked that all its objects are there."""
    try:
        have = git("rev-parse", "--verify", "--quiet", "--end-of-options", own, mirror=mirror).decode().strip()
    except GitFailed:
        return False
    return have.startswith(wanted.id)


def _fetch(mirror: Path, address: Address, wanted: _Wanted, own: str, timeout: float) -> None:
    def fetch(*args: str) -> None:
        quiet = ("--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--force")
        git("fetch", *quiet, *args, mirror=mirror, remote=address.remote, timeout=timeout)

    url = address.remote.url
    source = wanted.name or (wanted.id if _COMMIT.fullmatch(wanted.id) else "")
    try:
        if source:
            return fetch("--depth=1", "--end-of-options", url, f"+{source}:{own}")
    except GitFailed as error:
        if error.is_busy():
            raise
        if wanted.name:  # a server that cannot make shallow copies
            return fetch("--end-of-options", url, f"+{source}:{own}")
    # A commit that the server does not hand out by its id, or an abbreviated one: it must be on a branch or a tag.
    everything = ("+refs/heads/*:refs/all/heads/*", "+refs/tags/*:refs/all/tags/*")
    deep = ("--unshallow",) if (mirror / "shallow").exists() else ()
    fetch(*deep, "--end-of-options", url, *everything)
    try:
        name = f"{wanted.id}^{{commit}}"
        commit = git("rev-parse", "--verify", "--quiet", "--end-of-options", name, mirror=mirror).decode().strip()
    except GitFailed:
        raise _missing(address) from None
    git("update-ref", own, commit, mirror=mirror)
    return None


def _entries(out: bytes) -> Iterator[tuple[str, str, int, bytes]]:
    """(mode, object id, size, path) of `git ls-tree -z --long`; the size of what is no blob is 0."""
    for line in out.split(b"\0"):
        if line:
            meta, _, raw = line.partition(b"\t")
            mode, _, blob, size = meta.decode("ascii").split()
            yield mode, blob, int(size) if size != "-" else 0, raw


def _mirror(cache: Path, remote: Remote) -> Path:
    return cache / (hashlib.sha256(remote.url.encode()).hexdigest()[:24] + ".git")
