"""Chunks of one slice: the documents that changed are cut again, the rest stays.

Cut again when the document's content, the chunker or the source's configured metadata changed, or what is public where
that metadata says who may read it. The state has a row a document with `chunks_sha`, the hash of all its passages, so
that what follows can tell which documents to look at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from assets.fingerprints import digest
from assets.knowledge import chunking
from assets.knowledge.audience import Audience
from assets.knowledge.passages import fields_sha
from assets.knowledge.records import Records, State
from assets.ports import Key, Lake, Mark, Passage, Tokenizer

USUAL = Audience()
FLUSH_ROWS = 8_192  # chunks between two writes: bounds memory

STATE = pa.schema(
    [
        ("doc_id", pa.string()),
        ("content_sha", pa.string()),
        ("made_by", pa.string()),
        ("chunks_sha", pa.string()),
        ("count", pa.int64()),
        ("tokens", pa.int64()),
        ("part", pa.string()),
        ("at", pa.int64()),
    ]
)
LOG = pa.schema(
    [
        ("doc_id", pa.string()),
        ("chunk_id", pa.string()),
        ("ordinal", pa.int64()),
        ("headings", pa.list_(pa.string())),
        ("text", pa.string()),
        ("text_sha", pa.string()),
        ("fields_sha", pa.string()),
        ("tokens", pa.int64()),
        ("title", pa.string()),
        ("metadata", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class ChunksReport:
    """Counts of one cut. `digest` names all passages of the slice; `changed` the documents whose passages changed.

    `empty` are the accepted documents that nothing could be cut from: no search ever finds them.
    """

    total: int = 0
    tokens: int = 0
    cut_documents: int = 0
    digest: str = ""
    changed: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()


def open_records(lake: Lake, slice: str) -> Records:
    """The records of a slice's chunks."""
    return Records(lake, f"knowledge/{slice}/chunks", "doc_id", STATE)


def cut(
    slice: str,
    documents: Records,
    records: Records,
    tokenizer: Tokenizer,
    *,
    max_tokens: int,
    metadata: Mapping[str, str],
    audience: Audience = USUAL,
) -> ChunksReport:
    """Brings the chunks up to the documents. `metadata` is the source's, and wins over what a document says, but for
    who may read it: there the narrower of both holds (audience.py)."""
    decide = [
        chunking.fingerprint(tokenizer.fingerprint, max_tokens),
        slice,
        json.dumps(dict(metadata), sort_keys=True),
    ]
    made_by = digest([*decide, *([audience.field, *audience.public] if audience.field in metadata else [])])
    source, state = documents.state(), records.state()
    wanted = {row["doc_id"]: row for row in source.rows.values() if row["part"]}
    paths = [row["path"] for row in wanted.values() if not _current(state, row, made_by)]
    before = {doc_id: row["chunks_sha"] for doc_id, row in state.rows.items()}
    work = _Cut(slice, records, state, tokenizer, max_tokens, lambda own: audience.merged(own, metadata), made_by)
    for table in documents.current(source, paths):
        for row in table.to_pylist():
            work.add(row)
    for doc_id in sorted(set(state.rows) - set(wanted)):
        work.forget(doc_id)
    work.flush()
    after = {doc_id: row["chunks_sha"] for doc_id, row in state.rows.items()}
    facts = {"digest": digest(part for row in sorted(after.items()) for part in row), "slice": slice}
    if paths or before != after or facts != state.facts:
        state.facts = facts
        records.commit(state)
    changed = sorted(doc for doc in before.keys() | after.keys() if before.get(doc) != after.get(doc))
    return ChunksReport(
        sum(row["count"] for row in state.rows.values()),
        sum(row["tokens"] for row in state.rows.values()),
        len(paths),
        facts["digest"],
        tuple(changed),
        tuple(without_passages(state)),
    )


def without_passages(state: State) -> list[str]:
    """The accepted documents that nothing could be cut from, sorted."""
    return sorted(doc_id for doc_id, row in state.rows.items() if not row["count"])


def _current(state: State, document: Mapping[str, Any], made_by: str) -> bool:
    row = state.rows.get(document["doc_id"])
    return row is not None and (row["content_sha"], row["made_by"]) == (document["content_sha"], made_by)


class _Cut:
    def __init__(
        self,
        slice: str,
        records: Records,
        state: State,
        tokenizer: Tokenizer,
        max_tokens: int,
        merged: Callable[[Mapping[str, str]], dict[str, str]],
        made_by: str,
    ) -> None:
        self.slice, self.records, self.state, self.tokenizer = slice, records, state, tokenizer
        self.max_tokens, self.merged, self.made_by = max_tokens, merged, made_by
        self._rows: list[dict[str, Any]] = []
        self._documents: list[str] = []

    def add(self, document: Mapping[str, Any]) -> None:
        doc_id, title, text = document["doc_id"], document["title"], document["text"]
        stored = document["outline"]
        outline = None if stored is None else [Mark(*mark) for mark in json.loads(stored)]
        found = chunking.chunk(
            doc_id, title, text, count=self.tokenizer.count, max_tokens=self.max_tokens, outline=outline
        )
        stated = {"date": document["date"]} if document["date"] else {}
        metadata = self.merged({**json.loads(document["metadata"]), **stated})
        encoded = json.dumps(metadata, sort_keys=True, ensure_ascii=False)
        keys = []
        for piece in found:
            passage = Passage(
                piece.chunk_id, doc_id, self.slice, title, piece.headings, piece.text, piece.text_sha, metadata
            )
            fields = fields_sha(passage)
            keys += [piece.chunk_id, fields]
            self._rows.append(
                {
                    "doc_id": doc_id,
                    "chunk_id": piece.chunk_id,
                    "ordinal": piece.ordinal,
                    "headings": list(piece.headings),
                    "text": piece.text,
                    "text_sha": piece.text_sha,
                    "fields_sha": fields,
                    "tokens": piece.tokens,
                    "title": title,
                    "metadata": encoded,
                }
            )
        if found:
            self._documents.append(doc_id)
        else:
            self._ends(doc_id)
        self.state.rows[doc_id] = {
            "doc_id": doc_id,
            "content_sha": document["content_sha"],
            "made_by": self.made_by,
            "chunks_sha": digest(keys),
            "count": len(found),
            "tokens": sum(piece.tokens for piece in found),
            "part": "",
            "at": 0,
        }
        if len(self._rows) >= FLUSH_ROWS:
            self.flush()

    def forget(self, doc_id: str) -> None:
        """A document that is gone."""
        del self.state.rows[doc_id]
        self._ends(doc_id)

    def _ends(self, doc_id: str) -> None:
        """A row without a chunk says since when a document has none: its former ones are not current any more."""
        self._rows.append(dict.fromkeys(LOG.names) | {"doc_id": doc_id, "chunk_id": "", "text_sha": ""})

    def flush(self) -> None:
        if self._rows:
            part, at = self.records.append(self._rows, LOG)
            for doc_id in self._documents:
                self.state.rows[doc_id].update(part=part, at=at)
        self._rows, self._documents = [], []


def keys(records: Records, state: State, doc_ids: Iterable[str] | None = None) -> dict[str, Key]:
    """chunk_id -> Key of the current passages, of all documents or of some."""
    found: dict[str, Key] = {}
    for table in records.current(state, doc_ids, ["chunk_id", "text_sha", "fields_sha"]):
        columns = (table.column(name).to_pylist() for name in ("chunk_id", "doc_id", "text_sha", "fields_sha"))
        for chunk_id, doc_id, text_sha, fields in zip(*columns, strict=True):
            found[chunk_id] = Key(doc_id, text_sha, fields)
    return found


def texts(records: Records, state: State, doc_ids: Iterable[str] | None = None) -> dict[str, str]:
    """text_sha -> text of the current passages, each text once."""
    found: dict[str, str] = {}
    for table in records.current(state, doc_ids, ["text_sha", "text"]):
        found.update(zip(table.column("text_sha").to_pylist(), table.column("text").to_pylist(), strict=True))
    return found


def volume(records: Records, state: State, shas: set[str]) -> tuple[int, int]:
    """Tokens and characters of the texts with these hashes, each text once."""
    found: dict[str, tuple[int, int]] = {}
    names = ("text_sha", "tokens", "text")
    for table in records.current(state, None, names) if shas else ():
        for sha, tokens, text in zip(*(table.column(name).to_pylist() for name in names), strict=True):
            if sha in shas:
                found[sha] = tokens, len(text)
    return sum(tokens for tokens, _ in found.values()), sum(size for _, size in found.values())


def passages(records: Records, state: State, slice: str, doc_ids: Iterable[str] | None = None) -> Iterator[Passage]:
    """The current passages, of all documents or of some; one part of the log is in memory at a time."""
    for table in records.current(state, doc_ids):
        for batch in table.to_batches(max_chunksize=1_024):
            for row in batch.to_pylist():
                yield Passage(
                    row["chunk_id"],
                    row["doc_id"],
                    slice,
                    row["title"],
                    tuple(row["headings"]),
                    row["text"],
                    row["text_sha"],
                    json.loads(row["metadata"]),
                )


def needed_since(records: Records, since: float) -> set[str]:
    """text_sha of all passages that some document has now, or still had at `since` (unix seconds) or later."""
    versions: dict[str, dict[int, list[str]]] = {}
    for table in records.log(["text_sha"]):
        for doc_id, at, sha in zip(*(table.column(n).to_pylist() for n in ("doc_id", "at", "text_sha")), strict=True):
            versions.setdefault(doc_id, {}).setdefault(at, []).append(sha)
    needed: set[str] = set()
    for history in versions.values():
        times = sorted(history)
        for at, until in zip(times, [*times[1:], None], strict=True):
            if until is None or until >= since * 1e9:
                needed.update(sha for sha in history[at] if sha)
    return needed
