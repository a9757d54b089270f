"""Small stand-ins for engines, for tests of what uses them. Each counts what it was asked to do."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from assets.ports import Document, Listing, Reason, Refusal, SourceFile


class HashEncoder:
    """Words to unit vectors without a model: a bag of hashed words, so that shared words mean nearness."""

    def __init__(self, fingerprint: str = "hash-encoder", dimension: int = 64) -> None:
        self.fingerprint, self.dimension = fingerprint, dimension
        self.embedded: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.embedded += texts
        return self._vectors(texts)

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        return self._vectors(texts)

    def _vectors(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", (self.fingerprint + " " + text).lower()):
                place = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big")
                vectors[row, place % self.dimension] += 1.0
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-6)


class WordTokenizer:
    """One token a word."""

    fingerprint = "words"
    max_tokens = 60

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


class PlainParser:
    """Markdown as it is; a file that begins with REFUSE is refused as corrupt, an empty one as empty."""

    def __init__(self) -> None:
        self.fingerprint = "plain"
        self.parsed: list[str] = []

    def parse(self, files: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, Document | Refusal]]:
        for path, data in files:
            text = data.decode()
            self.parsed.append(path)
            if not text.strip():
                yield path, Refusal(Reason.EMPTY, "nothing in it")
            elif text.startswith("REFUSE"):
                yield path, Refusal(Reason.CORRUPT, "it says so")
            else:
                heading = re.search(r"^# (.+)$", text, re.MULTILINE)
                yield path, Document(text, heading.group(1) if heading else path)


class MemorySource:
    """Files in a dict."""

    def __init__(self, files: dict[str, str] | None = None) -> None:
        self.files = files if files is not None else {}
        self.reads: list[str] = []

    def list(self) -> Listing:
        return Listing(
            tuple(
                SourceFile(path, len(text), hashlib.sha256(text.encode()).hexdigest(), 1.7e9)
                for path, text in sorted(self.files.items())
            )
        )

    def read(self, file: SourceFile) -> bytes:
        self.reads.append(file.path)
        return self.files[file.path].encode()
