"""Why an answer failed: for want of knowledge, or of manners. Pure, explainable, versioned.

What the correction states and neither the response nor the request does is looked up: in the passages that were
shown, in the newer text of their documents, in the rest of the corpus.

    correction           its new facts                                    verdict     kind
    -------------------  -----------------------------------------------  ----------  ----------------
    none                 (the output broke its schema)                    behavior    format
    none, thumbs down    (the response states what only a superseded      knowledge   stale_passage
                         passage still says)
    none, thumbs down    (anything else)                                  unclear
    any                  in the newer text of a shown document            knowledge   stale_passage
    any                  in a passage that was alive and not shown        knowledge   retrieval_miss
    any                  nowhere                                          knowledge   missing_document
    declines, or stops   shown, or none                                   behavior    refusal
    declining
    another format       shown, or none                                   behavior    format
    any                  shown; the response stated facts that nothing    behavior    ungrounded
                         that was shown holds
    any                  shown: others were picked                        behavior    task
    other words          none                                             behavior    style
    rewritten            only common words, partly shown                  unclear

A fact is missing only if it was not shown, not asked, and does not follow from what was; see `verdicts.py` for how much
has to be missing, and `facts.py` for what a fact is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from assets.behavior import forms, frames, verdicts
from assets.behavior.citations import without_citations
from assets.behavior.comparison import Form
from assets.behavior.refusals import is_refusal
from assets.behavior.schemas import ATTRIBUTIONS
from assets.ports import Progress

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = "3"  # 2: the number of a cited passage is no fact; 3: two framed texts are compared without their frames
BATCH = 8_192  # interactions in memory as Python objects at once


class Holding(NamedTuple):
    """A passage that holds some facts that were asked for."""

    sha: str
    doc_id: str
    facts: frozenset[str]


class Corpus(Protocol):
    """What attribution may ask of the documents, as of a moment."""

    note: str  # what a reader should know of this view, such as that the log begins later; else empty

    def text(self, sha: str) -> str | None:
        """A passage's text by its sha, of any time."""
        ...

    def current(self, doc_id: str) -> Mapping[str, str] | None:
        """sha -> text of the document's passages alive then; None where there was no such document."""
        ...

    def holding(self, facts: Collection[str]) -> list[Holding]:
        """Passages alive then that hold these facts (keys of `facts.py`), those that tell most first; a few."""
        ...


class History(Protocol):
    """The documents through time. `empty`: no document was ever synced, so that nothing can be told of knowledge."""

    @property
    def empty(self) -> bool:
        """Whether no document was ever synced."""
        ...

    def as_of(self, at: datetime) -> Corpus:
        """The documents as they were at a moment."""
        ...


class Shown(NamedTuple):
    """A passage that the response was written from; the text may have to be looked up."""

    doc_id: str
    text_sha: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One interaction as attribution sees it."""

    prompt: str
    response: str
    corrected: str | None = None
    passages: tuple[Shown, ...] = ()
    feedback: str = "none"
    schema_ok: bool | None = None

    @property
    def edited(self) -> bool:
        """Whether somebody wrote a correction, even an equal one."""
        return self.corrected is not None

    @property
    def failed(self) -> bool:
        """Rejected, or corrected to something else."""
        return self.feedback == "down" or (self.edited and self.corrected != self.response)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a case failed. `evidence` is JSON-able and readable; `verdict` is None where nothing failed.

    `edit` is the share of words that the correction changed; None, like the facts about the corrected form, where there
    is no correction.
    """

    verdict: str | None
    kind: str | None
    doc_id: str | None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    edit: float | None = None
    produced_refusal: bool | None = None
    corrected_refusal: bool | None = None
    produced_format: str | None = None
    corrected_format: str | None = None


def attribute(case: Case, corpus: Corpus, later: Corpus | None = None) -> Verdict:
    """The verdict on one case. `corpus` is as of the answer; `later` as of the correction, when it is another one."""
    case = _without_frames(case)
    after = case.corrected
    form = Form(
        is_refusal(case.response),
        None if after is None else is_refusal(after),
        forms.format_of(case.response),
        None if after is None else forms.format_of(after),
        None if after is None else forms.edit(case.response, after),
    )
    if not case.failed:
        found = verdicts.Finding(None, None, None, {})
    else:
        stated = replace(case, response=without_citations(case.response, len(case.passages)))
        if after is None or after == case.response:
            found = verdicts.without_correction(stated, corpus, later or corpus)
        else:
            bare = without_citations(after, len(case.passages))
            found = verdicts.with_correction(stated, bare, form, corpus, later or corpus)
    return Verdict(
        found.verdict,
        found.kind,
        found.doc_id,
        found.evidence,
        form.edit,
        form.refusal,
        form.corrected_refusal,
        form.format,
        form.corrected_format,
    )


def _without_frames(case: Case) -> Case:
    """What was said, where all of it is in the frame of a JSON variant: the frame tells nothing about a failure."""
    if not frames.is_framed(case.response) or not (case.corrected is None or frames.is_framed(case.corrected)):
        return case
    corrected = None if case.corrected is None else frames.unframed(case.corrected)
    return replace(case, response=frames.unframed(case.response), corrected=corrected)


def without_history(table: pa.Table) -> pa.Table:
    """ATTRIBUTIONS whose failures are all unclear: without any document, a want of knowledge looks like bad manners."""
    import pyarrow as pa

    evidence = json.dumps({"rule": "no document was synced yet: nothing can be told of knowledge"})
    rows = table.to_pylist()
    for row in rows:
        if row["verdict"]:
            row |= {"verdict": "unclear", "kind": None, "doc_id": None, "evidence": evidence}
    return pa.Table.from_pylist(rows, schema=table.schema)


def attribute_day(
    interactions: pa.Table,
    history: History,
    *,
    topics: Callable[[list[str]], list[str]] | None = None,
    progress: Progress | None = None,
) -> pa.Table:
    """Attributions (schema ATTRIBUTIONS) of those interactions that failed, were edited, or have no topic.

    `topics` names the topic of each prompt; without it, rows that only lack a topic are left out. Rows come batch by
    batch, those with a verdict first.
    """
    import pyarrow as pa

    table = interactions.select(_COLUMNS)
    batches, done = [], 0
    for batch in table.to_batches(max_chunksize=BATCH):
        batches.append(_attribute_batch(batch, history, topics))
        done += batch.num_rows
        if progress is not None:
            progress("attributing", done, table.num_rows)
    return pa.concat_tables([ATTRIBUTIONS.empty_table(), *batches])


_COLUMNS = [
    "id", "occurred_at", "received_at", "prompt", "response", "passages", "feedback", "corrected_response", "schema_ok",
    "topic",
]  # fmt: skip
_VERDICT = [field.name for field in fields(Verdict)]


def _attribute_batch(
    batch: pa.RecordBatch, history: History, topics: Callable[[list[str]], list[str]] | None
) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    down = pc.fill_null(pc.equal(batch.column("feedback"), "down"), False)  # pyright: ignore[reportAttributeAccessIssue]
    judged = pc.or_(down, pc.is_valid(batch.column("corrected_response")))  # pyright: ignore[reportAttributeAccessIssue]
    open_ = pc.is_null(batch.column("topic"))  # pyright: ignore[reportAttributeAccessIssue]
    named = _topics(batch.select(["id", "prompt"]).filter(open_), topics) if topics is not None else {}
    rows = [
        {"id": row["id"], "topic": named.get(row["id"]), "version": VERSION} | _row(row, history)
        for row in batch.filter(judged).to_pylist()
    ]
    found = pa.Table.from_pylist(rows, schema=ATTRIBUTIONS)
    if topics is None:
        return found
    ids = batch.column("id").filter(pc.and_(open_, pc.invert(judged)))  # pyright: ignore[reportAttributeAccessIssue]
    given = {"id": ids, "topic": [named[id_] for id_ in ids.to_pylist()], "version": [VERSION] * len(ids)}
    rest = [pa.array(given[f.name], f.type) if f.name in given else pa.nulls(len(ids), f.type) for f in ATTRIBUTIONS]
    return pa.concat_tables([found, pa.Table.from_arrays(rest, schema=ATTRIBUTIONS)])


def _topics(batch: pa.RecordBatch, topics: Callable[[list[str]], list[str]]) -> dict[str, str]:
    prompts = [prompt or "" for prompt in batch.column("prompt").to_pylist()]
    return dict(zip(batch.column("id").to_pylist(), topics(prompts) if prompts else [], strict=True))


def _row(row: Mapping[str, Any], history: History) -> dict[str, Any]:
    case = Case(
        row["prompt"] or "",
        row["response"] or "",
        row["corrected_response"],
        shown(row["passages"]),
        row["feedback"] or "none",
        row["schema_ok"],
    )
    then, later = row["occurred_at"], row["received_at"]
    corpus = history.as_of(then)
    verdict = attribute(case, corpus, history.as_of(later) if later is not None and later > then else corpus)
    found = {name: getattr(verdict, name) for name in _VERDICT}
    found["evidence"] = json.dumps(verdict.evidence, ensure_ascii=False, sort_keys=True) if case.failed else None
    return found


def shown(passages: str | None) -> tuple[Shown, ...]:
    """The passages of an interaction's JSON text; entries without a sha or a text are left out."""
    found = json.loads(passages) if passages else []
    return tuple(
        Shown(str(row.get("doc_id") or ""), str(row.get("text_sha") or ""), row.get("text"))
        for row in found
        if isinstance(row, dict) and (row.get("text_sha") or row.get("text"))
    )
