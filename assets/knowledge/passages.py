"""What the plan compares of a passage: one definition for every engine and for the desired side."""

from __future__ import annotations

import hashlib
import json

from assets.ports import Key, Passage


def fields_sha(passage: Passage) -> str:
    """sha256, in hex, over the canonical JSON of the slice, title, headings and metadata.

    The text has its own hash and the ids are compared themselves, so nothing that is stored escapes the plan.
    ASCII-only JSON, so that the hash does not depend on how an engine normalizes or refuses odd characters.
    """
    fields = {
        "headings": list(passage.headings),
        "metadata": dict(passage.metadata),
        "slice": passage.slice,
        "title": passage.title,
    }
    canonical = json.dumps(fields, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def key(passage: Passage) -> Key:
    """The comparable identity of a passage under its chunk_id."""
    return Key(doc_id=passage.doc_id, text_sha=passage.text_sha, fields_sha=fields_sha(passage))
