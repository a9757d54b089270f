"""Lists of words that made-up text is drawn from: words.txt, one list a line."""

from __future__ import annotations

import functools
from pathlib import Path

_FILE = Path(__file__).parent / "words.txt"


def words(name: str) -> list[str]:
    """A list by its name; KeyError where there is none. Empty items count: they make an ending optional."""
    return list(_lists()[name])


@functools.cache
def _lists() -> dict[str, tuple[str, ...]]:
    lines = [line for line in _FILE.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    parts = [[part.strip() for part in line.split("|")] for line in lines]
    return {name: tuple(items) for name, *items in parts}
