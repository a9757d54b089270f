"""Identity: two things are the same when their hashes are, never because their names are.

All digests are SHA-256 in lower-case hex. Parts are length-prefixed before they are hashed, so that no two different
lists of parts have the same bytes.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable

_CHUNKS = uuid.UUID("5b0f7c1e-6f5a-5c1d-9b57-2f0e6a3d4c11")  # the namespace of chunk ids; a new one renames them all
_UNIT = "\x1f"  # ASCII unit separator: cannot occur in a doc_id, which has no control characters


def sha256_bytes(data: bytes) -> str:
    """Hash of raw bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_text(text: str) -> str:
    """Hash of a text's UTF-8 bytes; lone surrogates are kept apart instead of failing."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def digest(parts: Iterable[str]) -> str:
    """Hash of a sequence of strings; the order counts."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        whole.update(len(data).to_bytes(8, "big"))
        whole.update(data)
    return whole.hexdigest()


def chunk_id(doc_id: str, text_sha: str, occurrence: int) -> str:
    """A position-independent id: the n-th occurrence of one text in one document, as a UUID (version 5, RFC 9562)."""
    return str(uuid.uuid5(_CHUNKS, f"{doc_id}{_UNIT}{text_sha}{_UNIT}{occurrence}"))
