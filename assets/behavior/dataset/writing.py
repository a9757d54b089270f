"""Rows as they are written down: passages, messages, length, pairs; what leaks into our own test split is left out.

a chat                                                       outcome
-----------------------------------------------------------  ------------------------------
of more than `max_tokens` tokens, with distractors           written again without them
    without                                                  left out: too_long
whose prompt does not show what its answer states,
    with distractors                                         written again without them
    without                                                  left out: unseen
that cites a passage which is in no prompt any more          left out: unseen

Whoever learns to answer what the prompt does not show learns to make things up. An answer cites passages by the numbers
that they had when it was written; with distractors among them they have others, and the answer follows. The frame of a
JSON variant is serving's, and not learned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from assets.behavior import frames
from assets.behavior.attribution import shown
from assets.behavior.citations import cited, renumbered
from assets.behavior.dataset import lint, rehearsal
from assets.behavior.dataset.config import DatasetConfig
from assets.behavior.dataset.contamination import Held, HeldOut
from assets.behavior.dataset.duplicates import folded
from assets.behavior.dataset.eligibility import ACCEPTED
from assets.behavior.dataset.origins import origin
from assets.behavior.dataset.pairs import pair_of
from assets.behavior.dataset.passages import new_numbers, numbered, pool_of, shown_passages, with_distractors
from assets.behavior.dataset.pii import Redactor
from assets.behavior.dataset.rows import REHEARSAL, SPLITS, TEST, TRAIN, Example, Message, Pair, Passage, Reason
from assets.behavior.dataset.split import side
from assets.behavior.dataset.unanswerable import unanswerable
from assets.behavior.refusals import is_refusal

if TYPE_CHECKING:
    from assets.behavior.dataset.building import Report, Sources


class Ask(NamedTuple):
    """What a prompt is rendered from."""

    question: str
    passages: Sequence[Passage]


Render = Callable[[Sequence[Ask]], Sequence[Sequence[Message]]]  # the prompts of many rows, without the answers
Length = Callable[[Sequence[Sequence[Message]]], Sequence[int]]  # tokens of whole chats, as the base reads them


@dataclass(frozen=True, slots=True)
class Chosen:
    """A row that is to be written; its texts are as they came."""

    id: str
    interaction_ids: tuple[str, ...]
    day: date
    topic: str
    event: str
    user: str | None
    prompt: str
    completion: str
    passages: str | None  # JSON
    group: str
    split: str


class Written(NamedTuple):
    """Rows and pairs, in the order of splits, days and ids."""

    examples: tuple[Example, ...]
    pairs: tuple[Pair, ...]


def write(
    rows: Sequence[Chosen], sources: Sources, config: DatasetConfig, render: Render, length: Length, report: Report
) -> Written:
    """Rows with their messages; those that are too long or leak into the test split are left out."""
    redactor = Redactor(config.pii)
    clear = [shown_passages(shown(row.passages), sources.texts, config.max_passages) for row in rows]
    pool = pool_of(clear)
    said = frames.unframed if sources.framed else str
    texts = [said(row.completion) for row in rows]
    drafts = [_draft(*one, pool, redactor, config) for one in zip(rows, texts, clear, strict=True)]
    written = _fitting(drafts, config, render, length, report)
    test = HeldOut((held(one.example) for one in written if one.row.split == TEST), config.ngram)
    fitting = []
    for one in written:
        if one.row.split != TEST and _holds(test, one.example, config):
            report.leave_out(Reason.LEAKED, one.row.id, one.example.prompt)
        else:
            fitting.append(one)
    fitting.sort(key=lambda one: (SPLITS.index(one.row.split), one.row.day, one.row.id))
    report.redacted += sum(bool(one.example.redactions) for one in fitting)
    return Written(tuple(one.example for one in fitting), tuple(_pairs(fitting, sources, redactor, config, length)))


def rehearse(
    fresh: Sequence[Example], sources: Sources, config: DatasetConfig, render: Render, length: Length, ids: set[str]
) -> list[Example]:
    """Rehearsal rows for these new rows. `ids` are the interactions that are candidates now."""
    if not sources.earlier:
        return []
    held_out = HeldOut([*sources.held_out, *(held(row) for row in fresh if row.split == TEST)], config.ngram)
    gone = sources.gone({id_: row.day for row in sources.earlier for id_ in row.interaction_ids})
    share = config.rehearsal_share * sum(row.split == TRAIN for row in fresh)

    def clean(row: Example) -> bool:
        on = side(row.group, config.split_key, config.validation_share, config.test_share)
        return on == TRAIN and not _holds(held_out, row, config)

    rows = rehearsal.rehearsed(
        sources.earlier,
        fresh,
        most=int(share),
        seed=config.seed,
        known=lambda id_: id_ in ids or id_ in gone,
        asked=folded,
        clean=clean,
    )
    redactor = Redactor(config.pii)
    again = _rendered([_redacted(replace(row, kind=REHEARSAL), redactor) for row in rows], render, length)
    return [row for row in again if not _unfit(row, config)]


def declining(fresh: Sequence[Example], config: DatasetConfig, render: Render, length: Length) -> list[Example]:
    """Rows that decline, beside these new rows."""
    rows = unanswerable(fresh, share=config.refusal_share, seed=config.seed)
    return [row for row in _rendered(rows, render, length) if row.tokens <= config.max_tokens]


def held(row: Example) -> Held:
    """A row as a held-out item."""
    return Held(row.prompt, (row.completion,), row.group, row.interaction_ids)


def _holds(held_out: HeldOut, row: Example, config: DatasetConfig) -> bool:
    return held_out.holds(
        row.prompt, row.completion, config.max_overlap, group=row.group, interactions=row.interaction_ids
    )


class _Draft(NamedTuple):
    row: Chosen
    example: Example  # without messages
    said: str  # its answer, which cites the numbers of its time
    values: dict[str, str]  # what was redacted in it

    @property
    def numbers(self) -> dict[int, int | None]:
        """What has become of the numbers that its answer may cite."""
        return new_numbers(shown(self.row.passages), self.example.passages)


def _draft(
    row: Chosen, said: str, clear: Sequence[Passage], pool: Sequence[Passage], redactor: Redactor, config: DatasetConfig
) -> _Draft:
    passages = with_distractors(
        clear, pool, row.id, share=config.distractor_share, count=config.distractors, seed=config.seed
    )
    found = redactor.redact(_texts(row.prompt, said, passages), user=row.user)
    prompt, completion, *rest = found.texts
    kind = "refusal" if is_refusal(completion) else ACCEPTED if row.event == ACCEPTED else "correction"
    example = Example(
        (),
        row.interaction_ids,
        row.topic,
        kind,
        row.event,
        row.day,
        row.group,
        row.split,
        prompt,
        completion,
        _worded(passages, rest),
        redactions=len(found.values),
        origin=origin(row.prompt, row.completion, row.passages),
    )
    return _Draft(row, example, completion, found.values)


def _redacted(row: Example, redactor: Redactor) -> Example:
    """A written row without what the rules of today hide, and those of its time did not."""
    found = redactor.redact(_texts(row.prompt, row.completion, row.passages))
    prompt, completion, *rest = found.texts
    hidden = _worded(row.passages, rest)
    redactions = row.redactions + len(found.values)
    return replace(row, prompt=prompt, completion=completion, passages=hidden, redactions=redactions)


def _texts(prompt: str, completion: str, passages: Sequence[Passage]) -> list[str]:
    return [prompt, completion, *(text for one in passages for text in (one.heading, one.text))]


def _worded(passages: Sequence[Passage], texts: Sequence[str]) -> tuple[Passage, ...]:
    """The passages with these headings and texts, which alternate."""
    pairs = zip(passages, texts[::2], texts[1::2], strict=True)
    return tuple(one._replace(heading=heading, text=text) for one, heading, text in pairs)


def _fitting(
    drafts: Sequence[_Draft], config: DatasetConfig, render: Render, length: Length, report: Report
) -> list[_Draft]:
    fitting, again = _sorted_out(_written(drafts, render, length), config)
    bare = [one for one, _ in again if not all(passage.shown for passage in one.example.passages)]
    plain = [(one, unfit) for one, unfit in again if all(passage.shown for passage in one.example.passages)]
    plainer = [one._replace(example=_without_distractors(one.example)) for one in bare]
    better, left = _sorted_out(_written(plainer, render, length), config)
    for one, (reason, detail) in (*plain, *left):
        report.leave_out(reason, one.row.id, one.example.prompt, detail)
    return [*fitting, *better]


def _sorted_out(
    drafts: Sequence[_Draft], config: DatasetConfig
) -> tuple[list[_Draft], list[tuple[_Draft, tuple[Reason, str]]]]:
    """Those that may teach, and those that may not, each with why."""
    found = [(one, _lost(one) or _unfit(one.example, config)) for one in drafts]
    return [one for one, unfit in found if not unfit], [(one, unfit) for one, unfit in found if unfit]


def _lost(draft: _Draft) -> tuple[Reason, str] | None:
    """Whether it cites a passage that is not in its prompt."""
    gone = {number for number, now in draft.numbers.items() if now is None} & cited(draft.row.completion)
    return (Reason.UNSEEN, f"cites passage {min(gone)}") if gone else None


def _written(drafts: Sequence[_Draft], render: Render, length: Length) -> list[_Draft]:
    """Drafts with their messages, in which the answer cites the numbers of the prompt."""
    numbered = [replace(one.example, completion=renumbered(one.said, one.numbers)) for one in drafts]
    rendered = _rendered(numbered, render, length)
    return [one._replace(example=example) for one, example in zip(drafts, rendered, strict=True)]


def _unfit(row: Example, config: DatasetConfig) -> tuple[Reason, str] | None:
    """Why a written row may not teach, and what is wrong with it."""
    if row.tokens > config.max_tokens:
        return Reason.TOO_LONG, f"{row.tokens} tokens"
    prompt = "\n".join(message["content"] for message in row.messages[:-1])
    documents = [one.doc_id for one in row.passages if one.doc_id]
    cited = len(row.passages)
    found = lint.unsupported(row.prompt, row.completion, [prompt], documents, config.max_unsupported, cited=cited)
    return (Reason.UNSEEN, ", ".join(found)) if found else None


def _without_distractors(example: Example) -> Example:
    return replace(example, passages=tuple(numbered([one for one in example.passages if one.shown])))


def _rendered(examples: Sequence[Example], render: Render, length: Length) -> list[Example]:
    if not examples:
        return []
    prompts = render([Ask(one.prompt, one.passages) for one in examples])
    chats = [
        (*prompt, Message(role="assistant", content=one.completion))
        for prompt, one in zip(prompts, examples, strict=True)
    ]
    return [
        replace(one, messages=chat, tokens=int(tokens))
        for one, chat, tokens in zip(examples, chats, length(chats), strict=True)
    ]


def _pairs(
    drafts: Sequence[_Draft], sources: Sources, redactor: Redactor, config: DatasetConfig, length: Length
) -> list[Pair]:
    corrected = [one for one in drafts if one.example.event != ACCEPTED]
    produced: Mapping[str, str] = sources.produced([(one.row.day, one.row.id) for one in corrected])
    found = []
    for one in corrected:
        text = produced.get(one.row.id)
        if text is not None:
            text = frames.unframed(text) if sources.framed else text
            text = redactor.redact([text], user=one.row.user, values=one.values).texts[0]
            text = renumbered(text, one.numbers)
        if pair := pair_of(one.example, text):
            found.append(pair)
    chats = [(*pair.prompt, Message(role="assistant", content=pair.rejected)) for pair in found]
    sizes = length(chats) if chats else []
    return [pair for pair, tokens in zip(found, sizes, strict=True) if tokens <= config.max_tokens]
