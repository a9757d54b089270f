"""Held-out sets are frozen once, found by their hash, and never trained on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.behavior.evaluation import sets
from assets.behavior.evaluation.items import Item, Kind
from assets.behavior.evaluation.leaks import leaks
from assets.errors import CorruptState, DiskFull
from orchestration.engines.lake import FolderLake

ITEMS = (
    Item("b", Kind.BEHAVIOR, "When does the ferry leave?", ("It leaves at 7.",), ("- At 7. [1]",), "u1", "ferry", (1,)),
    Item("a", Kind.GROUNDED, "What is the fare?", ("The fare is 3 euros.",), ("3 euros",), "u2", interactions=("e9",)),
    Item("c", Kind.REFUSAL, "Who steers it?", ("It leaves at 7.",), group="u1"),
)


@pytest.fixture
def lake(tmp_path):
    return FolderLake(tmp_path)


def test_frozen_set_is_found_again_and_read_back(lake):
    made = sets.freeze(lake, "main", "spring", ITEMS)
    assert [item.id for item in made.items] == ["a", "b", "c"]
    assert sets.freeze(lake, "main", "spring", reversed(ITEMS)) == made
    assert sets.load(lake, "main", "spring") == made
    assert sets.names(lake, "main") == ["spring"]
    assert made.kinds == {"behavior": 1, "grounded": 1, "refusal": 1}
    assert sets.load(lake, "main", "autumn") is None
    assert sets.names(lake, "legal") == []


@pytest.mark.parametrize(
    "other",
    [ITEMS[:2], (*ITEMS[:2], replace(ITEMS[2], question="Who steered it?")), (replace(ITEMS[0], gold=()), *ITEMS[1:])],
)
def test_set_is_frozen_once(lake, other):
    made = sets.freeze(lake, "main", "spring", ITEMS)
    with pytest.raises(sets.SetFrozen, match="under another name"):
        sets.freeze(lake, "main", "spring", other)
    assert sets.load(lake, "main", "spring") == made


def test_set_whose_items_were_changed_is_corrupt(lake):
    sets.freeze(lake, "main", "spring", ITEMS)
    sets.freeze(lake, "main", "other", ITEMS[:2])
    for damage in (
        lambda: lake.write(
            "behavior/evaluation/sets/main/spring.parquet", lake.read("behavior/evaluation/sets/main/other.parquet")
        ),
        lambda: lake.remove(["behavior/evaluation/sets/main/spring.parquet"]),
        lambda: lake.write_text("behavior/evaluation/sets/main/spring.json", "{"),
    ):
        damage()
        with pytest.raises(CorruptState, match="'spring'"):
            sets.load(lake, "main", "spring")


def test_full_disk_freezes_nothing_and_the_next_try_does(tmp_path):
    class Full(FolderLake):
        def write_text(self, name, text):
            raise DiskFull("full")

    with pytest.raises(DiskFull):
        sets.freeze(Full(tmp_path), "main", "spring", ITEMS)
    assert sets.load(FolderLake(tmp_path), "main", "spring") is None
    assert sets.freeze(FolderLake(tmp_path), "main", "spring", ITEMS[:2]).digest == sets.set_digest(ITEMS[:2])


@pytest.mark.parametrize(
    ("items", "problem"),
    [
        ((), "no items"),
        ((ITEMS[0], ITEMS[0]), "'b' occurs more than once"),
        ((replace(ITEMS[0], references=()),), "has no reference"),
        ((replace(ITEMS[0], gold=(2,)),), r"names passages \(2,\), and has 1"),
    ],
)
def test_items_that_cannot_be_judged_are_not_frozen(lake, items, problem):
    with pytest.raises(sets.BadSet, match=problem):
        sets.freeze(lake, "main", "spring", items)


@pytest.mark.parametrize("name", ["", "../x", "A", "a/b"])
def test_name_of_a_set_stays_in_its_folder(lake, name):
    with pytest.raises(sets.BadSet, match="cannot be named"):
        sets.freeze(lake, "main", name, ITEMS)


def test_erased_interaction_leaves_every_set(lake):
    sets.freeze(lake, "main", "spring", ITEMS)
    sets.freeze(lake, "main", "other", ITEMS[:1])
    assert sets.holding(lake, "main", ["e9", "nobody"]) == ["spring"]
    assert sets.forget(lake, "main", ["e9", "nobody"]) == {"spring": 1}
    assert sets.holding(lake, "main", ["e9", "nobody"]) == []
    left = sets.load(lake, "main", "spring")
    assert [item.id for item in left.items] == ["b", "c"]
    assert left.digest == sets.set_digest(left.items)
    assert "3 euros" not in str(lake.read("behavior/evaluation/sets/main/spring.parquet").to_pylist())
    assert sets.forget(lake, "main", ["e9"]) == {}


def test_erasure_that_was_interrupted_can_be_done_again(tmp_path):
    class Full(FolderLake):
        def write(self, name, table):
            raise DiskFull("full")

    lake = FolderLake(tmp_path)
    sets.freeze(lake, "main", "spring", ITEMS)
    with pytest.raises(DiskFull):
        sets.forget(Full(tmp_path), "main", ["e9"])
    assert len(sets.load(lake, "main", "spring").items) == 3
    assert sets.forget(lake, "main", ["e9"]) == {"spring": 1}
    assert len(sets.load(lake, "main", "spring").items) == 2


def corrected(topic: str, reference: str, number: int) -> Item:
    return Item(f"n{number}", Kind.BEHAVIOR, "?", (), (reference,), topic=topic)


@pytest.mark.parametrize(
    ("newer", "stays"),
    [
        ([], True),
        ([("ferry", '{"a": 1}')] * 4, True),  # too few to say
        ([("ferry", '{"a": 1}')] * 5, False),
        ([("bus", '{"a": 1}')] * 50, True),  # another topic
        ([("ferry", '{"a": 1}')] * 9 + [("ferry", "At 7.")], False),
        ([("ferry", '{"a": 1}')] * 8 + [("ferry", "At 7.")] * 2, True),
    ],
)
def test_earlier_manner_counts_until_its_topic_is_corrected_to_another(newer, stays):
    old = corrected("ferry", "It leaves at 7.", 0)
    items = [corrected(topic, text, n + 1) for n, (topic, text) in enumerate(newer)]
    fact = replace(ITEMS[1], topic="ferry")
    assert sets.wanted([old, fact], items) == ([old, fact] if stays else [fact])


# ------------------------------------------------------------------------------------------------------ leaks


def row(
    question: str, answer: str, group: str = "", ids=(), evidence: str = "[1] Ferry (good)\nIt leaves at 7."
) -> dict:
    user = f"{evidence}\n\n{question}"
    messages = [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "group": group, "interaction_ids": list(ids)}


LONG = (
    "Please bring the printed ticket and a valid passport to gate four before the ferry leaves at seven in the morning."
)


@pytest.mark.parametrize(
    ("trained", "leaked"),
    [
        (row("Another question?", "Another answer."), ""),
        (row("What is the fare?", "It is free."), ""),  # the question alone teaches nothing
        (row("x", "y", ids=["e1", "e9"]), "a: interaction e9"),
        (row("x", "y", group="u2"), "a: group u2"),
        (row("what is the  FARE", "the 3 euros!"), "a: the same question and answer"),
        (row("Question: What is the fare?", "3 euros"), "a: the same question and answer"),
        (row("?", "3 euros") | {"prompt": "What is the fare?"}, "a: the same question and answer"),
        (row("What is the fare?", "3 euros", evidence="[1] Fares\n3 euros."), "a: the same question and answer"),
    ],
)
def test_leak_is_found_by_whose_it_is_and_what_it_says(trained, leaked):
    found = leaks(ITEMS[1:2], [row("Something else?", "Something."), trained])
    assert [text[: len(leaked)] for text in found] == ([leaked] if leaked else [])


OTHER = LONG.replace("printed", "paper").replace("passport", "card").replace("seven", "eight")


@pytest.mark.parametrize(
    ("answer", "near"), [(OTHER, False), (LONG.replace("seven", "eight"), True), (LONG[:-1], True)]
)
def test_nearly_the_same_text_is_a_leak(answer, near):
    item = Item("n", Kind.BEHAVIOR, "What shall I bring to the gate?", (), (LONG,))
    assert bool(leaks([item], [row("What shall I bring to the gate?", answer)])) is near


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, unique=True), st.lists(st.integers(0, 9), unique=True))
def test_exactly_the_items_that_were_trained_on_are_named(held, trained):
    def text(number: int) -> str:
        return f"Number {number} of {number * 7919} tells about place {number * 104729} and no other."

    items = [Item(f"i{n}", Kind.BEHAVIOR, f"What of {n}?", (), (text(n),)) for n in held]
    found = leaks(items, [row(f"What of {n}?", text(n)) for n in trained])
    assert [said.partition(":")[0] for said in found] == [f"i{n}" for n in held if n in trained]
