"""Files of the journal: `served-<day>-<process>-<n>.jsonl`, each written by one process, and only added to.

A process holds a lock on the file that it writes. One that was killed may leave half a line: whoever starts next ends
that with a line feed, so that ingestion puts the half aside and reads what follows.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

NAME = re.compile(r"served-(\d{4}-\d{2}-\d{2})-([0-9a-f]+)-(\d+)\.jsonl")
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # no space, no quota, or a limit on the file's size


class Segment:
    """One file that this process writes. What `append` returned from is on disk; what it failed on is taken back."""

    def __init__(self, folder: Path, day: date, process: str, number: int) -> None:
        self.path = folder / f"served-{day}-{process}-{number}.jsonl"
        self.day, self.size = day, 0
        self.broken = False  # its end is not what was acknowledged, and could not be made so
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._handle = os.open(self.path, flags, 0o640)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            sync_folder(folder)
        except OSError:
            self.close()
            raise

    @property
    def is_ours(self) -> bool:
        """Whether the path still names the file that this process writes: somebody may have edited or moved it."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._handle))
        except FileNotFoundError:
            return False

    def append(self, data: bytes) -> int:
        """Writes and syncs whole lines; returns the place where they begin. OSError: none of them is there."""
        start = os.fstat(self._handle).st_size  # not what we wrote, where somebody took lines out
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            os.fsync(self._handle)
            if not self.is_ours:
                raise OSError(errno.ESTALE, "its file was moved away in this moment")
        except OSError as error:
            # After a failed sync the kernel may have dropped pages that it calls clean: such a file is not trusted.
            self.broken = error.errno not in FULL
            try:
                os.ftruncate(self._handle, start)
            except OSError:
                self.broken = True
            raise
        self.size = start + len(data)
        return start

    def close(self) -> None:
        """Lets go of the file; an empty one is removed."""
        if self._handle < 0:
            return
        if not self.broken and self.is_ours and not os.fstat(self._handle).st_size:
            with suppress(OSError):
                self.path.unlink()
        os.close(self._handle)
        self._handle = -1


def segments(folder: Path, since: date | None = None) -> Iterator[Path]:
    """The journal's files in a folder, in the order of their names; those of a day on, where one is given."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except FileNotFoundError:
        return
    for name in names:
        match = NAME.fullmatch(name)
        if match and (since is None or match[1] >= since.isoformat()):
            yield folder / name


def mend(folder: Path) -> list[Path]:
    """Ends the half lines that killed processes left; returns the files. One that is still written is left alone."""
    return [path for path in segments(folder) if _mended(path)]


def sync_folder(folder: Path) -> None:
    """Makes a new file's name as durable as its content."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _mended(path: Path) -> bool:
    if not _ends_in_half_a_line(path):
        return False
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _ends_in_half_a_line(path):
            return False
        os.write(handle, b"\n")
        os.fsync(handle)
    except BlockingIOError:
        return False  # its writer lives
    finally:
        os.close(handle)
    return True


def _ends_in_half_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if not size:
            return False
        file.seek(size - 1)
        return file.read(1) != b"\n"
