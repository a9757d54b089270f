"""What every index engine must do: versions, keys and passages. Search and faults are in the files beside this one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.errors import EngineError
from assets.knowledge.passages import key
from assets.ports import IndexSchema, Query, VectorIndex
from tests.contract.engines import (
    OTHER_SCHEMA,
    SCHEMA,
    Engine,
    generation,
    passage,
    publish,
    vector,
    vectors,
)


def published(index: VectorIndex):
    found = index.published()
    assert found is not None
    return found


def texts(index: VectorIndex) -> set[str]:
    return {each.text for each in published(index).passages()}


# ------------------------------------------------------------------------------------------------ publishing


def test_published_is_none_before_the_first_publish(index):
    assert index.published() is None
    with index.candidate(SCHEMA) as candidate:
        assert candidate.rebuilt
        candidate.add([passage("a")], vectors([passage("a")]))
        assert candidate.count() == 1
    assert index.published() is None


def test_get_gives_whole_passages_of_the_ids_that_exist(index):
    publish(index, [passage("a", metadata={"audience": "it's"}), passage("b")])
    wanted = passage("a", metadata={"audience": "it's"})
    assert published(index).get([wanted.chunk_id, passage("c").chunk_id]) == {wanted.chunk_id: wanted}
    assert published(index).get([]) == {}


def test_publish_makes_the_candidate_visible_under_the_name_it_returns(index):
    name = publish(index, [passage("a"), passage("b")])
    found = published(index)
    assert found.version == name
    assert found.schema == SCHEMA
    assert set(found.keys()) == {passage("a").chunk_id, passage("b").chunk_id}


def test_candidate_starts_as_published_and_stays_invisible_until_publish(index):
    publish(index, [passage("a")])
    with index.candidate(SCHEMA) as candidate:
        assert not candidate.rebuilt
        assert candidate.keys() == published(index).keys()
        candidate.add([passage("b")], vectors([passage("b")]))
        candidate.delete([passage("a").chunk_id])
        assert set(candidate.keys()) == {passage("b").chunk_id}
        assert [hit.passage.chunk_id for hit in candidate.search(Query("", vector("x")))] == [passage("b").chunk_id]
        assert texts(index) == {passage("a").text}
        candidate.publish()
        assert texts(index) == {passage("b").text}
        assert candidate.count() == 1, "a candidate can still be read after it was published"


@pytest.mark.parametrize("way", ["leave", "raise"])
def test_candidate_that_is_not_published_is_discarded(index, way):
    name = publish(index, [passage("a")])

    def change() -> None:
        with index.candidate(SCHEMA) as candidate:
            candidate.add(generation(1), vectors(generation(1)))
            candidate.delete([passage("a").chunk_id])
            assert candidate.count() == 6
            if way == "raise":
                raise KeyError("the body's own error")

    if way == "raise":
        with pytest.raises(KeyError, match="the body's own error"):
            change()
    else:
        change()
    assert published(index).version == name
    assert texts(index) == {passage("a").text}
    with index.candidate(SCHEMA) as candidate:
        assert set(candidate.keys()) == {passage("a").chunk_id}, "the next candidate starts from what is published"


def test_closed_candidate_refuses_changes(index):
    with index.candidate(SCHEMA) as candidate:
        candidate.publish()
        with pytest.raises(EngineError):
            candidate.add([passage("a")], vectors([passage("a")]))
    with pytest.raises(EngineError):
        candidate.delete(["a"])
    with pytest.raises(EngineError):
        candidate.publish()


def test_another_schema_is_rebuilt_beside_the_published_version(index):
    publish(index, [passage("a"), passage("b")])
    for schema in (OTHER_SCHEMA, IndexSchema("encoder-c", SCHEMA.dimension)):
        with index.candidate(schema) as candidate:
            assert candidate.rebuilt
            assert candidate.count() == 0
            candidate.add([passage("c")], vectors([passage("c")], schema.dimension))
            assert candidate.search(Query("called", vector("x", schema.dimension)))
            assert published(index).schema == SCHEMA
            assert len(published(index).search(Query("called", vector("x")))) == 2
        assert published(index).schema == SCHEMA, "a discarded rebuild changes nothing"
    before = published(index).version
    after = publish(index, [passage("c")], OTHER_SCHEMA)
    assert (published(index).version, published(index).schema) == (after, OTHER_SCHEMA)
    assert after != before
    assert texts(index) == {passage("c").text}
    assert published(index).vectors([passage("c").chunk_id])[passage("c").chunk_id].shape == (24,)


def test_version_is_never_used_twice(engine: Engine, place):
    names: list[str] = []
    for _ in range(2):  # the second time after the index was deleted
        index = engine.open(place, 5)
        names += [publish(index, [passage("a")]), publish(index, [passage("a")])]
        with index.candidate(SCHEMA) as candidate:
            candidate.add(generation(1), vectors(generation(1)))
        names += [publish(index, []), publish(index, [passage("a")], OTHER_SCHEMA)]
        engine.destroy(place)
    assert len(set(names)) == len(names)


def test_maintain_keeps_version_and_passages(index):
    assert index.maintain() is not None, "also where nothing was published yet"
    for number in range(5):
        publish(index, [*generation(number), passage("kept")])
    before = published(index)
    expected = (before.version, before.keys())
    counts = index.maintain()
    assert all(isinstance(value, int) for value in counts.values())
    assert (published(index).version, published(index).keys()) == expected
    assert publish(index, generation(9)) != expected[0]
    assert texts(index) == {each.text for each in generation(9)}


def test_held_version_stays_as_it_was(engine: Engine, index):
    if not engine.snapshots:
        pytest.skip(f"{engine.name} changes the published version in place")
    publish(index, [passage("a")])
    held = published(index)
    publish(index, [passage("b")])
    assert [each.text for each in held.passages()] == [passage("a").text]
    assert [hit.passage.text for hit in held.search(Query("passage", vector("x")))] == [passage("a").text]


def test_describe_names_the_engine_and_no_secret(engine: Engine, index):
    facts = index.describe()
    assert facts["engine"] == engine.name
    assert all(isinstance(value, str) for value in facts.values())
    assert "version" in facts


# ------------------------------------------------------------------------------------------------ changes


def test_add_and_delete_are_idempotent(index):
    with index.candidate(SCHEMA) as candidate:
        for _ in range(2):
            candidate.add([passage("a"), passage("b")], vectors([passage("a"), passage("b")]))
            assert candidate.count() == 2
        for _ in range(2):
            candidate.delete([passage("a").chunk_id, passage("never there").chunk_id])
            assert candidate.count() == 1
        candidate.publish()
    assert texts(index) == {passage("b").text}


def test_add_replaces_by_chunk_id_and_the_last_one_wins(index):
    first, second, third = (passage("a", f"Text number {number}.") for number in range(3))
    publish(index, [first])
    with index.candidate(SCHEMA) as candidate:
        both = [second, passage("b"), third]
        candidate.add(both, vectors(both))
        candidate.publish()
    assert texts(index) == {third.text, passage("b").text}
    stored = published(index).vectors([first.chunk_id])[first.chunk_id]
    assert np.allclose(stored, vector(third.text), atol=1e-6)
    hits = published(index).search(Query("number", vector("x"), k=10))
    assert sorted(hit.passage.text for hit in hits) == sorted([third.text, passage("b").text])


def test_delete_then_add_in_one_candidate_keeps_the_passage(index):
    publish(index, [passage("a")])
    with index.candidate(SCHEMA) as candidate:
        candidate.delete([passage("a").chunk_id])
        candidate.add([passage("a", "New text.")], vectors([passage("a", "New text.")]))
        candidate.publish()
    assert texts(index) == {"New text."}


def test_delete_removes_more_than_ten_thousand_rows(index):
    many = [passage(f"many/{number}", f"Row {number}.", metadata={"n": str(number)}) for number in range(10_050)]
    numbers = np.random.default_rng(1).standard_normal((len(many), SCHEMA.dimension)).astype(np.float32)
    with index.candidate(SCHEMA) as candidate:
        candidate.add(many, numbers / np.linalg.norm(numbers, axis=1, keepdims=True))
        candidate.publish()
    assert published(index).count() == len(many)
    with index.candidate(SCHEMA) as candidate:
        candidate.delete([each.chunk_id for each in many[3:]])
        candidate.publish()
    assert texts(index) == {each.text for each in many[:3]}


def test_everything_can_be_deleted_and_published_again(index):
    publish(index, generation(1))
    publish(index, [])
    assert published(index).count() == 0
    assert published(index).keys() == {}
    assert published(index).search(Query("generation", vector("x"))) == []
    publish(index, generation(2))
    assert texts(index) == {each.text for each in generation(2)}
    assert len(published(index).search(Query("generation", vector("x"), k=10))) == 6


@pytest.mark.parametrize(
    "wrong",
    [np.ones((1, 17)), np.ones((2, 16)), np.ones(16), np.full((1, 16), np.nan), np.full((1, 16), np.inf)],
    ids=["dimension", "rows", "flat", "nan", "inf"],
)
def test_wrong_vectors_are_refused_and_nothing_is_added(index, wrong):
    with index.candidate(SCHEMA) as candidate:
        with pytest.raises(EngineError, match=r"[Vv]ector"):
            candidate.add([passage("a")], wrong.astype(np.float32))
        assert candidate.count() == 0
        candidate.add([passage("b")], vectors([passage("b")]))
        candidate.publish()
    assert texts(index) == {passage("b").text}


# ------------------------------------------------------------------------------------------------ round trips

ODD = [
    passage("plain"),
    passage("empty", metadata={}, headings=(), title=""),
    passage("unicode", "Zürich 東京 🦀 עברית \u202e é", title="Ünïcode '\"\\", headings=("a\u00a0b", "", "日本語")),
    passage("quotes", "It's \"quoted\" \\ 'twice'' ; -- DROP TABLE passages", doc='docs/it\'s "a".md'),
    passage("lines", "one\n\ntwo\r\n\tthree   four "),
    passage("long", "word " * 40_000),
    passage("metadata", metadata={"a=b": "c", "a": "b=c", "quote'": "\"'\\", "": "", "空": "値", "space key": " "}),
    passage("other slice", slice="tickets-00", doc="tickets/1.json"),
]


def test_passages_keys_and_vectors_round_trip(index):
    publish(index, ODD)
    found = published(index)
    assert {each.chunk_id: each for each in found.passages()} == {each.chunk_id: each for each in ODD}
    assert found.keys() == {each.chunk_id: key(each) for each in ODD}
    ids = [each.chunk_id for each in ODD]
    stored = found.vectors([*ids, passage("never there").chunk_id])
    assert set(stored) == set(ids)
    for each in ODD:
        assert stored[each.chunk_id].dtype == np.float32
        assert np.allclose(stored[each.chunk_id], vector(each.text), atol=1e-6)
    assert found.vectors([]) == {}


def test_slices_and_documents_are_told_apart(index):
    publish(index, ODD)
    found = published(index)
    assert (found.count(), found.count("docs"), found.count("tickets-00"), found.count("doc")) == (8, 7, 1, 0)
    assert set(found.keys("tickets-00")) == {ODD[-1].chunk_id}
    assert [each.chunk_id for each in found.passages("tickets-00")] == [ODD[-1].chunk_id]
    assert set(found.keys(doc_ids=['docs/it\'s "a".md', "tickets/1.json", "none"])) == {
        ODD[3].chunk_id,
        ODD[-1].chunk_id,
    }
    assert set(found.keys("docs", ['docs/it\'s "a".md', "tickets/1.json"])) == {ODD[3].chunk_id}
    assert found.keys(doc_ids=[]) == {}
    assert list(found.passages("' OR '1'='1")) == []


names = st.sampled_from([f"p{number}" for number in range(8)])
changes = st.one_of(
    st.tuples(st.just("add"), st.lists(st.tuples(names, st.integers(0, 3)), max_size=6)),
    st.tuples(st.just("delete"), st.lists(names, max_size=6)),
    st.tuples(st.just("count"), st.none()),
)
candidates = st.lists(st.tuples(st.lists(changes, max_size=4), st.booleans()), min_size=1, max_size=5)


@settings(max_examples=20, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=candidates)
def test_any_sequence_of_candidates_leaves_what_a_dict_would_hold(engine: Engine, tmp_path_factory, steps):
    index = engine.open(tmp_path_factory.mktemp("model"), 5)
    model = {}
    for operations, keep in steps:
        draft = dict(model)
        with index.candidate(SCHEMA) as candidate:
            for kind, given_names in operations:
                if kind == "add":
                    batch = [passage(name, f"{name} says {number}.") for name, number in given_names]
                    candidate.add(batch, vectors(batch))
                    draft |= {each.chunk_id: each for each in batch}
                elif kind == "delete":
                    gone = [passage(name).chunk_id for name in given_names]
                    candidate.delete(gone)
                    draft = {chunk_id: each for chunk_id, each in draft.items() if chunk_id not in gone}
                else:
                    assert candidate.count() == len(draft)
            if keep:
                candidate.publish()
                model = draft
        found = index.published()
        if found is None:
            assert model == {}
            continue
        assert {each.chunk_id: each for each in found.passages()} == model
        assert found.keys() == {chunk_id: key(each) for chunk_id, each in model.items()}
        stored = found.vectors(list(model))
        assert all(np.allclose(stored[chunk_id], vector(each.text)) for chunk_id, each in model.items())
        hits = found.search(Query("says", vector("p0 says 1."), k=20))
        assert {hit.passage.chunk_id: hit.passage for hit in hits} == model
