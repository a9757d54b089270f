"""An adapter for others to serve: what is written, and where it may be.

`--to DIR` gets a plain PEFT folder (vLLM: `--lora-modules NAME=DIR`), or with `--merged` a whole model. It is written
beside its place and renamed, so that DIR is whole or not there.

DIR                          what happens
is not there                 written
is an empty folder           replaced
is a folder with anything    refused: nothing of anybody's is overwritten
is a link, or a file         refused: a link could lead anywhere
lies below a link            where the link leads, as the file system says; nothing is written above DIR's own parent
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assets.errors import Final

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
TOLERANCE = 1e-3  # of logits, fp32: merged weights are rounded once more than base and adapter apart


class BadTarget(Final):
    """A folder that nothing may be written to."""


@contextmanager
def written(target: Path) -> Iterator[Path]:
    """A new folder beside `target` that takes its place when the context ends well, and is gone when it does not.

    BadTarget by the table above.
    """
    check(target)
    parent = target.parent.resolve(strict=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=parent))
    try:
        beside.chmod(0o755)
        yield beside
        check(target)  # again: somebody may have been faster
        beside.rename(parent / target.name)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def check(target: Path) -> None:
    """BadTarget where a folder must not be written."""
    problem = ""
    if not target.name or target.name == "..":
        problem = "it has no name of its own"
    elif target.is_symlink():
        problem = "it is a link"
    elif target.exists() and not target.is_dir():
        problem = "it is a file"
    elif target.is_dir() and any(target.iterdir()):
        problem = "it holds something already"
    elif not target.parent.is_dir():
        problem = f"there is no folder {target.parent}"
    if problem:
        raise BadTarget(
            f"nothing is exported to {target}: {problem}",
            expected="a folder that is not there yet, or an empty one",
            next_step="name another folder with --to",
        )


def plain(adapter: Path, folder: Path, base: str) -> None:
    """The two files of an adapter; its configuration names `base` (a hub id, or a folder where it will be served)."""
    shutil.copyfile(adapter / WEIGHTS, folder / WEIGHTS)
    said: dict[str, Any] = json.loads((adapter / CONFIG).read_text(encoding="utf-8"))
    said |= {"base_model_name_or_path": base, "inference_mode": True}
    (folder / CONFIG).write_text(json.dumps(said, indent=2, sort_keys=True) + "\n", encoding="utf-8")
