"""What the fast hand tells of its encoder's time: once for each run that embedded anything, whatever became of it."""

from __future__ import annotations

import time

import pytest

from assets.errors import CorruptState, EngineError
from assets.knowledge import vectors
from assets.knowledge.gate import Golden
from assets.knowledge.publish import IndexRefused
from tests.fakes import HashEncoder
from tests.knowledge.test_pipeline import GOLDEN, World, page

NAP = 0.03


class SlowEncoder(HashEncoder):
    """Takes a while for every batch, and fails at the batch that `fails_at` names."""

    fails_at: int | None = None
    batches = 0

    def encode(self, texts):
        self.batches += 1
        time.sleep(NAP)
        if self.batches == self.fails_at:
            raise EngineError("out of memory")
        return super().encode(texts)


class Told(list):
    """Keeps what it is told."""

    def __call__(self, by: str, seconds: float) -> None:
        self.append((by, seconds))


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path, encoder=SlowEncoder())
    made.told = made.hand._spent = Told()
    made.files.update({f"{name}.md": page(name) for name in ("alpha", "bravo", "charlie")})
    return made


def test_sync_tells_the_encoders_time_once_and_not_its_own(world):
    read = world.sources["docs"].read

    def slowly(file):
        time.sleep(10 * NAP)
        return read(file)

    world.sources["docs"].read = slowly
    world.sync()
    [(by, seconds)] = world.told
    assert by == "knowledge/sync:docs"
    assert NAP <= seconds < 10 * NAP


def test_runs_that_embed_nothing_tell_nothing(world):
    world.sync()
    world.told.clear()
    world.sync(full=True)
    world.files["renamed.md"] = world.files.pop("alpha.md")
    world.sync()
    assert world.told == []


def test_each_stage_tells_what_it_used_itself(world):
    world.golden.append(Golden("alpha?", "docs/alpha.md"))
    for stage in (world.hand.documents, world.hand.chunks, world.hand.embeddings, world.hand.index):
        stage("docs")
    assert [by for by, _ in world.told] == ["knowledge/embeddings:docs", "knowledge/index:docs"]
    assert world.told[0][1] >= NAP


def test_sync_that_fails_halfway_tells_what_it_used(world, monkeypatch):
    monkeypatch.setattr(vectors, "BATCH", 2)
    world.encoder.fails_at = 3
    with pytest.raises(EngineError, match="out of memory"):
        world.sync()
    [(_, seconds)] = world.told
    assert 3 * NAP <= seconds < 10 * NAP
    world.sync()
    assert len(world.told) == 2  # and the rest, once more


def test_failing_before_the_first_vector_tells_nothing(world):
    world.encoder.fails_at = 1
    with pytest.raises(EngineError):
        world.sync()
    assert world.told == []


def test_refused_publication_is_paid_for_all_the_same(world):
    world.golden.extend(GOLDEN)
    world.sync()
    world.told.clear()
    world.files["alpha.md"] = "# nothing\n\nto see."
    with pytest.raises(IndexRefused):
        world.sync()
    assert len(world.told) == 1


def test_books_that_cannot_be_kept_hide_no_failure(world, monkeypatch):
    def damaged(by, seconds):
        raise CorruptState("the ledger is damaged")

    world.hand._spent = damaged
    monkeypatch.setattr(vectors, "BATCH", 2)
    world.encoder.fails_at = 3
    with pytest.raises(EngineError, match="out of memory") as failure:
        world.sync()
    assert "the ledger is damaged" in failure.value.__notes__[0]


def test_books_that_cannot_be_kept_are_said_so_after_publishing(world):
    def damaged(by, seconds):
        raise CorruptState("the ledger is damaged")

    world.hand._spent = damaged
    with pytest.raises(CorruptState):
        world.sync()
    assert len(world.published()) == 6
