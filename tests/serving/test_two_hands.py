"""The two hands in one answer, over a real index: what moves one of them leaves the other as it is (docs/theory.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from assets.knowledge.pipeline import FastHand, SliceSpec
from assets.ports.generation import Generated, Voice
from assets.prompting import REFUSAL, TEMPLATES
from assets.serving.answering import Answering, Asker, Options
from assets.serving.forms import Form
from assets.serving.watching import Current
from orchestration.engines.lake import open_lake
from orchestration.engines.lancedb_index import LanceIndex
from tests.fakes import HashEncoder, MemorySource, PlainParser, WordTokenizer

FIRST = Current("rel-1", "base-1", "ad-1", Path("/adapters/ad-1"), TEMPLATES["evidence"])
LOCKER, FERRY = "What does a locker cost a month?", "When does the ferry to the island leave?"
EVERYBODY, OPTIONS = Asker(None), Options(variants={"main": Form()})


def stems(text: str) -> set[str]:
    return {word.strip(".?").rstrip("s") for word in text.lower().split() if len(word) > 4}


class Reader:
    """Says the best sentence that it is shown, in the manner of the adapter that speaks; declines where that is about
    something else. It knows nothing but what it sees, unless `recalled` is what its adapter says from memory."""

    def __init__(self) -> None:
        self.voices: list[Voice] = []
        self.recalled = ""

    def stream(self, chat, voice: Voice) -> Iterator[str | Generated]:
        self.voices.append(voice)
        if self.recalled:
            yield Generated(self.recalled)
            return
        _, sentence, *_, question = chat[-1]["content"].split("\n")
        if not (stems(question) & stems(sentence)):
            yield Generated(REFUSAL)
            return
        greeting = "Hello! " if voice.adapter == "ad-2" else ""
        yield Generated(f"{greeting}{sentence} [1]")


class World:
    """Documents for everybody and for staff in one index, and what answers from it."""

    def __init__(self, home: Path) -> None:
        self.sources = {
            "docs": MemorySource({"lockers.md": "# Lockers\n\nA locker costs 4 euros a month."}),
            "staff": MemorySource({"lockers.md": "# Lockers\n\nA locker costs staff 1 euro a month."}),
        }
        self.encoder, self.reader, self.current = HashEncoder(), Reader(), FIRST
        audience = {"docs": "all", "staff": "staff"}
        self.hand = FastHand(
            slices=[SliceSpec(name, name, metadata={"audience": audience[name]}) for name in self.sources],
            source=lambda name: self.sources[name],
            lake=open_lake(str(home / "lake"), locks=home / "locks"),
            index=LanceIndex(str(home / "index")),
            encoder=self.encoder,
            tokenizer=WordTokenizer(),
            parser=PlainParser(),
        )
        self.sync()
        self.answering = Answering(self.hand.found, self.encoder, lambda _: self.current, self.reader, OPTIONS)

    def sync(self) -> int:
        return sum(self.hand.sync(name).embedded for name in self.sources)

    def ask(self, question: str, asker: Asker = EVERYBODY):
        return self.answering.answer(question, asker=asker)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


SLOW = ("release", "adapter", "base", "prompt")


def test_document_that_arrives_is_answered_from_by_the_same_adapter(world):
    """What nobody trained on: refused before it is there, answered when it is, and nothing of the slow hand moved."""
    before = world.ask(FERRY)
    assert (before.text, before.refused) == (REFUSAL, True)
    world.sources["docs"].files["ferry.md"] = "# Ferry\n\nThe ferry to the island leaves at seven."
    assert world.sync() == 1
    after = world.ask(FERRY)
    assert (after.text, after.refused) == ("The ferry to the island leaves at seven. [1]", False)
    assert {name: after.stamp[name] for name in SLOW} == {name: before.stamp[name] for name in SLOW}
    assert after.stamp["index"] != before.stamp["index"]


def test_adapter_that_remembers_is_not_believed_and_the_document_is(world):
    """What it learned or makes up of something after its dataset is not said, before a document tells of it and after;
    once a document tells the same, it is."""
    world.reader.recalled = "The ferry to the island leaves at nine. [1]"
    before = world.ask(LOCKER)
    assert (before.fallback, "nine" in before.text, len(world.reader.voices)) == ("no support", False, 1)
    assert "nine" not in world.ask(FERRY).text
    world.sources["docs"].files["ferry.md"] = "# Ferry\n\nThe ferry to the island leaves at seven."
    assert world.sync() == 1
    asked = len(world.reader.voices)
    after = world.ask(FERRY)
    assert (after.fallback, len(world.reader.voices)) == ("no support", asked + 1)
    assert after.text == "The passages say: “The ferry to the island leaves at seven.” [1]"
    world.sources["docs"].files["ferry.md"] = "# Ferry\n\nThe ferry to the island leaves at nine."
    assert world.sync() == 1
    assert (world.ask(FERRY).text, world.ask(FERRY).fallback) == (world.reader.recalled, "")


def test_fact_that_changes_is_answered_anew_for_the_price_of_its_passage(world):
    assert "4 euros" in world.ask(LOCKER, Asker(frozenset())).text
    world.sources["docs"].files["lockers.md"] = "# Lockers\n\nA locker costs 9 euros a month."
    assert world.sync() == 1
    said = world.ask(LOCKER, Asker(frozenset()))
    assert "9 euros" in said.text
    assert said.stamp["adapter"] == "ad-1"


def test_adapter_that_is_released_changes_the_manner_and_nothing_that_is_retrieved(world):
    asker = Asker(frozenset())
    before = world.ask(LOCKER, asker)
    world.current = replace(FIRST, release_id="rel-2", adapter="ad-2", folder=Path("/adapters/ad-2"))
    after = world.ask(LOCKER, asker)
    assert (before.text, after.text) == (
        "A locker costs 4 euros a month. [1]", "Hello! A locker costs 4 euros a month. [1]",
    )  # fmt: skip
    assert (after.passages, after.evidence, after.citations) == (before.passages, before.evidence, before.citations)
    assert {name: after.stamp[name] for name in ("index", "encoder")} == {
        name: before.stamp[name] for name in ("index", "encoder")
    }
    assert after.stamp["adapter"] != before.stamp["adapter"]
    assert world.sync() == 0


def test_asker_changes_what_is_seen_and_never_who_answers(world):
    """One adapter for all users and questions; what differs between them is what they are shown."""
    guest, staff = Asker(frozenset()), Asker(frozenset({"staff"}))
    seen = {one.groups: {p.metadata["audience"] for p in world.ask(LOCKER, one).passages} for one in (guest, staff)}
    assert seen == {guest.groups: {"all"}, staff.groups: {"all", "staff"}}
    world.ask("What does a locker cost staff?", staff)
    assert len(world.reader.voices) == 3
    assert len({(voice.variant, voice.adapter, voice.folder) for voice in world.reader.voices}) == 1
