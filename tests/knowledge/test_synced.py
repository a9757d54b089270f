"""When a slice was last synced: the last look at its source whose findings are published."""

from __future__ import annotations

import pytest

from assets.errors import SourceError
from assets.knowledge import history
from assets.knowledge.publish import IndexRefused
from assets.ports import Listing
from orchestration.cli_views import status_text
from orchestration.overview import overview
from tests.knowledge.test_pipeline import GOLDEN, World, page


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path, slices=("docs", "notes"), golden=GOLDEN)
    made.files.update({f"{name}.md": page(name) for name in ("alpha", "bravo", "charlie")})
    made.sync()
    return made


def synced(world, slice="docs") -> float | None:
    return history.load_synced(world.hand.lake, slice)


def test_look_that_finds_nothing_to_do_is_a_sync_of_its_slice_alone(world):
    first = synced(world)
    assert not world.sync().index.changed
    assert synced(world) > first
    assert synced(world, "notes") is None


def test_stage_by_stage_it_counts_from_the_look_and_only_when_that_is_published(world):
    first = synced(world)
    world.hand.documents("docs")
    looked = history.load_look(world.hand.lake, "docs")
    assert synced(world) == first < looked
    world.hand.chunks("docs")
    world.hand.embeddings("docs")
    world.hand.index("docs")
    assert synced(world) == looked
    world.hand.index("docs")  # published once more, and looked at no more than before
    assert synced(world) == looked


def test_source_that_cannot_be_listed_and_version_that_is_refused_are_no_sync(world, monkeypatch):
    first = synced(world)
    with monkeypatch.context() as patch:
        patch.setattr(type(world.sources["docs"]), "list", failing)
        with pytest.raises(SourceError):
            world.sync()
    assert synced(world) == first
    world.files["alpha.md"] = "# nothing\n\nto see."
    with pytest.raises(IndexRefused):
        world.sync()
    assert synced(world) == first


def test_plan_is_no_look(world):
    looked = history.load_look(world.hand.lake, "docs")
    world.hand.plan("docs")
    assert history.load_look(world.hand.lake, "docs") == looked


def test_status_says_when_and_names_the_last_change_where_that_is_all_it_knows(world):
    docs, notes = overview(world.hand)["slices"]
    assert docs["synced"]
    assert docs["changed"]
    assert (notes["synced"], notes["changed"]) == (None, None)
    line, other = status_text(overview(world.hand)).splitlines()[-2:]
    assert "up to date, last synced 0 seconds ago" in line.replace(" 1 ", " 0 ").replace(" 2 ", " 0 ")
    assert "last" not in other
    world.hand.lake.remove(["knowledge/docs/synced.json"])  # a home from before this was noted
    line = status_text(overview(world.hand)).splitlines()[-2]
    assert "last synced" not in line
    assert "up to date, last changed" in line


def failing(_) -> Listing:
    raise SourceError("no such folder")
