"""What a model's folder holds, by hash: whether it is what was promised, and nothing in it can run.

Only files that decide what a model answers are hashed; a card or a license may be corrected. The manifest of an adapter
tells times and costs, which differ whenever the same bits are made again: it has to be there, and is not hashed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from assets.errors import ModelError
from assets.fingerprints import digest

DECIDING = (".safetensors", ".json", ".txt", ".model", ".jinja")
MANIFEST = "twohands.json"  # of an adapter; it has a checksum of its own
CODE = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".py", ".so")  # pickles, and what imports

Files = Mapping[str, str]  # name within the folder, with "/" -> sha256


def hashed(folder: Path, what: str) -> dict[str, str]:
    """The hash of every deciding file of a folder, and none of its manifest. `what` names the folder in errors.

    ModelError where it does not exist, holds no weights or could run code.
    """
    if not folder.is_dir():
        raise ModelError(
            f"The {what} is not there: no folder {folder}",
            expected="the folder that was released",
            next_step="restore it from a backup; the last good release is served meanwhile",
        )
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in Path(name).parts) or not path.is_file():
            continue
        if path.suffix.lower() in CODE:
            raise ModelError(
                f"The {what} holds {name}, which can run code when it is loaded",
                expected="safetensors, and texts",
                next_step=f"remove it from {folder}, or convert it to safetensors",
            )
        if name == MANIFEST:
            found[name] = ""
        elif path.suffix.lower() in DECIDING:
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    if not any(name.endswith(".safetensors") for name in found):
        raise ModelError(
            f"The {what} in {folder} has no weights",
            expected="a *.safetensors file",
            next_step="restore the folder from a backup",
        )
    return found


def verify(folder: Path, promised: Files, what: str) -> None:
    """ModelError, naming what differs, where a folder does not hold exactly what was promised."""
    compare(folder, hashed(folder, what), promised, what)


def compare(folder: Path, now: Files, promised: Files, what: str) -> None:
    """The same, of a folder that was hashed before: `now` is what it holds."""
    differs = [f"{name} is missing" for name in sorted(promised.keys() - now.keys())]
    differs += [f"{name} was added" for name in sorted(now.keys() - promised.keys())]
    both = sorted(now.keys() & promised.keys() - {MANIFEST})  # which older releases have a hash of
    differs += [f"{name} is another" for name in both if now[name] != promised[name]]
    if differs:
        raise ModelError(
            f"The {what} in {folder} is not what was released: {', '.join(differs[:5])}",
            expected=f"the files whose hashes are in the release ({whole(promised)[:16]}); received {whole(now)[:16]}",
            next_step="restore the folder from a backup, or roll back (`twohands rollback`); it is not served",
        )


def whole(files: Files) -> str:
    """One hash of all files."""
    return digest(part for name in sorted(files) for part in (name, files[name]))
