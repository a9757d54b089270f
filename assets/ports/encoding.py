"""Texts to tokens and vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # see __init__.py
    import numpy as np


class Tokenizer(Protocol):
    """Counts tokens as the encoder will see them; needs no torch."""

    fingerprint: str
    max_tokens: int

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without the special ones the encoder adds."""
        ...


class Encoder(Protocol):
    """Texts to unit vectors."""

    fingerprint: str
    dimension: int

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [len(texts), dimension], L2-normalized, in the order given."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """As `encode`, with the model's query prompt where it has one."""
        ...
