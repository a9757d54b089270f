"""What an interaction said when a row was made of it, as a hash: later it can be told whether it says so still.

The hash is of texts as they came, before anything in them was redacted. It is kept beside a dataset and is no part of
it: what trainers read does not hold it.
"""

from __future__ import annotations

from assets.behavior.attribution import shown
from assets.fingerprints import digest, sha256_text


def origin(prompt: str, completion: str, passages: str | None) -> str:
    """16 hex digits of the question, the answer that it taught, and the passages (JSON) that were shown."""
    texts = (one.text_sha or sha256_text(one.text or "") for one in shown(passages))
    return digest([prompt, completion, *texts])[:16]


def completion_of(response: str | None, corrected: str | None) -> str:
    """What an interaction teaches: what a person wrote, or the answer that they left as it was (as the mart
    training_candidates has it)."""
    return (response or "") if corrected is None else corrected
