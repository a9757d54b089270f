"""A server over stand-ins: an answering that says what it is told, and a library of two passages."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from assets.errors import BadQuestion
from assets.prompting import Evidence
from assets.serving.answers import Answer, Asker, Citation, Shown, Usage

FERRY = Shown(
    1, "c-ferry", "docs/ferry.md", "Ferry", "Ferry", "Ferry\n\nThe ferry leaves at seven.", "a" * 64, 0.9,
    {"audience": "all"},
)  # fmt: skip
SAFE = Shown(
    2, "c-safe", "docs/safe.md", "<b>Safe</b>", "", "The code is 1234. <script>document.title='owned'</script>",
    "b" * 64, 0.4, {"audience": "managers"},
)  # fmt: skip


class FakeAnswering:
    """Answers everything from the two passages that the asker may read; special questions behave specially."""

    def __init__(self, variants: list[str] | None = None) -> None:
        self.names = variants or ["main"]
        self.release, self.trouble = "rel-1", list[str]()
        self.gate, self.pause = threading.Event(), 0.0
        self.gate.set()
        self.usage: Usage | None = Usage(40, 7)
        self.askers: list[Asker] = []
        self.wheres: list[Mapping[str, str]] = []
        self.closed = 0

    def variants(self) -> list[str]:
        return self.names

    def problems(self) -> list[str]:
        return self.trouble

    def stream(self, question: str, *, variant: str, asker: Asker, where: Mapping[str, str]) -> Iterator[str | Answer]:
        self.askers.append(asker)
        self.wheres.append(where)
        if not question.strip() or len(question) > 100:
            raise BadQuestion("an empty question, or a long one", expected="1 to 100 characters")
        if question == "crash":
            raise RuntimeError("a secret of the server")
        try:
            yield from self._pieces(question, variant, asker)
        finally:
            self.closed += 1

    def _pieces(self, question: str, variant: str, asker: Asker) -> Iterator[str | Answer]:
        self.gate.wait(30)
        passages = tuple(one for one in (FERRY, SAFE) if may_read(one, asker))
        text = question.removeprefix("say ") if question.startswith("say ") else "The ferry leaves at seven. [1]"
        for word in text.split(" "):
            yield word + " "
            time.sleep(self.pause)
        refused, fallback = question == "refuse", "no support" if question == "fall back" else ""
        text = {"refuse": "I do not know.", "fall back": "Best evidence: The ferry leaves at seven. [1]"}.get(
            question, text
        )
        yield Answer(
            text, refused, fallback, () if refused else (Citation(1, FERRY.doc_id, FERRY.chunk_id),),
            (Evidence(1, "Ferry", "The ferry leaves at seven.", "good", 0.7),), passages, self.release,
            {"release": self.release, "index": "3-abc", "adapter": "ad-1", "prompt": "p", "encoder": "e", "base": "b",
             "variant": variant}, {"retrieve": 0.01, "generate": 0.02}, self.usage,
        )  # fmt: skip


def may_read(one: Shown, asker: Asker) -> bool:
    return asker.groups is None or one.metadata["audience"] in {"all", *asker.groups}


class FakeLibrary:
    def passage(self, chunk_id: str, asker: Asker) -> dict[str, Any] | None:
        for one in (FERRY, SAFE):
            if one.chunk_id == chunk_id and may_read(one, asker):
                return {"chunk_id": one.chunk_id, "doc_id": one.doc_id, "title": one.title, "text": one.text,
                        "date": "2026-11-01", "version": "0123456789ab", "index": "3-abc"}  # fmt: skip
        return None

    def released(self, variant: str) -> str:
        return "rel-1"


def logged(folder: Path) -> list[dict[str, Any]]:
    """Every whole event in the journal's files, in the order of files and lines."""
    found = []
    for path in sorted(folder.glob("served-*.jsonl")):
        for line in path.read_bytes().split(b"\n"):
            if line.endswith(b"}"):
                found.append(json.loads(line))
    return found
