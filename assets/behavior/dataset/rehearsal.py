"""Rows of earlier datasets that are learnt again, so that earlier manners stay.

    an earlier row to learn from                                  rehearsed
    ------------------------------------------------------------  ------------------------------------------
    one of its interactions is a candidate now, or is gone        no
    its question is asked in the new dataset                      no: the new answer counts
    its group is not to learn from any more, or it is held out    no
    it declines                                                   yes; not if it was made to (unanswerable.py)
    a correction of an event that its topic is corrected in now   no: this manner is superseded
    accepted, of a topic that is corrected now                    no: likewise
    any other                                                     yes

What a later dataset superseded is not taken up again by the one after it.

At most `rehearsal_share` of the new rows to learn from, leveled over topics and events, drawn by a hash.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence

from assets.behavior.dataset.balance import Part, drawn, leveled
from assets.behavior.dataset.eligibility import ACCEPTED
from assets.behavior.dataset.rows import ADDED, TRAIN, UNANSWERABLE, Example
from assets.behavior.refusals import is_refusal


def superseded(row: Example, corrected: Collection[Part]) -> bool:
    """Whether the new dataset teaches another manner in its place. `corrected` are the new corrections' parts."""
    if is_refusal(row.completion):
        return False
    if row.event == ACCEPTED:
        return any(part.topic == row.topic for part in corrected)
    return Part(row.topic, row.event) in corrected


def standing(datasets: Sequence[Sequence[Example]]) -> list[Example]:
    """The rows of earlier datasets, the oldest first, that no later one of them superseded."""
    kept: list[Example] = []
    corrected: set[Part] = set()
    for rows in reversed(datasets):
        kept += [row for row in rows if row.kind != UNANSWERABLE and not superseded(row, corrected)]
        corrected |= corrections(rows)
    return kept


def corrections(rows: Iterable[Example]) -> set[Part]:
    """The topics and events that rows of a dataset correct themselves."""
    return {Part(row.topic, row.event) for row in rows if row.event != ACCEPTED and row.kind not in ADDED}


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
    corrected = corrections(fresh)
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
