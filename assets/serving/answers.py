"""An answer as readers get it: what was said, what it rests on, and what made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from assets.ports.index import told
from assets.prompting import Evidence


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: told by the server's token or by the command line, and never by the question.

    `groups` None may read everything; else only passages whose access field is one of them, or public.
    """

    groups: frozenset[str] | None = None


class Citation(NamedTuple):
    """A passage that an answer names, by its number in the prompt."""

    n: int
    doc_id: str
    chunk_id: str


class Shown(NamedTuple):
    """A passage that the answer was to be made from. `text` is what was embedded, and hashed as `text_sha`: the heading
    path (`heading`), a blank line, the body."""

    n: int
    chunk_id: str
    doc_id: str
    title: str
    heading: str
    text: str
    text_sha: str
    score: float
    metadata: Mapping[str, str]


class Usage(NamedTuple):
    """Tokens that the generator read (the prompt) and generated (without the one that ends it), whatever became of
    what it said; zeros where it was not asked."""

    prompt: int = 0
    completion: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What is told to a reader.

    `fallback` is empty, or why the best evidence sentence stands in for an answer: "no support", "broken form" or
    "no generator answer". `stamp` names release, index, adapter, prompt, encoder, base and variant; `seconds` what
    was spent on retrieve, first (until the first piece) and generate; `usage` is None where the engine does not tell.
    """

    text: str
    refused: bool
    fallback: str
    citations: tuple[Citation, ...]
    evidence: tuple[Evidence, ...]
    passages: tuple[Shown, ...]
    release_id: str
    stamp: Mapping[str, str]
    seconds: Mapping[str, float] = field(default_factory=dict)
    usage: Usage | None = None

    def said(self) -> dict[str, Any]:
        """The object that `twohands ask --json` prints."""
        return {
            "answer": self.text,
            "refused": self.refused,
            "citations": [one._asdict() for one in self.citations],
            "evidence": [
                {"n": one.number, "sentence": one.sentence, "score": round(one.score, 4)} for one in self.evidence
            ],
            "passages": [{**one._asdict(), "metadata": told(one.metadata)} for one in self.passages],
            "release_id": self.release_id,
            "stamp": dict(self.stamp),
            "fallback": self.fallback,
        }
