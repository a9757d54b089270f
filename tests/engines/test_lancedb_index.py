"""What is LanceDB's own: search indexes, housekeeping, damage, the lock. The rest is in tests/contract."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.errors import DiskFull, EngineBusy, EngineError
from assets.ports import IndexSchema, Query
from orchestration.engines import lancedb_search, lancedb_upkeep
from orchestration.engines.lancedb_errors import translated
from orchestration.engines.lancedb_index import LanceIndex
from tests.contract.engines import SCHEMA, generation, passage, publish, vector, vectors
from tests.contract.test_vector_index_faults import running


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def corpus(count: int, start: int = 0):
    return [passage(f"row {number}", f"Row {number} of the corpus. " * 8) for number in range(start, start + count)]


def fill(index: LanceIndex, count: int, dimension: int = 16, seed: int = 1) -> np.ndarray:
    """Publishes `count` rows around 200 centers; returns their vectors."""
    centers = np.random.default_rng(0).standard_normal((200, dimension))
    rng = np.random.default_rng(seed)
    found = centers[rng.integers(0, 200, count)] + 0.5 * rng.standard_normal((count, dimension))
    found = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
    with index.candidate(IndexSchema("encoder-a", dimension)) as candidate:
        candidate.add([passage(f"row {number}", f"Row {number}.") for number in range(count)], found)
        candidate.publish()
    return found


def test_importing_the_engine_does_not_import_lancedb():
    code = "import sys, orchestration.engines.lancedb_index; sys.exit('lancedb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def test_asking_for_the_published_version_creates_nothing(tmp_path):
    assert LanceIndex(str(tmp_path / "index")).published() is None
    assert list(tmp_path.iterdir()) == []


def test_reader_is_opened_anew_when_the_tag_moves_and_only_then(tmp_path):
    index, other = LanceIndex(str(tmp_path / "index")), LanceIndex(str(tmp_path / "index"))
    publish(index, generation(1))
    first = other.published()
    assert other.published() is first
    publish(index, generation(2))
    second = other.published()
    assert (second is not first, second.count()) == (True, len(generation(2)))
    shutil.rmtree(tmp_path / "index")
    assert other.published() is None


@pytest.mark.parametrize("uri", ["db-like", "file://{}/index", "memory://somewhere"])
def test_any_kind_of_uri_works(tmp_path, monkeypatch, uri):
    monkeypatch.chdir(tmp_path)
    index = LanceIndex(uri.format(tmp_path))
    publish(index, generation(1))
    publish(index, generation(2))
    assert index.maintain()["rows"] == 6
    assert {each.text for each in index.published().passages()} == {each.text for each in generation(2)}


def test_describe_hides_credentials(tmp_path):
    index = LanceIndex("s3://user:secret@bucket/index?token=abc")
    assert index.describe()["place"] == "s3://bucket/index"


# ---------------------------------------------------------------------------------------- search indexes

names = st.sampled_from([f"p{number}" for number in range(12)])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.tuples(names, st.integers(0, 2)), min_size=1, max_size=8)),
        st.tuples(st.just("delete"), st.lists(names, min_size=1, max_size=8)),
        st.tuples(st.sampled_from(["publish", "discard", "maintain"]), st.none()),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_search_stays_right_while_indexes_fold_and_retrain_all_the_time(tmp_path_factory, steps):
    """With limits so low that every publish folds, trains and compacts, and `maintain` runs in between."""
    place = str(tmp_path_factory.mktemp("folding") / "index")
    index = LanceIndex(place, ann_threshold=4, fold_rows=2, keep_versions=1, lock_timeout=5)
    model, draft, operations = {}, {}, []
    for kind, values in [*steps, ("publish", None)]:
        if kind == "add":
            batch = [passage(name, f"{name} says {n}.", metadata={"n": str(n)}) for name, n in values]
            operations.append(lambda candidate, batch=batch: candidate.add(batch, vectors(batch)))
            draft |= {each.chunk_id: each for each in batch}
        elif kind == "delete":
            gone = [passage(name).chunk_id for name in values]
            operations.append(lambda candidate, gone=gone: candidate.delete(gone))
            draft = {chunk_id: each for chunk_id, each in draft.items() if chunk_id not in gone}
        elif kind == "maintain":
            index.maintain()
        else:
            with index.candidate(SCHEMA) as candidate:
                for operation in operations:
                    operation(candidate)
                if kind == "publish":
                    candidate.publish()
            model = dict(draft) if kind == "publish" else model
            draft, operations = dict(model), []
        found = index.published()
        if found is not None:
            assert_finds_exactly(found, model)


def assert_finds_exactly(found, model) -> None:
    assert {each.chunk_id: each for each in found.passages()} == model
    by_word = found.search(Query("says", vector("elsewhere"), k=50))
    assert {hit.passage.chunk_id: hit.passage for hit in by_word} == model
    filtered = found.search(Query("", vector("elsewhere"), k=50, where={"n": "1"}))
    assert {hit.passage.chunk_id for hit in filtered} == {i for i, each in model.items() if each.metadata["n"] == "1"}
    for chunk_id, each in model.items():
        nearest = found.search(Query("", vector(each.text), k=1))[0].passage
        assert nearest.chunk_id == chunk_id


def test_neighbors_come_from_an_index_with_high_recall_above_the_threshold(tmp_path):
    """50,000 rows make 12 partitions, of which 8 are looked into: here an approximation can fail."""
    index = LanceIndex(str(tmp_path / "index"), ann_threshold=20_000)
    stored = fill(index, 50_000, dimension=24)
    published = index.published()
    kinds = {each.index_type for each in published._table.list_indices()}
    assert "IvfFlat" in kinds
    assert lancedb_search.probes(50_000) < 50_000 // lancedb_search.PARTITION
    rng = np.random.default_rng(5)
    queries = stored[rng.integers(0, len(stored), 60)] + 0.05 * rng.standard_normal((60, 24)).astype(np.float32)
    found = 0
    for query in queries:
        exact = np.argsort(((stored - query) ** 2).sum(axis=1))[:10]
        expected = {f"Row {number}." for number in exact}
        found += len(expected & {hit.passage.text for hit in published.search(Query("", query, k=10))})
    assert found / 600 >= 0.98
    few = published.search(Query("", queries[0], k=3, where={"slice": "none"}))
    assert few == []


def test_a_selective_filter_is_answered_from_partitions_that_were_not_probed(tmp_path):
    index = LanceIndex(str(tmp_path / "index"), ann_threshold=20_000)
    fill(index, 50_000, dimension=8)
    far = [passage(f"far {n}", f"Far {n}.", slice="far") for n in range(30)]
    schema = IndexSchema("encoder-a", 8)
    with index.candidate(schema) as candidate:
        candidate.add(far, vectors(far, 8))
        candidate.publish()
    index.maintain()
    hits = index.published().search(Query("", np.ones(8, np.float32), k=30, where={"slice": "far"}))
    assert {hit.passage.text for hit in hits} == {each.text for each in far}


def test_full_text_leaves_out_matches_of_common_words(tmp_path):
    """Every passage has the word "err" and only one the number: the others are no evidence, whatever their rank."""
    index = LanceIndex(str(tmp_path / "index"))
    publish(index, [passage(f"coded/{n}", f"Step {n} can fail with ERR-{40400 + n}.") for n in range(60)])
    published = index.published()
    found = lancedb_search._full_text(published._table, "ERR-40417", None, 40)
    assert len(found) == 1


def test_a_small_publish_into_a_large_index_writes_little(tmp_path):
    index = LanceIndex(str(tmp_path / "index"), ann_threshold=10_000)
    fill(index, 20_000)
    before = size(tmp_path)
    publish_some(index, corpus(5, start=90_000))
    assert size(tmp_path) - before < 200_000, "5 rows must not rewrite the files or indexes of 20,000"
    question = Query("90003", vector("elsewhere"), k=3)
    assert any("Row 90003" in hit.passage.text for hit in index.published().search(question))


def test_many_small_publishes_do_not_leave_a_file_each_for_every_search_to_read(tmp_path):
    index = LanceIndex(str(tmp_path / "index"))
    publish_some(index, corpus(100))
    for number in range(2 * lancedb_upkeep.FILES):
        publish_some(index, corpus(1, start=1_000 + number))
    table = index.published()._table
    assert table.stats()["fragment_stats"]["num_fragments"] <= lancedb_upkeep.FILES + 1
    assert index.published().count() == 100 + 2 * lancedb_upkeep.FILES


def publish_some(index: LanceIndex, passages) -> str:
    with index.candidate(SCHEMA) as candidate:
        candidate.add(passages, vectors(passages))
        return candidate.publish()


# ---------------------------------------------------------------------------------------- housekeeping


def test_maintain_folds_everything_and_then_finds_nothing_to_do(tmp_path):
    index = LanceIndex(str(tmp_path / "index"))
    for start in range(0, 60, 20):
        publish_some(index, corpus(20, start))
    first, second = index.maintain(), index.maintain()
    assert first["rows_folded"] > 0
    assert first["versions_removed"] > 0
    assert first["rows"] == 60
    assert second == first | {
        "bytes_before": first["bytes_after"],
        "bytes_after": first["bytes_after"],
        "versions_removed": 0,
        "rows_folded": 0,
    }
    assert lancedb_upkeep.unindexed(index.published()._table) == 0


def test_fifty_publishes_do_not_let_the_folder_grow_without_bound(tmp_path):
    index = LanceIndex(str(tmp_path / "index"))
    publish_some(index, corpus(2_000))
    one = size(tmp_path)
    largest = 0
    for number in range(50):
        changed = [passage(f"row {number * 7 + n}", f"Changed in round {number}, {n}. " * 8) for n in range(5)]
        publish_some(index, changed)
        largest = max(largest, size(tmp_path))
        if number % 10 == 9:
            index.maintain()
    assert largest < 3 * one
    assert size(tmp_path) < 3 * one
    assert index.published().count() == 2_000


def test_replacing_everything_again_and_again_is_cleaned_up(tmp_path):
    index = LanceIndex(str(tmp_path / "index"), keep_versions=2)
    publish_some(index, corpus(1_000))
    index.maintain()
    one = size(tmp_path)
    for number in range(6):
        publish_some(index, [passage(f"row {n}", f"Round {number} row {n}. " * 10) for n in range(1_000)])
        index.maintain()
    assert size(tmp_path) < 4 * one
    assert index.published().count() == 1_000


def test_maintain_removes_what_a_discarded_candidate_left(tmp_path):
    index = LanceIndex(str(tmp_path / "index"), keep_versions=1)
    publish_some(index, corpus(50))
    index.maintain()
    before = size(tmp_path)
    with index.candidate(SCHEMA) as candidate:
        candidate.add(corpus(3_000, start=1_000), vectors(corpus(3_000, start=1_000)))
        assert candidate.count() == 3_050
    assert size(tmp_path) > 3 * before
    time.sleep(0.2)
    index.maintain()
    assert size(tmp_path) < 1.5 * before
    assert index.published().count() == 50


def test_removal_that_would_reach_a_kept_version_is_tried_again_with_a_lower_age(tmp_path, monkeypatch):
    """As on a machine so busy that Lance gets to the removal late: it must not take what readers still hold."""
    index = LanceIndex(str(tmp_path / "index"), keep_versions=3)
    publish(index, generation(0))
    publish(index, generation(1))
    held = index.published()
    time.sleep(0.2)
    publish(index, generation(2))
    monkeypatch.setattr(lancedb_upkeep, "MARGINS", (-0.15, -0.1, 0.01))
    assert index.maintain()["versions_removed"] > 0
    assert held._number in lancedb_upkeep.versions(index._store.open())
    assert len(list(held.passages())) == 6


def test_readers_keep_the_last_versions_and_are_told_when_theirs_is_gone(tmp_path):
    index = LanceIndex(str(tmp_path / "index"), keep_versions=2)
    publish(index, generation(0))
    oldest = index.published()
    publish(index, generation(1))
    held = index.published()
    index.maintain()
    reader = LanceIndex(str(tmp_path / "index"))
    assert len(list(held.passages())) == 6
    assert len(held.search(Query("generation", vector("x"), k=10))) == 6
    assert reader.published().version == held.version
    time.sleep(0.2)
    for number in range(2, 5):
        publish(index, generation(number))
    index.maintain()
    with pytest.raises(EngineBusy, match="no longer kept"):
        list(oldest.passages())


# ---------------------------------------------------------------------------------------- faults


def test_a_busy_index_names_the_process_that_holds_it(tmp_path):
    from tests.contract.engines import ENGINES

    with running(ENGINES["lancedb"], tmp_path, "hold") as worker:
        index = LanceIndex(str(tmp_path / "index"), lock_timeout=0.1)
        with pytest.raises(EngineBusy, match=f"process {worker.pid} on"):
            index.maintain()


@pytest.mark.parametrize(
    ("what", "how"),  # without its tag nothing is published: that is absent, not damaged
    [
        (what, how)
        for what in ("data", "_versions", "tag")
        for how in ("removed", "cut", "overwritten")
        if (what, how) != ("tag", "removed")
    ],
)
def test_a_damaged_folder_is_an_error_that_says_what_to_do(tmp_path, what, how):
    publish(LanceIndex(str(tmp_path / "index")), generation(1))
    table = tmp_path / "index" / "passages.lance"
    for path in [table / "_refs/tags/published.json"] if what == "tag" else list((table / what).iterdir()):
        if how == "removed":
            path.unlink()
        elif how == "cut":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        else:
            path.write_bytes(b"\x00garbage" * (path.stat().st_size // 8 + 1))

    def read() -> None:
        published = LanceIndex(str(tmp_path / "index")).published()
        assert published is not None
        list(published.passages())

    with pytest.raises(EngineError, match="delete it and materialize knowledge/index"):
        read()


def test_a_table_of_another_format_is_refused(tmp_path, monkeypatch):
    index = LanceIndex(str(tmp_path / "index"))
    with monkeypatch.context() as patched:
        patched.setattr("orchestration.engines.lancedb_rows.FORMAT", "99")
        publish(index, generation(1))
    with pytest.raises(EngineError, match="format '99'"):
        index.published()
    with pytest.raises(EngineError, match="Expected: format '1'"), index.candidate(SCHEMA):
        pass


def test_a_full_disk_leaves_what_was_published(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount") or "mount"
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        index = LanceIndex(str(disk / "index"))
        publish(index, generation(1))
        noise = np.random.default_rng(1)
        large = [passage(f"large {n}", noise.bytes(800).hex()) for n in range(4_000)]
        with pytest.raises(DiskFull, match="free space"):
            publish_some(index, large)
        assert {each.text for each in index.published().passages()} == {each.text for each in generation(1)}
        publish(index, generation(2))
        assert {each.text for each in index.published().passages()} == {each.text for each in generation(2)}
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("lance error: LanceError(IO): No space left on device (os error 28)", DiskFull),
        ("Generic S3 error: operation timed out", EngineBusy),
        ("Commit conflict for version 12: please retry", EngineBusy),
        ("Generic S3 error: Client error with status 403 Forbidden", EngineError),
    ],
)
def test_vendor_errors_become_ours(message, kind):
    assert type(translated(RuntimeError(message), "s3://bucket", lambda: False)) is kind
