"""The numbers of passages that an answer cites: part of its manner, and no fact of it."""

from __future__ import annotations

import re
from collections.abc import Mapping

_BRACKETS = re.compile(r"\[\s*(\d{1,2}(?:\s*[,;]\s*\d{1,2})*)\s*\]")
_NAMED = re.compile(
    r"(\b(?:sources?|passages?|citations?|evidence|refs?|references?)\b\W{0,4})(\d{1,2})\b", re.IGNORECASE
)
_NUMBER = re.compile(r"\d+")


def without_citations(text: str, passages: int) -> str:
    """A text without the numbers of passages that it cites: [1], [1, 3], "source": 2. Other numbers stay."""

    def in_brackets(match: re.Match[str]) -> str:
        return "[]" if all(1 <= int(number) <= passages for number in re.findall(r"\d+", match[1])) else match[0]

    def after_name(match: re.Match[str]) -> str:
        return f'{match[1]}""' if 1 <= int(match[2]) <= passages else match[0]

    return _NAMED.sub(after_name, _BRACKETS.sub(in_brackets, text))


def cited(text: str) -> set[int]:
    """The numbers of passages that a text cites."""
    return {int(text[start:end]) for start, end in _spans(text)}


def renumbered(text: str, numbers: Mapping[int, int | None]) -> str:
    """A text whose citations follow their passages to other numbers; what has no other number stays as it is."""
    parts, done = [], 0
    for start, end in _spans(text):
        parts += [text[done:start], str(numbers.get(int(text[start:end])) or text[start:end])]
        done = end
    return "".join([*parts, text[done:]])


def _spans(text: str) -> list[tuple[int, int]]:
    """Where the numbers stand, in order; those in brackets after a name ("sources": [1, 3]) once."""
    found = {match.span(2) for match in _NAMED.finditer(text)}
    for match in _BRACKETS.finditer(text):
        found |= {(match.start(1) + one.start(), match.start(1) + one.end()) for one in _NUMBER.finditer(match[1])}
    return sorted(found)
