"""What every index engine must find: by word, by vector, within filters, in rows that were only just added."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.errors import EngineError
from assets.ports import Query
from assets.ports.index import joined
from tests.contract.engines import SCHEMA, Engine, passage, publish, vector, vectors

SUBJECTS = ["billing", "shipping", "holidays", "passwords", "printers", "insurance", "travel", "meetings"]
HANDBOOK = [
    passage(
        f"handbook/{number}",
        f"Guide > {subject}\n\nParagraph {number} explains how {subject} are handled in our company.",
        doc=f"handbook/{subject}.md",
        slice="handbook",
        title=subject.title(),
        metadata={"audience": "admin" if number % 4 == 0 else "all", "number": str(number)},
    )
    for number, subject in enumerate(SUBJECTS * 5)
]
CODES = [
    passage("code/1", "The device reports ERR-40417 when the tray is open.", slice="tickets", doc="tickets/1"),
    passage("code/2", "Windows shows 0x80070005 after the update.", slice="tickets", doc="tickets/2"),
    passage("code/3", "Call read_csv_chunked before anything else.", slice="tickets", doc="tickets/3"),
]
NOWHERE = vector("a direction that no passage has")


def found(index, text="", at=NOWHERE, k=5, where=None, allowed=None):
    published = index.published()
    assert published is not None
    return [hit.passage for hit in published.search(Query(text, at, k, where or {}, allowed or {}))]


@pytest.fixture(scope="module")
def handbook(engine: Engine, tmp_path_factory):
    """One index for all tests that only read."""
    shared = engine.open(tmp_path_factory.mktemp("handbook"), 5)
    publish(shared, HANDBOOK + CODES)
    return shared


@pytest.mark.parametrize(
    ("question", "expected"),
    [("ERR-40417", 0), ("what does err 40417 mean?", 0), ("0x80070005", 1), ("read_csv_chunked", 2)],
)
def test_search_finds_rare_words_wherever_the_vector_points(handbook, question, expected):
    assert CODES[expected] in found(handbook, question, k=3)


def test_search_finds_by_vector_wherever_the_words_point(handbook):
    # Five passages say "insurance" and are neighbors of everything in so small an index.
    assert HANDBOOK[3] in found(handbook, "insurance", vector(HANDBOOK[3].text), k=8)


def test_search_ranks_a_passage_that_both_find_first(handbook):
    question = Query("how are printers handled in paragraph 20", vector(HANDBOOK[20].text), k=3)
    hits = handbook.published().search(question)
    assert hits[0].passage == HANDBOOK[20]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@pytest.mark.parametrize(
    "text", ["", "   ", "?!", "--- *** '\"", "🦀", "()[]{}^~:\\/", "AND OR NOT", "the of and", "\x00"]
)
def test_search_without_words_uses_the_vector_alone(handbook, text):
    assert found(handbook, text, vector(HANDBOOK[11].text), k=1) == [HANDBOOK[11]]


@pytest.mark.parametrize(
    "text", ['"unbalanced quote', "a AND (b OR", "title:billing~2", "billing*", "+billing -shipping", "'; DROP TABLE x"]
)
def test_search_takes_query_syntax_as_words(handbook, text):
    assert HANDBOOK[11] in found(handbook, text, vector(HANDBOOK[11].text), k=12)


def test_search_survives_a_pasted_log(handbook):
    log = "2026-01-01 ERROR something failed at 0x80070005\n" * 20_000
    assert CODES[1] in found(handbook, log, k=5)


def test_search_finds_words_of_languages_without_spaces(index):
    japanese = passage("ja", "社内規程では出張費の精算は月末までに行います。")
    publish(index, [*HANDBOOK, japanese])
    assert japanese in found(index, "出張費の精算", k=3)


def test_search_returns_k_hits_or_all_there_are(handbook):
    assert len(found(handbook, "company", k=1)) == 1
    assert len(found(handbook, "company", k=17)) == 17
    everything = found(handbook, "company", k=1_000)
    assert len(everything) == len({each.chunk_id for each in everything}) == 43


def test_search_sees_rows_that_were_just_added_and_not_those_just_removed(index):
    publish(index, HANDBOOK + CODES)
    fresh = passage("fresh", "The zeppelin hangar opens at nine.")
    with index.candidate(SCHEMA) as candidate:
        candidate.add([fresh], vectors([fresh]))
        candidate.delete([CODES[0].chunk_id])
        assert fresh in [hit.passage for hit in candidate.search(Query("zeppelin", NOWHERE, 3))]
        candidate.publish()
    assert fresh in found(index, "zeppelin", k=3)
    assert fresh in found(index, "", vector(fresh.text), k=1)
    assert CODES[0] not in found(index, "ERR-40417", vector(CODES[0].text), k=50)


def test_search_finds_a_replaced_passage_by_its_new_text_only(index):
    publish(index, HANDBOOK + CODES)
    changed = passage("code/1", "The gramophone needs a new needle.", slice="tickets", doc="tickets/1")
    with index.candidate(SCHEMA) as candidate:
        candidate.add([changed], vectors([changed]))
        candidate.publish()
    assert found(index, "gramophone", k=3).count(changed) == 1
    assert found(index, "ERR-40417", k=50).count(changed) <= 1
    assert CODES[0] not in found(index, "ERR-40417", vector(CODES[0].text), k=50)


@pytest.mark.parametrize(
    "where",
    [
        {"slice": "tickets"},
        {"doc_id": "handbook/travel.md"},
        {"title": "Travel"},
        {"audience": "admin"},
        {"number": "13"},
        {"slice": "handbook", "audience": "admin", "title": "Billing"},
    ],
    ids=str,
)
def test_filters_keep_exactly_what_equals(handbook, where):
    def fits(each):
        fields = {"slice": each.slice, "doc_id": each.doc_id, "title": each.title}
        return all((fields | dict(each.metadata)).get(name) == value for name, value in where.items())

    expected = {each.chunk_id for each in HANDBOOK + CODES if fits(each)}
    assert expected
    for text in ("", "how are they handled in our company"):
        assert {each.chunk_id for each in found(handbook, text, k=100, where=where)} == expected


@pytest.mark.parametrize(
    "where",
    [
        {"slice": "' OR '1'='1"},
        {"slice": "handbook' --"},
        {"slice": "hand%"},
        {"slice": "HANDBOOK"},
        {"title": "Travel'); DELETE FROM passages; --"},
        {"doc_id": "handbook/"},
        {"audience": "all' OR audience='admin"},
        {"audience') OR (1=1": "x"},
        {"no such name": "all"},
        {"audience": ""},
        {"number": "1"} | {"audience": "nobody"},
        {"text": "billing"},
        {"chunk_id": HANDBOOK[0].chunk_id},
    ],
    ids=str,
)
def test_filters_take_values_literally(handbook, where):
    assert found(handbook, "billing", k=100, where=where) == []
    assert handbook.published().count() == 43


def test_filters_tell_a_name_from_a_value_at_every_equals_sign(index):
    publish(index, [passage("left", metadata={"a=b": "c"}), passage("right", metadata={"a": "b=c"})])
    assert [each.metadata for each in found(index, "passage", where={"a": "b=c"})] == [{"a": "b=c"}]
    assert [each.metadata for each in found(index, "passage", where={"a=b": "c"})] == [{"a=b": "c"}]


ODD_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)


@settings(max_examples=15, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(ODD_TEXT.filter(lambda t: "\n" not in t), min_size=2, max_size=6, unique=True), name=ODD_TEXT)
def test_filters_find_any_value_under_any_name(engine: Engine, tmp_path_factory, values, name):
    index = engine.open(tmp_path_factory.mktemp("filters"), 5)
    name = name + "_" if name in ("slice", "doc_id", "title") else name
    stored = [passage(f"v{n}", metadata={name: value}, title=value) for n, value in enumerate(values)]
    publish(index, stored)
    for each in stored:
        assert found(index, "passage", k=10, where={name: each.metadata[name]}) == [each]
        assert found(index, "passage", k=10, where={"title": each.title}) == [each]


@pytest.mark.parametrize(
    "allowed",
    [
        {"audience": ["admin"]},
        {"audience": frozenset({"admin", "all"})},
        {"audience": ["nobody", "admin", "admin"]},
        {"number": ["1", "2", "3"], "audience": ["all"]},
        {"slice": ["tickets", "attic"]},
        {"title": ["Travel", "Billing"], "audience": ["admin"]},
        {"doc_id": ["handbook/travel.md", "tickets/1"]},
    ],
    ids=lambda allowed: " ".join(f"{name}={sorted(values)}" for name, values in allowed.items()),
)
def test_allowed_shows_what_has_one_of_the_values_and_nothing_without_the_field(handbook, allowed):
    def fits(each):
        fields = {"slice": each.slice, "doc_id": each.doc_id, "title": each.title, **each.metadata}
        return all(fields.get(name) in values for name, values in allowed.items())

    expected = {each.chunk_id for each in HANDBOOK + CODES if fits(each)}
    assert expected
    for text in ("", "how are they handled in our company"):
        assert {each.chunk_id for each in found(handbook, text, k=100, allowed=allowed)} == expected


def test_field_with_several_values_is_each_of_them(engine: Engine, tmp_path_factory):
    index, both = engine.open(tmp_path_factory.mktemp("lists"), 5), joined(["staff", "R&D, Berlin"])
    stored = [passage(name, metadata={"audience": held}) for name, held in (("a", both), ("b", "staff"), ("c", "all"))]
    publish(index, stored)

    def ids(**filters):
        return {names[each.chunk_id] for each in found(index, "passage", k=10, **filters)}

    names = {each.chunk_id: name for each, name in zip(stored, "abc", strict=True)}
    assert ids(allowed={"audience": ["R&D, Berlin", "board"]}) == {"a"}
    assert ids(allowed={"audience": ["staff"]}) == {"a", "b"}
    assert ids(where={"audience": "R&D, Berlin"}) == ids(where={"audience": both}) == {"a"}
    for group in ("R&D", "Berlin", "staff, R&D, Berlin"):
        assert ids(allowed={"audience": [group]}) == set()
    kept = index.published().get([stored[0].chunk_id])
    assert kept[stored[0].chunk_id].values("audience") == ("staff", "R&D, Berlin")


def test_allowed_filters_before_ranking(handbook):
    """The nearest passages are not allowed, and k allowed ones come all the same."""
    nearest = HANDBOOK[0]
    assert nearest.metadata["audience"] == "admin"
    shown = found(handbook, nearest.text, vector(nearest.text), k=8, allowed={"audience": ["all"]})
    assert len(shown) == 8
    assert {each.metadata["audience"] for each in shown} == {"all"}


@pytest.mark.parametrize(
    ("where", "expected"),
    [({"audience": "admin"}, set()), ({"audience": "all"}, {"all"}), ({"title": "Travel"}, {"all"})],
)
def test_where_narrows_what_is_allowed_and_never_widens_it(handbook, where, expected):
    shown = found(handbook, "travel billing", k=100, where=where, allowed={"audience": ["all"]})
    assert {each.metadata["audience"] for each in shown} == expected


@pytest.mark.parametrize("allowed", [{"audience": []}, {"audience": ["all"], "slice": ()}], ids=str)
def test_allowed_without_values_shows_nothing(handbook, allowed):
    assert found(handbook, "billing", k=100, allowed=allowed) == []


@pytest.mark.parametrize(
    "value", ["all' OR 'a'='a", "all') OR (1=1", "ALL", "all ", "al%", "", "all,admin", "all=admin"], ids=repr
)
def test_allowed_takes_values_literally(handbook, value):
    assert found(handbook, "billing", k=100, allowed={"audience": [value]}) == []


@pytest.mark.parametrize("wrong", [np.ones(17), np.ones(0), np.full(16, np.nan)], ids=["dimension", "empty", "nan"])
def test_search_refuses_a_wrong_vector(handbook, wrong):
    with pytest.raises(EngineError, match="vector"):
        handbook.published().search(Query("billing", wrong.astype(np.float32)))
