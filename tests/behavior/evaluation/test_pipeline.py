"""From frozen sets and two models to a verdict that is kept: what is evaluated, and what refuses."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from assets.behavior.evaluation import records, sets
from assets.behavior.evaluation.items import Answer, Item, Kind
from assets.behavior.evaluation.manner import Manner
from assets.behavior.evaluation.pipeline import Evaluations, Model
from assets.errors import CorruptState
from orchestration.engines.lake import FolderLake
from tests.behavior.evaluation.test_comparing import as_json, items, plain
from tests.behavior.evaluation.test_sets import row


def house(folder) -> Evaluations:
    return Evaluations(FolderLake(folder), manner=lambda _: Manner(), resamples=400)


def model(name: str, how) -> Model:
    return Model(name, lambda asked: [how(item) for item in asked])


@pytest.fixture
def frozen(tmp_path):
    found, held = house(tmp_path), items(200)
    manner = found.freeze("main", "manner", [item for item in held if item.kind is Kind.BEHAVIOR])
    facts = found.freeze("main", "facts", [item for item in held if item.kind is not Kind.BEHAVIOR])
    return found, [manner, facts]


def evaluate(frozen, how, trained=(), name="a1"):
    found, current = frozen
    return found.evaluate("main", model(name, how), model("base", plain), current=current, trained=trained)


def test_better_candidate_is_promoted_and_kept(frozen):
    made = evaluate(frozen, as_json)
    assert made.verdict.promoted, made.verdict.sentence
    row = records.load(frozen[0].lake, "main", "a1")
    assert (row["action"], row["items"]) == ("promote", 600)
    assert row["sets"] == {one.name: one.digest for one in frozen[1]}
    assert made.stored == "behavior/evaluation/reports/main/a1"


@pytest.mark.parametrize(
    ("was", "edited", "problem"),
    [('"action": "promote"', '"action": "refuse"', "its checksum is another"), ('"a1"', '"a2"', "another candidate"),
     ("{", "[", "ValueError|JSONDecodeError"), ('"check"', '"unchecked"', "KeyError: 'check'")],
)  # fmt: skip
def test_evaluation_that_was_edited_is_found_damaged(frozen, was, edited, problem):
    name = f"{evaluate(frozen, as_json).stored}.json"
    lake = frozen[0].lake
    lake.write_text(name, lake.read_text(name).replace(was, edited))
    with pytest.raises(CorruptState, match=problem) as caught:
        records.load(lake, "main", "a1")
    assert "evaluate the adapter again" in str(caught.value)


def test_candidate_that_was_trained_on_a_held_out_item_is_refused(frozen):
    leaked = row("How many people does room 3 hold?", '{"answer": "Room 3 holds 103 people.", "sources": [1]}')
    made = evaluate(frozen, as_json, [row("Other?", "Other."), leaked])
    assert "were trained on" in made.verdict.sentence
    assert "b3: the same question and answer" in made.verdict.reasons[0].measured


def test_candidate_that_learnt_shuffled_labels_is_refused(frozen):
    mixed = random.Random(7)  # noqa: S311
    others = frozen[1][0].items

    def shuffled(item: Item) -> Answer:
        return as_json(replace(item, passages=mixed.choice(others).passages, kind=Kind.BEHAVIOR))

    assert not evaluate(frozen, shuffled).verdict.promoted


def test_same_items_and_seed_give_the_same_numbers(frozen, tmp_path):
    first = evaluate(frozen, as_json).report.comparison.changes
    assert evaluate(frozen, as_json).report.comparison.changes == first


def greeting(topic: str, text: str) -> list[Item]:
    return [Item(f"o{n}", Kind.BEHAVIOR, "Greet me", (), (text,), f"o{n}", topic) for n in range(150)]


@pytest.mark.parametrize(
    ("topic", "counts"),
    [("hello", True), ("", False)],  # the new corrections are of topic "": all of them are JSON
)
def test_earlier_manner_counts_unless_its_topic_is_wanted_otherwise_now(frozen, topic, counts):
    found, _ = frozen
    old = found.freeze("main", "manner", greeting(topic, "Good morning, how are you?"))

    def kept(item: Item) -> Answer:
        return Answer("Good morning, how are you?") if item.question == "Greet me" else plain(item)

    def forgets(item: Item) -> Answer:
        return Answer("What?") if item.question == "Greet me" else as_json(item)

    made = found.evaluate("main", model("a1", forgets), model("base", kept), current=frozen[1], trained=())
    assert made.verdict.promoted is not counts
    assert (old.name in made.sets) is counts
    if counts:
        assert "forgotten" in made.verdict.sentence


def test_item_of_two_sets_is_asked_once(frozen):
    found, current = frozen
    found.freeze("main", "manner", [*current[0].items, *greeting("hello", "Good morning")])
    asked = []

    def count(items_):
        asked.append(len(items_))
        return [Answer("x") for _ in items_]

    found.evaluate("main", Model("a1", count), Model("base", count), current=current, trained=())
    assert asked == [750, 750]


def test_rules_of_a_variant_are_others_where_its_answers_are_framed(tmp_path):
    found = Evaluations(FolderLake(tmp_path), manner=lambda variant: Manner(framed=variant == "api"))
    assert found.settings("main") != found.settings("api")


def test_sets_are_named_by_what_they_hold(tmp_path):
    found, held = house(tmp_path), items(3)
    one = found.freeze("main", "facts", held)
    assert found.freeze("main", "facts", held[::-1]) == one
    assert found.freeze("main", "facts", held[1:]).name != one.name
    assert len(sets.names(found.lake, "main")) == 2
