"""Which split a row belongs to: by a keyed hash of its group, so that no group is ever on two sides.

    dataset.group_by   the group of a row is its
    ----------------   ------------------------------------------------------------
    user               user; without one its first document; without one its question
    document           first document; without one its user; without one its question

The hash knows the key and the group and nothing else: a group stays on its side in every later dataset, however many
rows come or go, and what was held out once is never learnt from. Without the key nobody can tell who a group is.
"""

from __future__ import annotations

import hmac
from typing import Literal

from assets.behavior.dataset.rows import TEST, TRAIN, VALIDATION

_SCALE = 2.0**64


def group_of(by: Literal["user", "document"], user: str | None, doc_id: str | None, prompt: str, key: str) -> str:
    """The pseudonym of a row's group, 32 hex digits. Empty names are no names."""
    names = {"user": user, "document": doc_id}
    order = ("user", "document") if by == "user" else ("document", "user")
    kind, name = next(((kind, names[kind]) for kind in order if names[kind]), ("question", prompt))
    return hmac.digest(key.encode(), f"{kind}\x1f{name}".encode("utf-8", "surrogatepass"), "sha256").hex()[:32]


def side(group: str, key: str, validation_share: float, test_share: float) -> str:
    """The split of a group: the first share of all hashes is the test split's, the next the validation split's.

    So a larger share of either takes groups from the training split only, as long as the test share stays.
    """
    place = int.from_bytes(hmac.digest(key.encode(), b"side\x1f" + group.encode(), "sha256")[:8], "big") / _SCALE
    if place < test_share:
        return TEST
    return VALIDATION if place < test_share + validation_share else TRAIN
