"""Documents of one slice: what changed in the source is read, parsed and remembered; the rest costs one stamp each.

the file             its last good version   what becomes of it
-------------------  ----------------------  -------------------------------------------------------------
same stamp           any                     unchanged: not read
same bytes           any                     unchanged: the new stamp is noted
new bytes, accepted  any                     parsed; a new row in the version log
new bytes, refused   there is one            refused with the reason; the last good version stays
new bytes, refused   there is none           refused with the reason
gone                 any                     deleted; a row in the version log says when
changes while read   any                     read again at the next sync; what was there stays
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from assets.errors import SourceBusy, SourceError
from assets.fingerprints import digest, sha256_bytes
from assets.knowledge.records import Records, State
from assets.ports import Document, Lake, Listing, Parser, Progress, Reason, Refusal, Source, SourceFile

FLUSH_ROWS = 500  # documents between two commits of a long first sync: what a kill can cost in parsing
FLUSH_CHARACTERS = 32 * 2**20

STATE = pa.schema(
    [
        ("path", pa.string()),
        ("doc_id", pa.string()),
        ("stamp", pa.string()),
        ("size", pa.int64()),
        ("modified", pa.float64()),
        ("raw_sha", pa.string()),
        ("parser", pa.string()),
        ("content_sha", pa.string()),
        ("title", pa.string()),
        ("part", pa.string()),
        ("at", pa.int64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)
LOG = pa.schema(
    [
        ("path", pa.string()),
        ("doc_id", pa.string()),
        ("op", pa.string()),
        ("raw_sha", pa.string()),
        ("content_sha", pa.string()),
        ("title", pa.string()),
        ("date", pa.string()),
        ("links", pa.list_(pa.string())),
        ("metadata", pa.string()),
        ("text", pa.string()),
        ("outline", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class DocumentsReport:
    """Counts of one refresh. `seen` = parsed + rejected + unchanged + waiting; `digest` names the accepted contents."""

    seen: int = 0
    parsed: int = 0
    rejected: int = 0
    unchanged: int = 0
    waiting: int = 0
    deleted: int = 0
    accepted: int = 0
    bytes: int = 0
    digest: str = ""
    revision: str | None = None
    newest: float | None = None
    changed: tuple[str, ...] = field(default=())


def open_records(lake: Lake, slice: str) -> Records:
    """The records of a slice's documents."""
    return Records(lake, f"knowledge/{slice}/documents", "path", STATE)


def refresh(
    source: Source,
    listing: Listing,
    records: Records,
    parser: Parser,
    *,
    prefix: str,
    full: bool = False,
    progress: Progress | None = None,
) -> DocumentsReport:
    """Brings the records up to the listing. `prefix` is the source's name, the first part of every doc_id.

    `full` reads every file again, whatever its stamp says. Raises SourceError or SourceBusy when the source as a
    whole fails; single files that fail are refused or left for the next sync.
    """
    state = records.state()
    work = _Refresh(source, records, state, parser, prefix)
    work.read_and_parse([file for file in listing.files if full or not work.known(file)], progress)
    work.refuse(listing.refused)
    deleted = work.delete_missing({file.path for file in listing.files} | set(listing.refused))
    work.flush()
    facts = {"digest": contents_digest(state), "revision": listing.revision or ""}
    if work.dirty or facts != state.facts:
        state.facts = facts
        records.commit(state)
    return _report(work, listing, state, deleted)


def contents_digest(state: State) -> str:
    """Names the accepted documents and their contents: the data version of `knowledge/documents`."""
    rows = sorted((row["doc_id"], row["content_sha"]) for row in state.rows.values() if row["part"])
    return digest(part for row in rows for part in row)


def rejected(state: State) -> list[dict[str, str]]:
    """The refused files of a slice: doc_id, reason, detail."""
    rows = sorted((row for row in state.rows.values() if row["reason"]), key=lambda row: row["doc_id"])
    return [{"doc_id": row["doc_id"], "reason": row["reason"], "detail": row["detail"]} for row in rows]


def _report(work: _Refresh, listing: Listing, state: State, deleted: list[str]) -> DocumentsReport:
    rows = state.rows.values()
    refused = sum(bool(row["reason"]) for row in rows)
    seen = len(listing.files) + len(listing.refused)
    return DocumentsReport(
        seen=seen,
        parsed=len(work.parsed),
        rejected=refused,
        unchanged=max(seen - len(work.parsed) - refused - len(work.waiting), 0),
        waiting=len(work.waiting),
        deleted=len(deleted),
        accepted=sum(bool(row["part"]) for row in rows),
        bytes=sum(row["size"] for row in rows if row["part"]),
        digest=state.facts["digest"],
        revision=listing.revision,
        newest=max((row["modified"] for row in rows if row["modified"] is not None), default=None),
        changed=(*work.parsed, *deleted),
    )


class _Refresh:
    """The state of one refresh while files come out of the parser."""

    def __init__(self, source: Source, records: Records, state: State, parser: Parser, prefix: str) -> None:
        self.source, self.records, self.state, self.parser, self.prefix = source, records, state, parser, prefix
        self.dirty = False
        self.parsed: list[str] = []
        self.waiting: list[str] = []
        self._hashes: dict[str, str] = {}
        self._rows: list[dict[str, Any]] = []
        self._size = 0

    def known(self, file: SourceFile) -> bool:
        """Whether this very file was read before, by the parser that is in use now."""
        row = self.state.rows.get(file.path)
        if row is None or not file.stamp:
            return False
        return row["stamp"] == file.stamp and row["parser"] == self.parser.fingerprint

    def read_and_parse(self, files: Sequence[SourceFile], progress: Progress | None) -> None:
        by_path = {file.path: file for file in files}
        for path, outcome in self.parser.parse(self._read(files, progress)):
            if isinstance(outcome, Refusal):
                self._refuse(by_path[path], self._hashes[path], outcome)
            else:
                self._accept(by_path[path], self._hashes[path], outcome)

    def refuse(self, refused: Mapping[str, Refusal]) -> None:
        """Files that the source itself will not hand out."""
        for path, refusal in refused.items():
            self._refuse(SourceFile(path, 0, ""), "", refusal)

    def delete_missing(self, present: set[str]) -> list[str]:
        """Forgets what the source no longer has; returns the doc_ids that were accepted before."""
        gone = [path for path in self.state.rows if path not in present]
        deleted = []
        for path in gone:
            row = self.state.rows.pop(path)
            self.dirty = True
            if row["part"]:
                deleted.append(row["doc_id"])
                self._rows.append({**_EMPTY, "path": path, "doc_id": row["doc_id"], "op": "delete"})
        return deleted

    def flush(self) -> None:
        """Writes the waiting rows to the log and points the state at them."""
        if not self._rows:
            return
        part, at = self.records.append(self._rows, LOG)
        for row in self._rows:
            if row["op"] == "upsert":
                self.state.rows[row["path"]].update(part=part, at=at)
        self._rows, self._size = [], 0

    def _read(self, files: Sequence[SourceFile], progress: Progress | None) -> Iterator[tuple[str, bytes]]:
        for number, file in enumerate(files, start=1):
            if progress:
                progress("reading documents", number, len(files))
            try:
                data = self.source.read(file)
            except SourceBusy:
                self.waiting.append(file.path)
                if file.path in self.state.rows:
                    self._update(self.state.rows[file.path], stamp="")
                continue
            except SourceError as error:
                self._refuse(replace(file, stamp=""), "", Refusal(Reason.UNREADABLE, str(error)))
                continue
            sha = sha256_bytes(data)
            row = self.state.rows.get(file.path)
            if row is not None and row["raw_sha"] == sha and row["parser"] == self.parser.fingerprint:
                self._update(row, stamp=file.stamp, size=file.size, modified=file.modified)
                continue
            self._hashes[file.path] = sha
            yield file.path, data

    def _accept(self, file: SourceFile, sha: str, document: Document) -> None:
        metadata = json.dumps(dict(document.metadata), sort_keys=True, ensure_ascii=False)
        content = digest([document.text, document.title, document.date or "", metadata, *document.links])
        row = self._row(file, sha)
        self.parsed.append(row["doc_id"])
        self._update(row, content_sha=content, title=document.title, reason="", detail="")
        self._rows.append(
            {
                "path": file.path,
                "doc_id": row["doc_id"],
                "op": "upsert",
                "raw_sha": sha,
                "content_sha": content,
                "title": document.title,
                "date": document.date,
                "links": list(document.links),
                "metadata": metadata,
                "text": document.text,
                "outline": None if document.outline is None else json.dumps(document.outline, ensure_ascii=False),
            }
        )
        row["part"] = row["part"] or "pending"
        self._size += len(document.text)
        if len(self._rows) >= FLUSH_ROWS or self._size >= FLUSH_CHARACTERS:
            self.flush()
            self.records.commit(self.state)  # what is parsed so far; the former digest stays until all is read

    def _refuse(self, file: SourceFile, sha: str, refusal: Refusal) -> None:
        self._update(self._row(file, sha), reason=str(refusal.reason), detail=refusal.detail)

    def _row(self, file: SourceFile, sha: str) -> dict[str, Any]:
        row = self.state.rows.setdefault(
            file.path,
            {"path": file.path, "doc_id": f"{self.prefix}/{file.path}", "content_sha": "", "title": "", "part": "",
             "at": 0, "reason": "", "detail": ""},
        )  # fmt: skip
        values = {"stamp": file.stamp, "size": file.size, "modified": file.modified, "raw_sha": sha}
        self._update(row, **values, parser=self.parser.fingerprint)
        return row

    def _update(self, row: dict[str, Any], **values: Any) -> None:
        if any(row.get(name, _UNSET) != value for name, value in values.items()):
            row.update(values)
            self.dirty = True


_UNSET = object()
_EMPTY: dict[str, Any] = {
    "raw_sha": "", "content_sha": "", "title": "", "date": None, "links": [], "metadata": "{}", "text": "",
    "outline": None,
}  # fmt: skip
