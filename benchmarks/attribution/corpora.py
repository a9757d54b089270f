"""The documents behind the labelled cases, written as the knowledge hand's log: two documentation histories snapshot by
snapshot, encyclopedia paragraphs, and what was shown with the form-edited cases."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from assets.fingerprints import sha256_text
from assets.knowledge.chunks import LOG
from assets.ports import Lake

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)  # everything but the histories' changes is there from then on
CHARACTERS = 1_000  # of a passage
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_HEADING = re.compile(r"^#{1,4} .*$", re.MULTILINE)


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a .jsonl.gz file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def pick(key: str, share: float) -> bool:
    """A fixed pseudo-random choice of a share of all keys."""
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) < share * 2**32


def number(key: str, below: int) -> int:
    """A fixed pseudo-random number for a key."""
    return int(hashlib.sha256(key.encode()).hexdigest()[8:16], 16) % below


def passages(text: str) -> list[str]:
    """A document cut at headings and paragraphs, each passage under its heading."""
    text = _FRONT_MATTER.sub("", text)
    starts = [0, *(match.start() for match in _HEADING.finditer(text)), len(text)]
    found = []
    for start, end in pairwise(starts):
        section = text[start:end].strip()
        head, _, body = section.partition("\n") if section.startswith("#") else ("", "", section)
        held = ""
        for paragraph in (part.strip() for part in body.split("\n\n")):
            if held and len(held) + len(paragraph) > CHARACTERS:
                found.append(f"{head.lstrip('# ')}\n\n{held}".strip())
                held = ""
            held = f"{held}\n\n{paragraph}".strip()
        if held:
            found.append(f"{head.lstrip('# ')}\n\n{held}".strip())
    return found


@dataclass
class Log:
    """Rows of the log to be: (doc_id, at, texts of the document from then on)."""

    versions: list[tuple[str, datetime, list[str]]] = field(default_factory=list)

    def add(self, doc_id: str, texts: list[str], at: datetime = BEGIN) -> None:
        self.versions.append((doc_id, at, texts))

    def write(self, lake: Lake, slice_: str = "bench") -> int:
        """Writes the log as one slice's; returns its rows."""
        found = []
        for doc_id, at, texts in self.versions:
            stamp = (at - _EPOCH) // timedelta(microseconds=1) * 1_000
            base = dict.fromkeys(LOG.names) | {"doc_id": doc_id, "at": stamp}
            found += [base | {"chunk_id": f"{i}", "text": t, "text_sha": sha256_text(t)} for i, t in enumerate(texts)]
            if not texts:
                found.append(base | {"chunk_id": "", "text_sha": ""})
        schema = LOG.append(pa.field("at", pa.int64()))
        lake.write(f"knowledge/{slice_}/chunks/part-0.parquet", pa.Table.from_pylist(found, schema=schema))
        return len(found)


@dataclass(frozen=True)
class Change:
    """One document before and after one snapshot of its history; `at` is the snapshot's."""

    doc_id: str
    at: datetime
    before: list[str]
    after: list[str]


def docs_history(data: Path, name: str, log: Log) -> list[Change]:
    """Replays a documentation history into the log; returns the changes of documents that were there before."""
    current: dict[str, str] = {}
    with tarfile.open(data / "docs-history" / f"{name}-base.tar.gz") as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is not None and "release-notes" not in member.name:
                current[member.name.split("/", 2)[2]] = file.read().decode()
    for path, text in current.items():
        log.add(f"{name}/{path}", passages(text))
    changes = []
    for row in rows(data / "docs-history" / f"{name}-changes.jsonl.gz"):
        path, at = row["path"], datetime.fromisoformat(row["date"])
        if "release-notes" in path:
            continue
        before = current.pop(row["old_path"] if row["op"] == "rename" else path, None)
        if row["op"] == "rename":
            log.add(f"{name}/{row['old_path']}", [], at)
        after = row.get("text")
        if after is None:
            log.add(f"{name}/{path}", [], at)
            continue
        current[path] = after
        log.add(f"{name}/{path}", passages(after), at)
        if row["op"] == "modify" and before is not None:
            changes.append(Change(f"{name}/{path}", at, passages(before), passages(after)))
    return changes
