"""A folder of this machine as a source. Paths are bytes: names need not be UTF-8, whatever the locale says."""

# pathlib knows no bytes, and costs more than the system calls here.
# ruff: noqa: PTH116, PTH118

from __future__ import annotations

import errno
import os
import stat as modes
import time
from pathlib import Path

from assets.errors import SourceBusy, SourceError, TwohandsError
from assets.knowledge.sources.gathering import RACY_NS, Gathering, escaped, readable
from assets.knowledge.sources.selection import Selection
from assets.ports import Listing, Reason, SourceFile

_WALKS = 3
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO in a file's place must not block
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO}


class FolderSource:
    """Every regular file below a folder that the selection takes.

    * The stamp is (size, mtime, ctime, inode): a replacement of the same size with its mtime put back is noticed.
      It is empty while the file is younger than two seconds (see RACY_NS).
    * A link to a file inside the root is listed under its own name and read from where it points; one that points
      outside, at nothing, or at an excluded file is refused. Links to folders are never followed: inside the root
      their files are listed where they really are, outside they are refused.
    * FIFOs, sockets and devices are ignored, and never opened.
    * A sub-folder that may not be opened fails the listing: its documents must not look deleted. Exclude it to go on.
    * A walk during which a folder changed is repeated, so that a file moved from one folder to another is not missed.
    """

    def __init__(self, root: Path, selection: Selection, max_bytes: int) -> None:
        self._given = root
        self._root = os.fsencode(root)
        self._selection = selection
        self._max_bytes = max_bytes
        self._known: _Walk | None = None

    def list(self) -> Listing:
        """The files that are there now. SourceError: missing, not a folder, no permission; SourceBusy: I/O errors."""
        self._root = self._resolved()
        walk = _Walk(self._root, self._selection, self._max_bytes)
        for _ in range(_WALKS - 1):
            if walk.is_settled():
                break
            walk = _Walk(self._root, self._selection, self._max_bytes)
        self._known = walk
        return walk.found.listing()

    def read(self, file: SourceFile) -> bytes:
        """The bytes of a listed file; SourceBusy when it is no longer the file that was listed."""
        if self._known is None:
            self.list()
        known = self._known
        assert known is not None  # noqa: S101 - list() has set it
        real = known.targets.get(file.path) or known.found.raws.get(file.path) or _raw(file.path)
        if file.path in known.targets and _within(self._root, self._link_path(file.path)) != real:
            raise _changed(file.path)
        wanted = file.stamp or known.racy.get(file.path, "")
        try:
            return _read_beneath(self._root, real, file, wanted)
        except PermissionError as error:
            raise SourceError(
                f"{file.path} in {self._given} may not be read ({error.strerror})",
                expected="a file that this user can read",
                next_step="grant the permission, or exclude it",
            ) from error
        except OSError as error:
            if error.errno in _GONE:
                raise _changed(file.path) from error
            raise SourceBusy(f"{file.path} in {self._given} could not be read ({error.strerror})") from error

    def _link_path(self, path: str) -> bytes:
        known = self._known
        raw = known.found.raws.get(path) if known else None
        return os.path.join(self._root, raw or _raw(path))

    def _resolved(self) -> bytes:
        expected = "a folder that this user can list; relative urls are relative to twohands.toml"
        try:
            real = os.path.realpath(os.fsencode(self._given), strict=True)
            mode = os.stat(real).st_mode
        except OSError as error:
            raise SourceError(
                f"The source folder {self._given} cannot be opened ({error.strerror})",
                expected=expected,
                next_step="correct the source's url, or create the folder",
            ) from error
        if not modes.S_ISDIR(mode):
            raise SourceError(
                f"The source {self._given} is not a folder", expected=expected, next_step="name the folder it is in"
            )
        return real


class _Walk:
    """One pass over the tree. `targets` holds the real path of links, `racy` the state of files without a stamp."""

    def __init__(self, root: bytes, selection: Selection, max_bytes: int) -> None:
        self.root = root
        self.selection = selection
        self.found = Gathering(selection, max_bytes)
        self.targets: dict[str, bytes] = {}
        self.racy: dict[str, str] = {}
        self.folders: dict[bytes, int] = {}
        self.now = time.time_ns()
        self.waiting: list[tuple[bytes, str]] = [(b"", "")]
        while self.waiting:
            self._scan(*self.waiting.pop())

    def is_settled(self) -> bool:
        """Whether no folder has changed since it was scanned."""
        try:
            return all(os.stat(folder).st_mtime_ns == time for folder, time in self.folders.items())
        except OSError:
            return False

    def _scan(self, raw: bytes, path: str) -> None:
        folder = os.path.join(self.root, raw) if raw else self.root
        try:
            self.folders[folder] = os.stat(folder).st_mtime_ns
            with os.scandir(folder) as entries:
                for entry in entries:
                    self._entry(entry, raw, path)
        except OSError as error:
            if raw and error.errno in _GONE:
                self.folders.pop(folder, None)
                return  # it was removed meanwhile; its parent has changed, so the walk is repeated
            raise _unlisted(folder, error) from error

    def _entry(self, entry: os.DirEntry[bytes], folder_raw: bytes, folder: str) -> None:
        name = readable(entry.name)
        raw = folder_raw + b"/" + entry.name if folder_raw else entry.name
        if name is None:
            if entry.is_dir(follow_symlinks=False) and self.selection.holds(escaped(raw)):
                self.found.refuse(escaped(raw), Reason.UNREADABLE, "the folder's name is not UTF-8; rename it")
            elif entry.is_file(follow_symlinks=False):
                self.found.refuse_name(raw)
            return
        path = f"{folder}/{name}" if folder else name
        if entry.is_symlink():
            self._link(entry, raw, path)
        elif entry.is_dir(follow_symlinks=False):
            if self.selection.holds(path):
                self.waiting.append((raw, path))
        elif entry.is_file(follow_symlinks=False) and self.selection.takes(path):
            try:
                state = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                return
            self._add(entry.path, raw, path, state)

    def _add(self, place: bytes, raw: bytes, path: str, state: os.stat_result) -> bool:
        # World-readable is the common case; only the others cost a system call more.
        if state.st_mode & 0o444 != 0o444 and not os.access(place, os.R_OK, effective_ids=True):
            self.found.refuse(path, Reason.UNREADABLE, "this user has no permission to read it")
            return False
        stamp = _stamp(state)
        newest = state.st_ctime_ns
        is_racy = newest > self.now - RACY_NS or abs(state.st_mtime_ns - self.now) < RACY_NS
        if not self.found.add(raw, path, state.st_size, "" if is_racy else stamp, state.st_mtime_ns / 1e9):
            return False
        if is_racy:
            self.racy[path] = stamp
        return True

    def _link(self, entry: os.DirEntry[bytes], raw: bytes, path: str) -> None:
        target = _within(self.root, entry.path)
        try:
            state = os.stat(entry.path)
            is_folder = modes.S_ISDIR(state.st_mode)
        except OSError:
            state, is_folder = None, False
        if not (self.selection.holds(path) if is_folder else self.selection.takes(path)):
            return
        shown = escaped(os.path.realpath(entry.path))
        if target is None:
            self.found.refuse(path, Reason.UNREADABLE, f"a link out of the source, to {shown}")
        elif state is None:
            self.found.refuse(path, Reason.UNREADABLE, f"a link to {shown}, which is not there or may not be read")
        elif is_folder or not modes.S_ISREG(state.st_mode):
            return
        elif self.selection.excludes(readable(target) or escaped(target)):
            self.found.refuse(path, Reason.UNREADABLE, f"a link to {escaped(target)}, which is excluded")
        elif self._add(os.path.join(self.root, target), raw, path, state):
            self.targets[path] = target


def _within(root: bytes, place: bytes) -> bytes | None:
    """The real path of `place`, relative to `root`, or None where it lies outside."""
    real = os.path.realpath(place)
    base = root.rstrip(b"/") + b"/"
    return real[len(base) :] if real.startswith(base) else (b"" if real == root else None)


def _raw(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _stamp(state: os.stat_result) -> str:
    return f"{state.st_size:x}-{state.st_mtime_ns:x}-{state.st_ctime_ns:x}-{state.st_ino:x}"


def _read_beneath(root: bytes, real: bytes, file: SourceFile, wanted: str) -> bytes:
    """Opens part by part without following any link, so that nothing outside the root can be put in the way."""
    *folders, name = real.split(b"/")
    if not name or {b"", b".", b".."}.intersection((*folders, name)):
        raise SourceError(f"{file.path!r} is not a path below the source", next_step="list the source again")
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            below = os.open(folder, _FOLDER, dir_fd=here)
            os.close(here)
            here = below
        handle = os.open(name, _FILE, dir_fd=here)
    finally:
        os.close(here)
    with os.fdopen(handle, "rb", buffering=0) as opened:
        before = os.fstat(handle)
        if not modes.S_ISREG(before.st_mode) or before.st_size != file.size or wanted not in ("", _stamp(before)):
            raise _changed(file.path)
        data = _exactly(opened.fileno(), file.size)
        if len(data) != file.size or _stamp(os.fstat(handle)) != _stamp(before):
            raise _changed(file.path)
    return data


def _exactly(handle: int, size: int) -> bytes:
    """Reads to the end, but never more than one byte beyond `size`."""
    blocks, left = [], size + 1
    while left and (block := os.read(handle, min(left, 1 << 20))):
        blocks.append(block)
        left -= len(block)
    return b"".join(blocks)


def _changed(path: str) -> SourceBusy:
    return SourceBusy(f"{path} changed while it was read", next_step="nothing; the next tick lists it again")


def _unlisted(folder: bytes, error: OSError) -> TwohandsError:
    shown = escaped(folder)
    if isinstance(error, PermissionError):
        return SourceError(
            f"The folder {shown} may not be listed ({error.strerror})",
            expected="read and search permission on every folder of the source",
            next_step="grant the permission, or add the folder to the source's exclude",
        )
    if error.errno in {*_GONE, errno.ENAMETOOLONG}:
        return SourceError(
            f"The folder {shown} cannot be listed ({error.strerror})", next_step="check the source's url"
        )
    return SourceBusy(f"The folder {shown} could not be listed ({error.strerror})")
