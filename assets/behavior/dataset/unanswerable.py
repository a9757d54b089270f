"""Rows that teach to go on declining: questions of the new rows, with passages that do not answer them.

Corrections are of questions that had an answer. Whoever learns from nothing else learns to answer whatever is asked:
an adapter of them lost half of the base's right refusals. So a share of the rows is shown once more without its
passages (as RAFT does: Zhang et al. 2024), and declines.

    a new row to learn from                           shown passages of other documents, it declines
    ------------------------------------------------  ----------------------------------------------------
    declines itself                                   no
    is not drawn                                      no
    drawn; others would hold what it states           those are passed over
    drawn; no passage is left                         no

Of some passages that are drawn, those of its own topic first, the ones that share most with the question are shown:
what a retrieval without the right one would find. How to decline is what most declining rows say, else the words of
the template.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from assets.behavior import facts
from assets.behavior.dataset.balance import draw, drawn
from assets.behavior.dataset.passages import numbered, pool_of
from assets.behavior.dataset.rows import TRAIN, UNANSWERABLE, Example, Passage
from assets.behavior.refusals import is_refusal
from assets.prompting import REFUSAL

TRIES = 24  # passages of a pool that are looked at for each row


def unanswerable(fresh: Sequence[Example], *, share: float, seed: int) -> list[Example]:
    """Declining rows for a share of the rows to learn from, in their order; messages are still those of the rows."""
    able = [row for row in fresh if row.split == TRAIN and row.passages and not is_refusal(row.completion)]
    ids = [row.interaction_ids[0] for row in able]
    most = min(len(able), round(share * sum(row.split == TRAIN for row in fresh)))
    pools = _pools(able)
    said = _declining(fresh)
    found = []
    for place in sorted(drawn(ids, most, seed)):
        row = able[place]
        shown = _without_answer(row, (pools[row.topic], pools[""]), seed)
        if shown:
            found.append(replace(row, kind=UNANSWERABLE, completion=said, passages=tuple(numbered(shown))))
    return found


def _pools(rows: Sequence[Example]) -> dict[str, list[Passage]]:
    """Passages of each topic, and of all of them under the empty name."""
    topics = {row.topic for row in rows}
    pools = {topic: pool_of(row.passages for row in rows if row.topic == topic) for topic in topics}
    return {**pools, "": pool_of(row.passages for row in rows)}


def _declining(rows: Sequence[Example]) -> str:
    """How the rows to learn from decline: what most of them say."""
    said = Counter(row.completion for row in rows if row.split == TRAIN and is_refusal(row.completion))
    return max(said, key=lambda text: (said[text], text)) if said else REFUSAL


def _without_answer(row: Example, pools: Sequence[Sequence[Passage]], seed: int) -> list[Passage]:
    """As many passages as the row has, of other documents, that hold nothing of what its answer adds."""
    own, id_ = {one.doc_id for one in row.passages}, row.interaction_ids[0]
    asked, stated = facts.stated(row.prompt), facts.stated(row.completion)
    told = {key for key in stated.keys() - asked.keys() if stated[key].kind != "word"} or set(stated)
    tries = ((pool, attempt) for pool in pools if pool for attempt in range(TRIES))
    looked_at = dict.fromkeys(pool[int(draw(seed, f"declines {n}", id_) * len(pool))] for pool, n in tries)
    fit = [one for one in looked_at if one.doc_id not in own and not told <= facts.passage_keys(one.text)]
    fit.sort(key=lambda one: -facts.weight(asked, asked.keys() & facts.passage_keys(f"{one.heading} {one.text}")))
    return fit[: len(row.passages)]
