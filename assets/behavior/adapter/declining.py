"""By which questions an adapter goes on declining where its base does, how closely, and in which words it declines.

LEAN is a choice: what is learned of the base's odds is never exact, and the gate allows less of right answers (2
points) than of right refusals (5). At 0 adapters declined a point too readily (docs/decisions/0012).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from assets.behavior.dataset.rows import TRAIN, Example
from assets.behavior.refusals import is_refusal
from assets.fingerprints import digest
from assets.ports.training import Chat, Declining
from assets.prompting import REFUSAL

WEIGHT = 2.0  # against the mean loss of an answer's token
LEAN = 0.4  # in log odds, towards answering


def declining(questions: Sequence[Chat], examples: Sequence[Example]) -> Declining | None:
    """What the trainer is told; None without questions."""
    return Declining(questions, said_by(examples), REFUSAL, WEIGHT, LEAN) if questions else None


def said_by(examples: Sequence[Example]) -> str:
    """How most rows to learn from decline, up to where they have; as the base does, where none declines."""
    said = Counter(row.completion for row in examples if row.split == TRAIN and is_refusal(row.completion))
    if not said:
        return REFUSAL
    return until_declined(max(said, key=lambda one: (said[one], one)))


def until_declined(text: str) -> str:
    """A declining answer up to the end of the sentence that declines."""
    ends = [at for at, sign in enumerate(text, start=1) if sign in ".!?\n"]
    return next((text[:end].rstrip() for end in ends if is_refusal(text[:end])), text)


def questions_digest(questions: Sequence[Chat]) -> str:
    """Names them, and how closely they are kept: part of an adapter's recipe. Empty without any."""
    said = [str(message["content"]) for one in questions for message in one]
    return digest([str(WEIGHT), str(LEAN), *said]) if questions else ""
