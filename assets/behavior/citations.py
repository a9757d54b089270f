"""The numbers of passages that an answer cites: part of its manner, and no fact of it."""

from __future__ import annotations

import re

_BRACKETS = re.compile(r"\[\s*(\d{1,2}(?:\s*[,;]\s*\d{1,2})*)\s*\]")
_NAMED = re.compile(
    r"(\b(?:sources?|passages?|citations?|evidence|refs?|references?)\b\W{0,4})(\d{1,2})\b", re.IGNORECASE
)


def without_citations(text: str, passages: int) -> str:
    """A text without the numbers of passages that it cites: [1], [1, 3], "source": 2. Other numbers stay."""

    def in_brackets(match: re.Match[str]) -> str:
        return "[]" if all(1 <= int(number) <= passages for number in re.findall(r"\d+", match[1])) else match[0]

    def after_name(match: re.Match[str]) -> str:
        return f'{match[1]}""' if 1 <= int(match[2]) <= passages else match[0]

    return _NAMED.sub(after_name, _BRACKETS.sub(in_brackets, text))
