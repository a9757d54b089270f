"""The folder of a journal and the disk that it lies on: is it there, has it room, and what its errors mean to a person.

| the folder | a line |
|---|---|
| is there, on the disk that it lay on at the start | is written |
| was removed, its parent is there | is written: the folder is made again |
| was removed with its parent | refused (EngineBusy), until somebody restores it |
| its disk was unmounted | refused (EngineBusy), until it is mounted again: below the mount point it would be hidden |

A disk is known by its mount point and not by its device number, since it may have another when it comes back. A bind
mount of the same disk cannot be told from a folder, and is taken for one.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from assets.errors import DiskFull, EngineBusy, TwohandsError
from orchestration.web.segments import FULL, sync_folder


class Disk:
    """The disk of one folder, which need not be there yet. Methods raise OSError: `translated` says what it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mount: Path | None = None

    def open(self) -> None:
        """Makes the folder with its parents, and remembers what it is mounted on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._mount = mount_point(self.folder)

    def free(self) -> int:
        """Bytes that may be written; the folder may have been removed, its parent not."""
        self._mounted()
        try:
            found = os.statvfs(self.folder)
        except FileNotFoundError:
            found = os.statvfs(self.folder.parent)
        return found.f_bavail * found.f_frsize

    def restore(self) -> None:
        """Makes a folder that was removed again; its name is as durable then as what is written into it."""
        self._mounted()
        try:
            self.folder.mkdir()
        except FileExistsError:
            return
        sync_folder(self.folder.parent)

    def _mounted(self) -> None:
        if self._mount is not None and not os.path.ismount(self._mount):
            raise OSError(errno.ENODEV, f"nothing is mounted on {self._mount}")


def mount_point(folder: Path) -> Path | None:
    """Where the disk of a folder is mounted; None for the root, which is always there."""
    resolved = folder.resolve()
    return next((one for one in (resolved, *resolved.parents) if one.parent != one and os.path.ismount(one)), None)


def translated(error: OSError, folder: Path, cannot: str = "written") -> TwohandsError:
    """What an error of the disk is to whoever asks, and to the operator."""
    if error.errno in FULL:
        return no_room(folder, error.strerror or os.strerror(error.errno))
    return EngineBusy(
        f"the journal in {folder} cannot be {cannot} ({error.strerror or error})",
        expected="a folder on a disk that works",
        next_step="look at the disk, and at the folder and its permissions; the server goes on by itself",
    )


def no_room(folder: Path, why: str = os.strerror(errno.ENOSPC)) -> DiskFull:
    """The error of a disk that is full."""
    return DiskFull(
        f"the journal in {folder} is full ({why})",
        expected="room for what is asked and said: nothing is answered that cannot be noted",
        next_step="free some space; the server goes on by itself",
    )
