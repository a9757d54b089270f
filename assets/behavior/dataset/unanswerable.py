"""Rows that teach to go on declining: questions of the new rows, with passages that do not answer them.

Corrections are of questions that had an answer. Whoever learns from nothing else learns to answer whatever is asked:
an adapter of them lost half of the base's right refusals. So a share of the rows is shown once more without its
passages (as RAFT does: Zhang et al. 2024), and declines.

    a new row to learn from                           it declines, shown
    ------------------------------------------------  ----------------------------------------------------
    declines itself, or is not drawn                  no such row
    drawn, for a near miss (NEAR of them)             its own passages, without the statements that answer it
        nothing would be left of them                 passages of other documents
    drawn, for a far one                              passages of other documents
        others would hold what it states              those are passed over
        no passage is left                            no such row

A near miss is what retrieval finds for a question that a document does not quite answer: whoever learns from far ones
only learns to answer whenever the topic is right.

Of some passages that are drawn, those of its own topic first, the ones that share most with the question are shown:
what a retrieval without the right one would find. How to decline is what most corrections that decline say (an answer
box that reads JSON wants JSON from whoever declines, too). Where none declines, it is what most accepted answers that
decline say, or the words of the template, between the lines that most corrections begin and end with: plain ones would
teach that a declining answer needs no manner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from assets.behavior import facts, forms
from assets.behavior.citations import without_citations
from assets.behavior.dataset.balance import draw, drawn
from assets.behavior.dataset.eligibility import ACCEPTED
from assets.behavior.dataset.passages import numbered, pool_of
from assets.behavior.dataset.rows import TRAIN, UNANSWERABLE, Example, Passage
from assets.behavior.refusals import is_refusal
from assets.prompting import REFUSAL, statements

NEAR = 0.75  # of the declining rows
ENOUGH = 8  # corrections that begin or end alike by no chance
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
        near = draw(seed, "near miss", row.interaction_ids[0]) < NEAR
        shown = (near and _without_statements(row)) or _of_others(row, (pools[row.topic], pools[""]), seed)
        if shown:
            found.append(replace(row, kind=UNANSWERABLE, completion=said, passages=tuple(numbered(shown))))
    return found


def _pools(rows: Sequence[Example]) -> dict[str, list[Passage]]:
    """Passages of each topic, and of all of them under the empty name."""
    topics = {row.topic for row in rows}
    pools = {topic: pool_of(row.passages for row in rows if row.topic == topic) for topic in topics}
    return {**pools, "": pool_of(row.passages for row in rows)}


def _declining(rows: Sequence[Example]) -> str:
    """How the rows to learn from decline, or how they would."""
    learned = [row for row in rows if row.split == TRAIN]
    corrected = [row.completion for row in learned if row.event != ACCEPTED]
    declining = [text for text in corrected if is_refusal(text)]
    if declining:
        return _most(declining)
    accepted = [row.completion for row in learned if row.event == ACCEPTED and is_refusal(row.completion)]
    said = _most(accepted) if accepted else REFUSAL
    lines = [text.split("\n") for text in corrected]
    last = _shared([one[:0:-1] for one in lines])[::-1]  # all but the first line, from the end
    framed = "\n".join([*_shared([one[:-1] for one in lines]), said, *last])
    return framed if is_refusal(framed) else said


def _most(texts: Sequence[str]) -> str:
    said = Counter(texts)
    return max(said, key=lambda text: (said[text], text))


def _shared(texts: Sequence[Sequence[str]]) -> list[str]:
    """The longest run of lines that half of the texts begin with, and ENOUGH of them."""
    counts = Counter(tuple(lines[:size]) for lines in texts for size in range(1, len(lines) + 1))
    usual = [lines for lines, count in counts.items() if count >= max(ENOUGH, len(texts) / 2)]
    return list(max(usual, key=len, default=()))


def _without_statements(row: Example) -> list[Passage]:
    """Its own passages without the statements that hold what its answer adds; none where nothing is left of one."""
    told = _told(row)

    def answers(statement: str) -> bool:
        there = facts.passage_keys(statement)
        strong = {key for key in told if told[key].kind != "word"}
        return bool(strong & there) or facts.weight(told, told.keys() & there) >= facts.weight(told, told) / 2

    found = []
    for one in row.passages:
        held = statements(one.text)
        left = [text for text in held if not answers(text)]
        found.append(one if left == held else one._replace(text="\n\n".join(left), text_sha="", shown=False))
    return [one for one in found if one.text] if any(not one.shown for one in found) else []


def _of_others(row: Example, pools: Sequence[Sequence[Passage]], seed: int) -> list[Passage]:
    """As many passages as the row has, of other documents, that hold nothing of what its answer adds."""
    own, id_ = {one.doc_id for one in row.passages}, row.interaction_ids[0]
    asked, told = facts.stated(row.prompt), _told(row)
    tries = ((pool, attempt) for pool in pools if pool for attempt in range(TRIES))
    looked_at = dict.fromkeys(pool[int(draw(seed, f"declines {n}", id_) * len(pool))] for pool, n in tries)
    fit = [one for one in looked_at if one.doc_id not in own and not told.keys() <= facts.passage_keys(one.text)]
    fit.sort(key=lambda one: -facts.weight(asked, asked.keys() & facts.passage_keys(f"{one.heading} {one.text}")))
    return fit[: len(row.passages)]


def _told(row: Example) -> dict[str, facts.Fact]:
    """What an answer adds to its question; all that it states where that is nothing but common words."""
    body = without_citations(row.completion, len(row.passages))
    asked, stated = facts.keys(row.prompt), facts.stated(forms.content(body, forms.format_of(body)))
    strong = {key: fact for key, fact in stated.items() if key not in asked and fact.kind != "word"}
    return strong or stated
