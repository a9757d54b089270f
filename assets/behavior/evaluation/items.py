"""What an evaluation asks, and what a model answered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What an item is there for."""

    BEHAVIOR = "behavior"  # the manner: `references` holds the answer as somebody corrected or accepted it
    GROUNDED = "grounded"  # the facts: `references` holds the accepted answers, any of which is right
    REFUSAL = "refusal"  # the passages do not answer it: right is to decline


@dataclass(frozen=True, slots=True)
class Item:
    """One held-out question with the passages that are shown. `gold` numbers (from 1) the passages that answer it,
    where that is known. Items of one `group` (a document, a user) resemble each other."""

    id: str
    kind: Kind
    question: str
    passages: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    group: str = ""
    topic: str = ""
    gold: tuple[int, ...] = ()
    interactions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model wrote, and how long that took (seconds; 0 where it was not measured)."""

    text: str
    seconds: float = 0.0
