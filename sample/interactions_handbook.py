"""The world of the demo logs: the handbook's passages as the index has them, and the facts that people ask for."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import edit_sample

from assets.behavior import facts
from assets.fingerprints import chunk_id, sha256_text
from assets.knowledge import chunking, parsing
from assets.ports import Document
from assets.prompting import statements
from orchestration.engines.encoders import load_tokenizer

HERE = Path(__file__).resolve().parent
SOURCE = "handbook"  # the slice's name in twohands.toml, the first part of every doc_id


@dataclass(frozen=True, slots=True)
class Shown:
    """A passage as an answer's model saw it. `old` ones are in no index any more, so their text travels along."""

    chunk_id: str
    doc_id: str
    text_sha: str
    text: str
    old: bool = False

    def event(self) -> dict[str, str]:
        """As the interaction contract has it."""
        known = {"chunk_id": self.chunk_id, "doc_id": self.doc_id, "text_sha": self.text_sha}
        return known | ({"text": self.text} if self.old else {})


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that the handbook says. `before` is what it said until the day of the edits, where that differs."""

    topic: str
    ask: tuple[str, ...]
    say: tuple[str, ...]
    points: Mapping[str, str]
    passage: Shown
    before: Fact | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that people ask and no document says."""

    topic: str
    ask: tuple[str, ...]
    answer: str


@dataclass(frozen=True, slots=True)
class World:
    """All that the generator draws from. `lost`: questions whose passage is not in the handbook as it is now."""

    facts: Mapping[str, Sequence[Fact]]  # by topic, in the order of interactions_facts.toml
    missing: Mapping[str, Sequence[Missing]]
    extras: Mapping[str, Sequence[str]]
    passages: Sequence[Shown]
    lost: int


def load() -> World:
    """Reads interactions_facts.toml and cuts the handbook with the chunker and tokenizer of the index."""
    entries = tomllib.loads((HERE / "interactions_facts.toml").read_text(encoding="utf-8"))
    passages = list(_cut())
    facts: dict[str, list[Fact]] = {topic: [] for topic in entries["extras"]}
    missing: dict[str, list[Missing]] = {topic: [] for topic in entries["extras"]}
    lost = 0
    for entry in entries["fact"]:
        fact = _fact(entry, passages)
        lost += fact is None
        facts[entry["topic"]] += [fact] if fact else []
    for entry in entries["missing"]:
        missing[entry["topic"]].append(Missing(entry["topic"], tuple(entry["ask"]), entry["answer"]))
    return World({topic: found for topic, found in facts.items() if found}, missing, entries["extras"], passages, lost)


def _fact(entry: Mapping, passages: Sequence[Shown]) -> Fact | None:
    doc_id = f"{SOURCE}/{entry['doc']}"
    found = next((one for one in passages if one.doc_id == doc_id and entry["find"] in one.text), None)
    if found is None:
        return None
    fact = Fact(entry["topic"], tuple(entry["ask"]), _quoted(entry["say"], found.text), entry["points"], found)
    return replace(fact, before=_before(fact, entry["was"])) if "was" in entry else fact


def _quoted(say: Sequence[str], text: str) -> tuple[str, ...]:
    """The passage's own statements that say what an answer says: the sample's base quotes, it does not rephrase."""
    held = statements(text)

    def alike(line: str, statement: str) -> float:
        wanted, there = facts.keys(line), facts.keys(statement)
        return len(wanted & there) / len(wanted | there)

    best = dict.fromkeys(max(held, key=lambda one, line=line: alike(line, one), default=line) for line in say)
    return tuple(one for one in best if not any(one != other and one in other for other in best))


def _before(fact: Fact, pairs: Sequence[tuple[str, str]]) -> Fact:
    """The fact as it was: [now, before] replaced in the passage, the answer and the points."""

    def old(text: str) -> str:
        for now, then in pairs:
            text = text.replace(now, then)
        return text

    text = old(fact.passage.text)
    sha = sha256_text(text)
    passage = Shown(chunk_id(fact.passage.doc_id, sha, 0), fact.passage.doc_id, sha, text, old=True)
    points = {old(label): old(value) for label, value in fact.points.items()}
    return Fact(fact.topic, fact.ask, tuple(old(line) for line in fact.say), points, passage)


def _cut() -> Iterator[Shown]:
    tokenizer = load_tokenizer()
    for path, data in sorted(_files().items()):
        document = parsing.parse(path, data)
        if isinstance(document, Document):
            doc_id = f"{SOURCE}/{path}"
            for piece in chunking.chunk(
                doc_id,
                document.title,
                document.text,
                count=tokenizer.count,
                max_tokens=tokenizer.max_tokens,
                outline=document.outline,
            ):
                yield Shown(piece.chunk_id, doc_id, piece.text_sha, piece.text)


def _files() -> dict[str, bytes]:
    """The handbook without the edits of edit_sample.py, whether they were applied or not."""
    folder = HERE / "handbook"
    files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*.md*")}
    edits = edit_sample.load_edits(HERE / "edits")
    plan = edit_sample.make_plan(edits, edit_sample.read_files(edits, folder), undo=True)
    for path, text in plan.writes.items():
        files.pop(path, None)
        if text is not None:
            files[path] = text
    return files
