"""Rows that say the same, once: whoever comes first stays.

    a row that                                                is left out as
    --------------------------------------------------------  --------------
    has question and answer of an earlier one, but for form   duplicate
    has a question that `max_per_prompt` earlier ones have    same_prompt
    is nearly an earlier one (MinHash of word pairs, LSH)     near_duplicate

"But for form" is: letters in lower case, any space for any space, Unicode compatibility forms folded. Similarity is
Jaccard's over the pairs of neighboring words of question and answer, estimated from 128 hashes (Broder, On the
resemblance and containment of documents, 1997; standard error below 0.045).
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from itertools import pairwise
from typing import Any

import rensa

from assets.behavior.dataset.rows import Reason

_rensa: Any = rensa  # its names are made in Rust, where no type checker sees them
PERMUTATIONS, SEED = 128, 42


class Seen:
    """The rows that were kept so far."""

    def __init__(self, near_duplicate: float, max_per_prompt: int) -> None:
        self._texts: set[int] = set()
        self._prompts: Counter[int] = Counter()
        self._most = max_per_prompt
        self._near = _rensa.RMinHashDeduplicator(
            threshold=near_duplicate, num_perm=PERMUTATIONS, use_lsh=True, seed=SEED
        )

    def refused(self, name: str, prompt: str, completion: str) -> Reason | None:
        """Why a row is left out, beside those that were kept; None where it is kept now. `name` is used once."""
        asked, said = folded(prompt), folded(completion)
        text, question = hash((asked, said)), hash(asked)
        if text in self._texts:
            return Reason.DUPLICATE
        if self._prompts[question] >= self._most:
            return Reason.SAME_PROMPT
        if not self._near.add(name, _sketch(asked, said)):
            return Reason.NEAR_DUPLICATE
        self._texts.add(text)
        self._prompts[question] += 1
        return None

    def like(self, prompt: str, completion: str) -> list[str]:
        """The names of rows that this one is nearly the same as."""
        return sorted(self._near.get_duplicates(_sketch(folded(prompt), folded(completion))))


def _sketch(asked: str, said: str) -> Any:
    sketch = _rensa.RMinHash(PERMUTATIONS, SEED)
    sketch.update(shingles(f"{asked} {said}"))
    return sketch


def folded(text: str) -> str:
    """A text as it is compared."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(plain.lower().split())


def shingles(text: str) -> list[str]:
    """Pairs of neighboring words; the word itself where there is only one."""
    words = text.split()
    return [f"{left} {right}" for left, right in pairwise(words)] or words or [""]
