"""What the encoder was used for and how long, told once to whoever keeps the books.

The fast hand knows no ledger: `Spent` is what it is given to tell (by what, encoder-seconds).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from assets.errors import TwohandsError
from assets.ports import Encoder

Spent = Callable[[str, float], None]


class MeteredEncoder:
    """An encoder that counts the texts that went through it, and the seconds of its own that they took."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.fingerprint, self.dimension = encoder.fingerprint, encoder.dimension
        self.texts, self.seconds = 0, 0.0

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """As the encoder does."""
        return self._timed(self._encoder.encode, texts)

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """As the encoder does."""
        return self._timed(self._encoder.encode_queries, texts)

    def _timed(self, encode: Callable[[Sequence[str]], np.ndarray], texts: Sequence[str]) -> np.ndarray:
        began = time.perf_counter()
        try:
            vectors = encode(texts)
        finally:
            self.seconds += time.perf_counter() - began
        self.texts += len(texts)
        return vectors


@contextmanager
def metered(encoder: Encoder, by: str, spent: Spent | None) -> Iterator[MeteredEncoder]:
    """Lends the encoder for one piece of work; `spent` is told once when that ends, or fails halfway.

    It is told nothing when no text was encoded. When it cannot take it after a failure, the failure is what is raised,
    with a note.
    """
    lent = MeteredEncoder(encoder)
    try:
        yield lent
    except BaseException as error:
        try:
            _tell(lent, by, spent)
        except TwohandsError as other:
            error.add_note(f"{lent.seconds:.1f} s of the encoder could not be recorded: {other}")
        raise
    _tell(lent, by, spent)


def _tell(lent: MeteredEncoder, by: str, spent: Spent | None) -> None:
    if spent is not None and lent.texts:
        spent(by, lent.seconds)
