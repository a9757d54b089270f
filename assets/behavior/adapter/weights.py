"""Files of weights, looked at without loading them: a safetensors file is a header of JSON, and numbers.

The format (https://huggingface.co/docs/safetensors): 8 bytes of header length, little-endian; the header, which maps a
tensor's name to dtype, shape and data_offsets; the data, without gaps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assets.errors import ModelError

MAX_HEADER = 100_000_000  # bytes, as the format says
LENGTH = 8


def tensors(file: Path) -> Mapping[str, Any]:
    """Name -> {dtype, shape, data_offsets} of every tensor; ModelError where the file is cut short or no such file."""
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(LENGTH), "little")
            if not 2 <= length <= min(MAX_HEADER, size - LENGTH):
                raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
            header = json.loads(opened.read(length))
        found = {name: said for name, said in header.items() if name != "__metadata__"}
        ends = sorted(tuple(said["data_offsets"]) for said in found.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(file, f"{type(error).__name__}: {error}") from None
    at = 0
    for start, end in ends:
        if start != at or end < start:
            raise damaged(file, f"a gap in the data at byte {at:,}")
        at = end
    if LENGTH + length + at != size:
        raise damaged(file, f"{size:,} bytes, and the header promises {LENGTH + length + at:,}")
    return found


def damaged(file: Path, problem: str) -> ModelError:
    """A file of weights that cannot be what was saved."""
    return ModelError(
        f"{file.name} in {file.parent} is damaged ({problem:.200})",
        expected="a whole safetensors file",
        next_step="download or copy it again",
    )
