"""Rows of earlier datasets that are learnt again, so that earlier manners stay.

    an earlier row to learn from                                  rehearsed
    ------------------------------------------------------------  ------------------------------------------
    one of its interactions is a candidate now, or is gone        no
    its question is asked in the new dataset                      no: the new answer counts
    its group is not to learn from any more, or it is held out    no
    it declines                                                   yes
    a correction of an event that its topic is corrected in now   no: this manner is superseded
    accepted, of a topic that is corrected now                    no: likewise
    any other                                                     yes

At most `rehearsal_share` of the new rows to learn from, leveled over topics and events, drawn by a hash.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence

from assets.behavior.dataset.balance import Part, drawn, leveled
from assets.behavior.dataset.eligibility import ACCEPTED
from assets.behavior.dataset.rows import TRAIN, Example
from assets.behavior.refusals import is_refusal

REHEARSAL = "rehearsal"


def superseded(row: Example, corrected: Collection[Part]) -> bool:
    """Whether the new dataset teaches another manner in its place. `corrected` are the new corrections' parts."""
    if is_refusal(row.completion):
        return False
    if row.event == ACCEPTED:
        return any(part.topic == row.topic for part in corrected)
    return Part(row.topic, row.event) in corrected


def rehearsed(
    earlier: Iterable[Example],
    fresh: Sequence[Example],
    *,
    most: int,
    seed: int,
    known: Callable[[str], bool],
    asked: Callable[[str], object],
    clean: Callable[[Example], bool],
) -> list[Example]:
    """Earlier rows to learn again, at most `most`, as rows of the training split.

    `known` tells whether an interaction is a candidate now or gone, `asked` folds a question so that equal ones are
    equal, `clean` whether a row may be learnt from at all.
    """
    corrected = {Part(row.topic, row.event) for row in fresh if row.event != ACCEPTED}
    taken = {asked(row.prompt) for row in fresh}
    parts: dict[Part, list[Example]] = defaultdict(list)
    for row in sorted(earlier, key=lambda row: (row.day, row.interaction_ids), reverse=True):
        question = asked(row.prompt)
        if row.split != TRAIN or question in taken or any(map(known, row.interaction_ids)):
            continue
        if not superseded(row, corrected) and clean(row):
            taken.add(question)
            parts[Part(row.topic, row.event)].append(row)
    quota = leveled(Counter({part: len(rows) for part, rows in parts.items()}), most)
    return [
        parts[part][place]
        for part in sorted(parts)
        for place in drawn([row.interaction_ids[0] for row in parts[part]], quota[part], seed)
    ]
