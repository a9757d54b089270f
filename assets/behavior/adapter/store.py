"""Adapters in $TWOHANDS_HOME/adapters, each in a folder that is named by its id and never changed.

    adapters/<id>/adapter_model.safetensors   the weights
    adapters/<id>/adapter_config.json         as PEFT reads it; names the base by its id, and no place on any machine
    adapters/<id>/twohands.json               the manifest: all that it was made of, and the hashes of the two
    adapters/<id>/README.md                   the same for people

    event                                       what is found afterwards
    publish, a new id                           the folder, whole: it was written beside, flushed and renamed
    publish, an id that is there, same weights  the first one
    publish, an id that is there, others        the first one; ModelError
    kill, full disk                             nothing: what lies beside is of nobody, and goes with the next publish

Adapters of a variant have a number that counts up, so that "newest" is no matter of clocks.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from assets.behavior.adapter import card
from assets.behavior.adapter.weights import tensors
from assets.errors import CorruptState, DiskFull, EngineBusy, ModelError
from assets.fingerprints import sha256_text
from assets.serving.files import CODE, MANIFEST, Files

WEIGHTS, CONFIG, README = "adapter_model.safetensors", "adapter_config.json", "README.md"
SAVED = (CONFIG, WEIGHTS)
LOCK_SECONDS = 60.0
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_BESIDE = ".publishing-"


@dataclass(frozen=True, slots=True)
class Adapter:
    """A published adapter, and all that made it.

    `dataset` is the digest that names the dataset, `content` the hash of the rows that it held; `base` the base's id,
    `base_files` the hashes of its files; `template` the version of the prompts; `versions` those of the libraries.
    `recipe` holds the hyperparameters, `metrics` what the training measured. `files` are set when it is published.
    """

    id: str
    variant: str
    dataset: str
    content: str
    base: str
    base_files: Files
    template: str
    created: str  # ISO 8601, UTC
    request: str = ""
    run: str = ""
    number: int = 0
    recipe: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    files: Files = field(default_factory=dict)

    def text(self) -> str:
        """The manifest, with a checksum."""
        said = asdict(self)
        return json.dumps({**said, "check": _check(said)}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


class Adapters:
    """The adapters of one home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def folder_of(self, id: str) -> Path:
        """Where an adapter is, or would be; ModelError for a name that could leave the folder."""
        if not _ID.fullmatch(id):
            raise ModelError(f"{id!r} is no id of an adapter", expected="letters, digits, dots, - and _")
        return self.folder / id

    def get(self, id: str) -> Adapter | None:
        """A published adapter; None where there is none, CorruptState where its manifest is not what was written."""
        folder = self.folder_of(id)
        return _read(folder / MANIFEST) if folder.is_dir() else None

    def all_of(self, variant: str) -> list[Adapter]:
        """The adapters of a variant, the first one first. Folders without a manifest are not ours."""
        found = [_read(file) for file in sorted(self.folder.glob(f"[!.]*/{MANIFEST}"))]
        return sorted((one for one in found if one.variant == variant), key=lambda one: (one.number, one.id))

    def newest(self, variant: str) -> Adapter | None:
        """The adapter of a variant that was published last; None before the first."""
        return next(reversed(self.all_of(variant)), None)

    def verify(self, adapter: Adapter) -> None:
        """ModelError where the files of an adapter are not those that were published."""
        folder = self.folder_of(adapter.id)
        differs = [name for name, sha in adapter.files.items() if _hash(folder / name) != sha]
        if differs:
            raise ModelError(
                f"{', '.join(differs)} of the adapter {adapter.id} is not what was published",
                expected=f"the hashes in {folder / MANIFEST}",
                next_step="restore the folder from a backup; or move it away, and materialize behavior/adapter again",
            )

    def publish(self, scratch: Path, adapter: Adapter) -> Adapter:
        """Copies what a training saved in `scratch` to its place, whole or not at all; returns it with number and
        hashes.

        ModelError where `scratch` holds anything but an adapter that can be read without running code.
        """
        files = checked(scratch, adapter.base)
        with self._locked(), _disk(adapter.id):
            present = self.get(adapter.id)
            if present is not None:
                return self._first(present, files)
            number = 1 + max((one.number for one in self.all_of(adapter.variant)), default=0)
            made = replace(adapter, number=number, files=files)
            self._write(scratch, made)
        return made

    def _first(self, present: Adapter, files: Files) -> Adapter:
        self.verify(present)
        if present.files != files:
            raise ModelError(
                f"the adapter {present.id} was made again, and is another one",
                expected="the same bits from the same base, rows, settings and versions",
                next_step="the first one is kept; a GPU whose kernels are not deterministic, or memory that fails, may "
                "be the cause (docs/adapter.md)",
            )
        return present

    def _write(self, scratch: Path, adapter: Adapter) -> None:
        target = self.folder_of(adapter.id)
        beside = Path(tempfile.mkdtemp(prefix=_BESIDE, dir=self.folder))
        try:
            beside.chmod(0o755)
            for name in SAVED:
                shutil.copyfile(scratch / name, beside / name)
            (beside / README).write_text(card.readme(asdict(adapter)), encoding="utf-8")
            (beside / MANIFEST).write_text(adapter.text(), encoding="utf-8")
            if {name: _hash(beside / name) for name in SAVED} != adapter.files:
                raise ModelError(
                    f"the files in {scratch} changed while they were copied", expected="one training at a time"
                )
            for file in [*beside.iterdir(), beside]:
                _flush(file)
            beside.rename(target)
            _flush(self.folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One publish at a time; what a killed one left behind is removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / ".lock", timeout=LOCK_SECONDS):
                for left in self.folder.glob(f"{_BESIDE}*"):
                    shutil.rmtree(left, ignore_errors=True)
                yield
        except Timeout:
            raise EngineBusy(
                f"another process is publishing an adapter in {self.folder}",
                expected=f"its end within {LOCK_SECONDS:g} s",
                next_step="run this again",
            ) from None


def checked(scratch: Path, base: str) -> dict[str, str]:
    """The hashes of what is published of a scratch folder; ModelError where it must not be."""
    names = sorted(path.name for path in scratch.iterdir()) if scratch.is_dir() else []
    runs = [name for name in names if Path(name).suffix.lower() in CODE]
    others = [name for name in names if name not in (*SAVED, README)]
    linked = [name for name in names if (scratch / name).is_symlink() or not (scratch / name).is_file()]
    missing = [name for name in SAVED if name not in names]
    if runs or others or linked or missing:
        problem = f"no {missing[0]}" if missing else f"{(runs or others or linked)[0]}, which is not published"
        raise ModelError(
            f"{scratch} is no adapter that can be published: it holds {problem}", expected=" and ".join(SAVED)
        )
    if not tensors(scratch / WEIGHTS):
        raise ModelError(f"the adapter in {scratch} has no weights", expected="at least one tensor")
    _check_config(scratch / CONFIG, base)
    return {name: _hash(scratch / name) for name in SAVED}


def _check_config(file: Path, base: str) -> None:
    """PEFT imports what `auto_mapping` names; and a path says where somebody's machine keeps its models."""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        problem = "" if said["base_model_name_or_path"] == base else f"is of base {said['base_model_name_or_path']!r}"
        problem = "names a class to import (auto_mapping)" if said.get("auto_mapping") else problem
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"cannot be read ({type(error).__name__}: {error})"
    if problem:
        raise ModelError(f"{file} {problem}", expected=f"the configuration of an adapter of base {base}, without code")


def _read(file: Path) -> Adapter:
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        check = said.pop("check")
        adapter = Adapter(**said)
        if check == _check(said) and adapter.id == file.parent.name:
            return adapter
        problem = "its checksum is another" if check != _check(said) else f"it is of adapter {adapter.id}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
    raise CorruptState(
        f"{file} is damaged ({problem:.200})",
        expected="the manifest that Twohands wrote there, which is never changed",
        next_step="restore it from a backup; or move the folder away, and materialize behavior/adapter again",
    )


def _check(said: Mapping[str, Any]) -> str:
    return sha256_text(json.dumps(said, sort_keys=True, ensure_ascii=False))


def _hash(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _disk(id: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"No space left while the adapter {id} was published",
                expected="room for one more copy of it",
                next_step="free disk space and run this again: the training is not repeated",
            ) from error
        raise
