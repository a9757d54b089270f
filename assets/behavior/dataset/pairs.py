"""Preference pairs: what the model produced against what a person made of it.

the row       what was produced                              pair
------------  ---------------------------------------------  ----
a correction  known, and says something else                 yes
a correction  not known any more, empty, or the same         no
any other     any                                            no
"""

from __future__ import annotations

from assets.behavior.dataset.duplicates import folded
from assets.behavior.dataset.eligibility import ACCEPTED
from assets.behavior.dataset.rows import Example, Pair


def pair_of(example: Example, produced: str | None) -> Pair | None:
    """The pair of a row, or None. `produced` is redacted like the row; differences of space and case are none."""
    if example.event == ACCEPTED or not produced or not produced.strip():
        return None
    if folded(produced) == folded(example.completion):
        return None
    return Pair(
        example.messages[:-1],
        example.completion,
        produced,
        example.interaction_ids,
        example.topic,
        example.event,
        example.day,
        example.group,
        example.split,
    )
