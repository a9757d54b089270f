"""The fast hand over LanceDB with a stand-in encoder: what it pays for, and what it never loses."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from assets.errors import EngineError, SourceBusy, SourceError
from assets.knowledge import chunks, documents
from assets.knowledge.gate import Golden
from assets.knowledge.pipeline import FastHand, Options, SliceSpec
from assets.knowledge.publish import IndexRefused
from assets.ports import SourceFile
from orchestration.engines.corpus_history import LakeHistory
from orchestration.engines.lake import open_lake
from orchestration.engines.lancedb_index import LanceIndex
from tests.fakes import HashEncoder, MemorySource, PlainParser, WordTokenizer

PAGE = "# {title}\n\n{body}\n\n## Details\n\nThe details of {title} are here.\n"


def page(title: str, body: str = "A few words.") -> str:
    return PAGE.format(title=title, body=body)


class World:
    """A fast hand with its parts at hand."""

    def __init__(self, home, slices=("docs",), golden=(), encoder=None, sources=None, metadata=None, parser=None):
        self.home = home
        self.sources = sources or {name: MemorySource() for name in slices}
        self.encoder = encoder or HashEncoder()
        self.parser = parser or PlainParser()
        self.golden = list(golden)
        self.hand = FastHand(
            slices=[SliceSpec(name, name, metadata=metadata or {}) for name in slices],
            source=lambda name: self.sources[name],
            lake=open_lake(str(home / "lake"), locks=home / "locks"),
            index=LanceIndex(str(home / "index")),
            encoder=self.encoder,
            tokenizer=WordTokenizer(),
            parser=self.parser,
            golden=lambda: self.golden,
            options=Options(),
        )

    @property
    def files(self):
        return self.sources["docs"].files

    def sync(self, slice="docs", **options):
        return self.hand.sync(slice, **options)

    def published(self, slice=None):
        return sorted((p.doc_id, p.text) for p in self.hand.vector_index.published().passages(slice))

    def reopened(self, **changes):
        """The same state in a new process's eyes."""
        arguments = {"slices": tuple(self.sources), "golden": self.golden, "sources": self.sources} | changes
        return World(self.home, **arguments)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    made.files.update({f"{name}.md": page(name) for name in ("alpha", "bravo", "charlie")})
    made.sync()
    return made


def test_first_sync_publishes_every_document(world):
    assert {doc for doc, _ in world.published()} == {"docs/alpha.md", "docs/bravo.md", "docs/charlie.md"}
    assert len(world.published()) == 6


def test_sync_without_a_change_reads_and_publishes_nothing(world):
    world.sources["docs"].reads.clear()
    before = world.hand.vector_index.published().version
    report = world.sync()
    assert (report.embedded, report.documents.parsed, report.documents.unchanged) == (0, 0, 3)
    assert world.sources["docs"].reads == []
    assert report.index.version == before
    assert not report.index.changed


def test_an_edit_pays_for_its_own_passage(world):
    world.files["bravo.md"] = page("bravo", "Other words.")
    report = world.sync()
    assert (report.embedded, len(report.index.plan.added), len(report.index.plan.deleted)) == (1, 1, 1)
    assert ("docs/bravo.md", "bravo\n\nOther words.") in world.published()


def test_rename_embeds_nothing_and_counts_as_moved(world):
    world.files["renamed.md"] = world.files.pop("bravo.md")
    report = world.sync()
    assert (report.embedded, len(report.index.plan.moved), len(report.index.plan.deleted)) == (0, 2, 0)
    assert {doc for doc, _ in world.published()} == {"docs/alpha.md", "docs/renamed.md", "docs/charlie.md"}


def test_revert_embeds_nothing(world):
    before = world.published()
    world.files["bravo.md"] = page("bravo", "Other words.")
    world.sync()
    world.files["bravo.md"] = page("bravo")
    assert world.sync().embedded == 0
    assert world.published() == before


def test_delete_removes_every_passage_of_the_document(world):
    del world.files["alpha.md"]
    report = world.sync()
    assert len(report.index.plan.deleted) == 2
    assert {doc for doc, _ in world.published()} == {"docs/bravo.md", "docs/charlie.md"}


def test_document_that_yields_no_passage_is_named_and_ends_its_former_ones(world):
    hand, began = world.hand, time.time()
    corpus = LakeHistory(hand.lake, ["docs"])
    assert corpus.as_of(datetime.now(UTC)).current("docs/alpha.md")
    world.files["alpha.md"], world.files["delta.md"] = "---\n", "***\n"
    report = world.sync()
    assert report.chunks.empty == ("docs/alpha.md", "docs/delta.md")
    assert {doc for doc, _ in world.published()} == {"docs/bravo.md", "docs/charlie.md"}
    why = {"reason": "no_text", "detail": "accepted, but it has no text to cut"}
    assert hand.rejected() == [{"doc_id": f"docs/{name}.md", **why} for name in ("alpha", "delta")]
    assert LakeHistory(hand.lake, ["docs"]).as_of(datetime.now(UTC)).current("docs/alpha.md") is None
    records = chunks.open_records(hand.lake, "docs")
    log = [row for table in records.log(["chunk_id"]) for row in table.to_pylist()]
    assert sorted(row["doc_id"] for row in log if not row["chunk_id"]) == ["docs/alpha.md", "docs/delta.md"]
    assert chunks.needed_since(records, time.time() + 1) == set(chunks.texts(records, records.state()))
    assert len(chunks.needed_since(records, began - 60)) > len(chunks.texts(records, records.state()))
    assert world.sync().index.changed is False
    world.files["alpha.md"], world.files["delta.md"] = page("alpha"), page("delta")
    assert world.sync().chunks.empty == ()
    assert hand.rejected() == []
    assert "docs/alpha.md" in {doc for doc, _ in world.published()}


def test_refused_new_version_keeps_the_last_good_one(world):
    world.files["alpha.md"] = "REFUSE this"
    report = world.sync()
    assert report.documents.rejected == 1
    assert "docs/alpha.md" in {doc for doc, _ in world.published()}
    assert world.hand.rejected() == [{"doc_id": "docs/alpha.md", "reason": "corrupt", "detail": "it says so"}]
    del world.files["alpha.md"]
    assert world.sync().documents.rejected == 0
    assert "docs/alpha.md" not in {doc for doc, _ in world.published()}


def test_refused_file_that_is_mended_is_accepted(world):
    world.files["delta.md"] = ""
    world.sync()
    world.files["delta.md"] = page("delta")
    world.sync()
    assert world.hand.rejected() == []
    assert "docs/delta.md" in {doc for doc, _ in world.published()}


class _Busy(MemorySource):
    busy: str | None = None

    def read(self, file: SourceFile) -> bytes:
        if file.path == self.busy:
            raise SourceBusy("it changed while it was read")
        return super().read(file)


def test_file_that_changes_while_it_is_read_waits_for_the_next_sync(tmp_path):
    source = _Busy({"a.md": page("a"), "b.md": page("b")})
    world = World(tmp_path, sources={"docs": source})
    world.sync()
    source.files.update({"a.md": page("a", "new a"), "b.md": page("b", "new b")})
    source.busy = "a.md"
    report = world.sync()
    assert report.documents.waiting == 1
    assert ("docs/a.md", "a\n\nA few words.") in world.published()
    assert ("docs/b.md", "b\n\nnew b") in world.published()
    source.busy = None
    world.sync()
    assert ("docs/a.md", "a\n\nnew a") in world.published()


def test_full_sync_reads_everything_and_embeds_nothing(world):
    world.sources["docs"].reads.clear()
    report = world.sync(full=True)
    assert len(world.sources["docs"].reads) == 3
    assert (report.embedded, report.index.changed) == (0, False)


def test_another_encoder_rebuilds_side_by_side_and_back_embeds_nothing(world):
    other = world.reopened(encoder=HashEncoder("another", dimension=32))
    report = other.sync()
    assert report.index.rebuilt
    assert report.embedded == 6
    assert other.hand.vector_index.published().schema.encoder == "another"
    back = world.reopened()
    assert back.sync().embedded == 0
    assert back.hand.vector_index.published().schema.encoder == "hash-encoder"
    assert len(back.published()) == 6


def test_rebuild_for_another_encoder_takes_every_slice_along(tmp_path):
    world = World(tmp_path, slices=("docs", "notes"))
    world.files["a.md"] = page("a")
    world.sources["notes"].files["b.md"] = page("b")
    world.sync("docs")
    world.sync("notes")
    other = world.reopened(encoder=HashEncoder("another"))
    other.sync("docs")
    assert {doc for doc, _ in other.published()} == {"docs/a.md", "notes/b.md"}
    assert not other.sync("notes").index.changed


def test_index_deleted_underneath_is_rebuilt_without_embedding(world):
    before = world.published()
    shutil.rmtree(world.home / "index")
    again = world.reopened()
    report = again.sync()
    assert (report.embedded, len(report.index.plan.added)) == (0, 6)
    assert again.published() == before


def test_passage_removed_from_the_index_comes_back_at_the_next_sync(world):
    victim = next(iter(world.hand.vector_index.published().keys()))
    with world.hand.vector_index.candidate(world.hand.vector_index.published().schema) as candidate:
        candidate.delete([victim])
        candidate.publish()
    world.sync()
    assert victim in set(world.hand.vector_index.published().keys())


def test_lake_state_lost_is_rebuilt_from_the_source(world):
    before = world.published()
    shutil.rmtree(world.home / "lake")
    again = world.reopened()
    report = again.sync()
    assert again.published() == before
    assert report.documents.parsed == 3


def test_source_metadata_wins_over_the_documents_and_moves_passages(world):
    other = world.reopened(metadata={"audience": "staff"})
    report = other.sync()
    assert (report.embedded, len(report.index.plan.moved)) == (0, 6)
    assert all(p.metadata["audience"] == "staff" for p in other.hand.vector_index.published().passages())


def test_source_does_not_publish_what_a_document_keeps_to_a_group(world):
    class OfTheBoard(PlainParser):
        def parse(self, files):
            for path, found in super().parse(files):
                yield path, replace(found, metadata={"audience": "board"})

    world.files["plans.md"] = page("plans")
    other = world.reopened(metadata={"audience": "all"}, parser=OfTheBoard())
    other.sync()
    held = {p.doc_id: p.metadata["audience"] for p in other.hand.vector_index.published().passages()}
    assert held.pop("docs/plans.md") == "board"
    assert set(held.values()) == {"all"}
    closed = world.reopened(metadata={"audience": "staff"})
    assert closed.sync().embedded == 0
    assert {p.doc_id: p.metadata.get("audience") for p in closed.hand.vector_index.published().passages()} == {
        "docs/plans.md": None, **dict.fromkeys(held, "staff"),
    }  # fmt: skip


def test_slice_that_is_no_longer_configured_leaves_the_index(tmp_path):
    world = World(tmp_path, slices=("docs", "notes"))
    world.files["a.md"] = page("a")
    world.sources["notes"].files["b.md"] = page("b")
    world.sync("docs")
    world.sync("notes")
    alone = world.reopened(slices=("docs",))
    alone.sync("docs")
    assert {doc for doc, _ in alone.published()} == {"docs/a.md"}


def test_plan_tells_what_sync_then_does(world):
    world.files["bravo.md"] = page("bravo", "Other words.")
    world.files["delta.md"] = page("delta")
    before = world.published()
    foretold = world.hand.plan("docs")
    assert world.published() == before
    assert documents.open_records(world.hand.lake, "docs").state().rows.keys() == {"alpha.md", "bravo.md", "charlie.md"}
    report = world.sync()
    assert foretold.plan == report.index.plan
    assert foretold.embed == report.embedded == 3


GOLDEN = [Golden(f"details of {name}", doc_id=f"docs/{name}.md") for name in ("alpha", "bravo", "charlie")]


def test_failed_gate_leaves_the_last_version_published(tmp_path):
    world = World(tmp_path, golden=GOLDEN)
    world.files.update({f"{name}.md": page(name) for name in ("alpha", "bravo", "charlie")})
    world.sync()
    before = world.hand.vector_index.published().version, world.published()
    world.files["alpha.md"] = "# nothing\n\nto see."
    with pytest.raises(IndexRefused) as refused:
        world.sync()
    failed = [check.name for check in refused.value.report.checks if not check.passed]
    assert failed == ["retrieval_gate"]
    assert (world.hand.vector_index.published().version, world.published()) == before
    world.files["alpha.md"] = page("alpha", "Again.")
    assert world.sync().index.changed
    assert ("docs/alpha.md", "alpha\n\nAgain.") in world.published()


def test_refused_slice_does_not_hold_up_another(tmp_path):
    world = World(tmp_path, slices=("docs", "notes"), golden=GOLDEN)
    world.files.update({f"{name}.md": page(name) for name in ("alpha", "bravo", "charlie")})
    world.sync("docs")
    world.files["alpha.md"] = "# nothing\n\nto see."
    with pytest.raises(IndexRefused):
        world.sync("docs")
    world.sources["notes"].files["b.md"] = page("b")
    world.sync("notes")
    texts = world.published()
    assert ("docs/alpha.md", "alpha\n\nA few words.") in texts
    assert ("docs/alpha.md", "nothing\n\nto see.") not in texts
    assert "notes/b.md" in {doc for doc, _ in texts}


def test_index_made_by_another_encoder_with_the_same_name_is_refused(world):
    world.files["alpha.md"] = page("alpha", "New words for alpha.")
    lying = HashEncoder("hash-encoder")
    lying.encode = lambda texts: -world.encoder.encode(texts)
    shutil.rmtree(world.home / "lake" / "knowledge" / "vectors")
    again = world.reopened(encoder=lying)
    again.hand.embeddings("docs")
    shutil.rmtree(world.home / "lake" / "knowledge" / "docs")
    with pytest.raises(IndexRefused, match="encoder_matches_index"):
        again.sync()


def test_maintenance_keeps_what_is_needed(world):
    world.files["bravo.md"] = page("bravo", "Other words.")
    world.sync()
    world.hand.maintain()
    world.files["bravo.md"] = page("bravo")
    assert world.sync().embedded == 0
    world.hand.options = Options(keep_days=-1)
    assert world.hand.maintain()["vectors_dropped"] == 1
    assert world.sync(full=True).embedded == 0


def test_search_finds_what_was_just_published(world):
    world.files["zulu.md"] = page("zulu", "The zeppelin hangar opens at noon.")
    world.sync()
    assert world.hand.search(["zeppelin hangar"], k=1)[0][0].passage.doc_id == "docs/zulu.md"


def test_source_that_is_suddenly_empty_deletes_nothing(tmp_path):
    world = World(tmp_path)
    world.files.update({f"{number}.md": page(str(number)) for number in range(11)})
    world.sync()
    before = world.published()
    world.files.clear()
    with pytest.raises(SourceError, match=r"sources\.docs\.may_be_empty"):
        world.sync()
    assert world.published() == before


class Sharded(World):
    """One source in a number of shards."""

    def __init__(self, home, shards, files):
        super().__init__(home, sources={"docs": MemorySource(files)})
        names = [f"docs-{number:02d}" for number in range(shards)]
        self.hand.slices = {name: SliceSpec(name, "docs", number, shards) for number, name in enumerate(names)}

    def documents(self):
        return {doc for doc, _ in self.published()}


@pytest.mark.parametrize(("before", "after", "reverse"), [(3, 2, False), (4, 3, True), (4, 8, True), (2, 5, False)])
def test_another_number_of_shards_loses_no_document_at_any_moment(tmp_path, before, after, reverse):
    files = {f"{number}.md": page(str(number)) for number in range(24)}
    first = Sharded(tmp_path, before, files)
    for name in first.hand.slices:
        first.sync(name)
    whole = first.documents()
    assert len(whole) == 24
    second = Sharded(tmp_path, after, files)
    for name in sorted(second.hand.slices, reverse=reverse):
        assert second.sync(name).embedded == 0
        assert second.documents() == whole
    assert {p.slice for p in second.hand.vector_index.published().passages()} <= set(second.hand.slices)


def test_emptied_source_is_refused_over_all_of_its_shards(tmp_path):
    world = Sharded(tmp_path, 4, {f"{number}.md": page(str(number)) for number in range(24)})
    for name in world.hand.slices:
        world.sync(name)
    world.files.clear()
    with pytest.raises(SourceError, match="it had 24 documents"):
        world.sync("docs-00")
    assert len(world.documents()) == 24


def test_publish_takes_the_newest_chunks_when_it_has_waited_for_the_lock(world):
    world.files["alpha.md"] = page("alpha", "Middle.")
    world.hand.documents("docs")
    world.hand.chunks("docs")
    stale = world.hand._target("docs")
    world.files["alpha.md"] = page("alpha", "Newest.")
    world.sync()
    world.hand._publisher(world.hand.encoder).publish(stale)
    assert ("docs/alpha.md", "alpha\n\nNewest.") in world.published()


def test_orphans_of_a_slice_nobody_remembers_are_removed(tmp_path):
    world = World(tmp_path, slices=("docs", "notes"))
    world.files["a.md"] = page("a")
    world.sources["notes"].files["b.md"] = page("b")
    world.sync("docs")
    world.sync("notes")
    shutil.rmtree(world.home / "lake" / "knowledge" / "versions")
    alone = world.reopened(slices=("docs",))
    alone.sync("docs", full=True)
    assert {doc for doc, _ in alone.published()} == {"docs/a.md"}


def test_search_with_another_encoder_is_refused(world):
    with pytest.raises(EngineError, match="made by another encoder"):
        world.reopened(encoder=HashEncoder("another")).hand.search(["anything"])


def test_vectors_of_a_former_encoder_are_collected_after_their_time(world):
    other = world.reopened(encoder=HashEncoder("another"))
    other.sync()
    other.hand.maintain()
    assert world.reopened().sync().embedded == 0
    other = world.reopened(encoder=HashEncoder("another"))
    other.sync()
    other.hand.options = Options(keep_days=-1)
    other.hand.maintain()
    assert other.sync(full=True).embedded == 0
    assert world.reopened().sync().embedded == 6


def test_small_source_may_be_emptied(world):
    world.files.clear()
    assert len(world.sync().index.plan.deleted) == 6
    assert world.published() == []


def test_search_before_anything_is_published_finds_nothing(tmp_path):
    assert World(tmp_path).hand.search(["anything"]) == [[]]
