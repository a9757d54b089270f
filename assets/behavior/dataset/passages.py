"""The passages of a prompt: those that the answer was written from, and in a share of rows some that it was not.

With distractors the adapter learns to pick: a prompt that holds only what the answer uses teaches to copy whatever is
there. Which rows have some, which ones and where they stand is drawn by a hash of the row's id, so that it is the same
whenever the same row is built, in whatever dataset.

    the row is drawn (distractor_share)   the pool has passages of other documents   passages
    -----------------------------------   ----------------------------------------   -----------------------------
    no                                    any                                        as shown
    yes                                   no                                         as shown
    yes                                   yes                                        shown, and up to `distractors`
    declines, shown none                  any                                        none: that is what it declined
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from assets.behavior.attribution import Shown
from assets.behavior.dataset.balance import draw
from assets.behavior.dataset.rows import Passage
from assets.fingerprints import sha256_text

TRIES = 8  # draws for each distractor; a pool of one document has none


def known_texts(shown: Iterable[Shown], text_of: Callable[[str], str | None], most: int) -> list[Shown]:
    """The first `most` different passages whose text is known, with it, in the order in which they were shown."""
    found: dict[str, Shown] = {}
    for one in shown:
        text = one.text or text_of(one.text_sha)
        if text and text not in found and len(found) < most and not text.isspace():
            found[text] = one if one.text else one._replace(text=text)
    return list(found.values())


def shown_passages(shown: Iterable[Shown], text_of: Callable[[str], str | None], most: int) -> list[Passage]:
    """These as passages, numbered from 1."""
    known = known_texts(shown, text_of, most)
    return numbered(
        [passage_of(one.text or "", one.doc_id, one.text_sha or sha256_text(one.text or "")) for one in known]
    )


def new_numbers(shown: Iterable[Shown], passages: Iterable[Passage]) -> dict[int, int | None]:
    """What each number stands for that an answer cites: of the passages as they were shown -> as they are now.

    None: the passage is not there any more.
    """
    now: dict[str, int | None] = {one.text_sha: one.number for one in passages}
    return {number: now.get(one.text_sha or sha256_text(one.text or "")) for number, one in enumerate(shown, start=1)}


def passage_of(text: str, doc_id: str, text_sha: str, *, shown: bool = True) -> Passage:
    """A passage from its embedded text: the heading path, a blank line, the body."""
    heading, blank, body = text.partition("\n\n")
    if not blank or "\n" in heading or len(heading) > 300:
        heading, body = "", text
    return Passage(0, heading.strip(), body.strip(), doc_id, text_sha, shown)


def embedded(heading: str, text: str) -> str:
    """The text that `passage_of` takes apart into this heading and this body."""
    return f"{heading}\n\n{text}" if heading or "\n\n" in text else text


def pool_of(rows: Iterable[Sequence[Passage]]) -> list[Passage]:
    """All different passages of some rows, in an order that does not depend on theirs: where distractors are from."""
    found = {(one.doc_id, one.text_sha, one.text): one._replace(shown=False) for row in rows for one in row}
    return [found[key] for key in sorted(found)]


def with_distractors(
    passages: Sequence[Passage], pool: Sequence[Passage], id_: str, *, share: float, count: int, seed: int
) -> list[Passage]:
    """The passages of row `id_`, with distractors where it is drawn; numbered anew."""
    result = list(passages)
    if not passages or not pool or draw(seed, "distract", id_) >= share:
        return numbered(result)
    documents = {one.doc_id for one in passages}
    for number in range(count):
        for attempt in range(TRIES):
            one = pool[int(draw(seed, f"distractor {number} {attempt}", id_) * len(pool))]
            if one.doc_id not in documents:
                documents.add(one.doc_id)
                result.insert(int(draw(seed, f"place {number}", id_) * (len(result) + 1)), one)
                break
    return numbered(result)


def numbered(passages: Sequence[Passage]) -> list[Passage]:
    """Passages numbered from 1."""
    return [one._replace(number=number) for number, one in enumerate(passages, start=1)]
