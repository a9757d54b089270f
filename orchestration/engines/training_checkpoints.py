"""Checkpoints of a training, and who owns it. Nothing half-written is ever read.

    <home>/training/<adapter id>/fence            the run that owns the training; a worker that reads another one stops
                                /payer.json       the variant that pays for it, and the device
                                /spent/<run>      seconds of the device, of each run
                                /checkpoint-<n>/  transformers' checkpoint, our state, and `whole.json` written last
                                /out/             the adapter, for its publisher

A checkpoint counts when `whole.json` names every file with its hash: a kill, a full disk or a damaged sector leaves one
that does not, and the one before it is taken.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assets.errors import DiskFull
from assets.ports.training import Left, Superseded

MARK, FENCE, PAYER, SPENT, OUT = "whole.json", "fence", "payer.json", "spent", "out"
KEPT_DAYS = 14
FULL = (errno.ENOSPC, errno.EDQUOT)
_NAME = re.compile(r"checkpoint-(\d+)")


def seal(folder: Path, state: Mapping[str, Any]) -> None:
    """Makes a checkpoint whole: all on the disk, every file named by hash, `state` beside it. DiskFull: it is not."""
    files = {path.relative_to(folder).as_posix(): _hash(path) for path in _files(folder) if path.name != MARK}
    for name in files:
        flush(folder / name)
    write(folder / MARK, json.dumps({"files": files, "state": dict(state)}))
    flush(folder.parent)


def newest(root: Path) -> tuple[Path, Mapping[str, Any]] | None:
    """The newest whole checkpoint and its state; removes those that are not whole. None before the first."""
    numbered = sorted(
        (int(match[1]), path) for path in root.iterdir() if (match := _NAME.fullmatch(path.name)) and path.is_dir()
    )
    found = None
    for _, path in numbered:
        state = _state(path)
        if state is None:
            shutil.rmtree(path, ignore_errors=True)
        else:
            found = path, state
    return found


def _state(folder: Path) -> Mapping[str, Any] | None:
    try:
        said = json.loads((folder / MARK).read_text(encoding="utf-8"))
        held = {path.relative_to(folder).as_posix() for path in _files(folder)} - {MARK}
        whole = held == said["files"].keys() and all(_hash(folder / name) == sha for name, sha in said["files"].items())
        return said["state"] if whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # "not whole" is an answer


def sweep(folder: Path, but: str) -> None:
    """Removes trainings that nobody went on with for KEPT_DAYS; what they have spent goes with them (`left`)."""
    for root in folder.iterdir() if folder.is_dir() else ():
        if root.name != but and root.is_dir() and root.stat().st_mtime < time.time() - KEPT_DAYS * 86_400:
            shutil.rmtree(root, ignore_errors=True)


def take(root: Path, run: str) -> None:
    """From here on the training is this run's. DiskFull: it is not."""
    with room(root):
        root.mkdir(parents=True, exist_ok=True)
    write(root / FENCE, run)


def require(root: Path, run: str) -> None:
    """Superseded where the training is another run's."""
    try:
        owner = (root / FENCE).read_text(encoding="utf-8")
    except FileNotFoundError:
        owner = ""
    if owner != run:
        raise Superseded(
            f"run {run} does not own the training in {root.name} any more: {owner or 'nobody'} does",
            expected="one run for each training",
            next_step="nothing was published by this run; look at the other one",
        )


def spend(root: Path, run: str, seconds: float) -> None:
    """Notes what a run has used so far; kept until the training is published."""
    with room(root):
        (root / SPENT).mkdir(exist_ok=True)
    write(root / SPENT / run, f"{seconds:.3f}")


def charge(root: Path, variant: str, device: str) -> None:
    """Notes who pays for what the runs of a training spend, should none of them live to say so."""
    write(root / PAYER, json.dumps({"variant": variant, "device": device}))


def left(folder: Path) -> list[Left]:
    """What runs have spent on each training in `folder`, in the order of their ids. A training without a payer is left
    out: versions before this one wrote none, and what is damaged must not keep others from training."""
    found = []
    for file in sorted(folder.glob(f"*/{PAYER}")):
        try:
            payer = json.loads(file.read_text(encoding="utf-8"))
            found.append(Left(file.parent.name, payer["variant"], payer["device"], spent(file.parent)))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def spent(root: Path) -> dict[str, float]:
    """Seconds by run."""
    folder = root / SPENT
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return {path.name: float(path.read_text()) for path in files if not path.name.startswith(".")}


def write(file: Path, text: str) -> None:
    """Replaces a small file at once, also where two threads do; whatever happens, nothing of it lies beside. DiskFull:
    the old one is there."""
    with room(file.parent):
        handle, beside = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as opened:
                opened.write(text)
                opened.flush()
                os.fsync(opened.fileno())
            Path(beside).replace(file)
        finally:
            Path(beside).unlink(missing_ok=True)


def flush(path: Path) -> None:
    """To the disk, which some systems find full no sooner."""
    with room(path.parent):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def room(place: Path) -> Iterator[None]:
    """DiskFull where what is written finds no space left, or no more of a quota."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise full(place) from error
        raise


def full(place: Path) -> DiskFull:
    """What is said then."""
    return DiskFull(
        f"No space left for the training in {place}",
        expected="room for its rows, and for three checkpoints of the adapter and its optimizer",
        next_step="free disk space and run this again: it goes on from the last whole checkpoint",
    )


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
