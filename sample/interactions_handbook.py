"""The world of the demo logs: the handbook's passages as the index has them, and the facts that people ask for."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import edit_sample

from assets.behavior.dataset.passages import passage_of
from assets.fingerprints import chunk_id, sha256_text
from assets.knowledge import chunking, parsing
from assets.ports import Document
from assets.prompting import statements
from orchestration.engines.encoders import load_tokenizer

HERE = Path(__file__).resolve().parent
SOURCE = "handbook"  # the slice's name in twohands.toml, the first part of every doc_id


class BadFact(ValueError):
    """An entry of interactions_facts.toml that is not true to the handbook; the text says which, and what to do."""


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
    """Something that the handbook says. `before` is what it said until the day of the edits, where that differs.

    `answers` has the passage's statement that answers each question of `ask`.
    """

    topic: str
    ask: tuple[str, ...]
    answers: tuple[str, ...]
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
    if len(entry.get("quotes", [])) != len(entry["ask"]):
        raise BadFact(
            f"interactions_facts.toml, fact {entry['ask'][0]!r}: received {len(entry.get('quotes', []))} quotes for "
            f"{len(entry['ask'])} questions. Give one quote for each question of ask, in order."
        )
    fact = _told(entry, found, [])
    return replace(fact, before=_before(entry, fact)) if "was" in entry else fact


def _told(entry: Mapping, passage: Shown, pairs: Sequence[tuple[str, str]]) -> Fact:
    """The fact as a version of its passage tells it: the pairs [now, before] are replaced in all that is quoted."""
    asks, held = tuple(entry["ask"]), statements(passage_of(passage.text, passage.doc_id, passage.text_sha).text)
    answers = [_statement(asks[0], _old(quote, pairs), held) for quote in entry["quotes"]]
    return Fact(entry["topic"], asks, tuple(answers), passage)


def _statement(name: str, quote: str, held: Sequence[str]) -> str:
    """The passage's shortest statement with the quote: the sample's base quotes, it does not rephrase."""
    found = [one for one in held if quote in one]
    if not found:
        raise BadFact(
            f"interactions_facts.toml, fact {name!r}: received the quote {quote!r}, which no statement of the passage "
            f"has. Quote a text of one of these: {' | '.join(held)}"
        )
    return min(found, key=len)


def _before(entry: Mapping, fact: Fact) -> Fact:
    """The fact as it was: [now, before] replaced in the passage and the answers."""
    text = _old(fact.passage.text, entry["was"])
    sha = sha256_text(text)
    passage = Shown(chunk_id(fact.passage.doc_id, sha, 0), fact.passage.doc_id, sha, text, old=True)
    before = _told(entry, passage, entry["was"])
    if before.answers == fact.answers:
        raise BadFact(
            f"interactions_facts.toml, fact {fact.ask[0]!r}: received `was`, which changes the answer to none of its "
            "questions. Ask for what the edits changed, or leave `was` out."
        )
    return before


def _old(text: str, pairs: Sequence[tuple[str, str]]) -> str:
    for now, then in pairs:
        text = text.replace(now, then)
    return text


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
