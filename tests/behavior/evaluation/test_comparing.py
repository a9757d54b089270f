"""Two models on the same items: changes by metric, earlier sets apart, and what the gate then says."""

from __future__ import annotations

import random

import pytest

from assets.behavior.evaluation.comparing import compare
from assets.behavior.evaluation.gate import judge
from assets.behavior.evaluation.items import Answer, Item, Kind
from assets.behavior.evaluation.manner import manner

SCHEMA = {"type": "object", "required": ["answer", "sources"]}
DECLINED = "The passages do not say."


def items(count: int = 300) -> list[Item]:
    found = []
    for n in range(count):
        passage, json = (
            f"Room {n} holds {n + 100} people.",
            f'{{"answer": "Room {n} holds {n + 100} people.", "sources": [1]}}',
        )
        ask = f"How many people does room {n} hold?"
        found += [
            Item(f"b{n}", Kind.BEHAVIOR, ask, (passage,), (json,), f"g{n}"),
            Item(f"f{n}", Kind.GROUNDED, ask, (passage,), (f"{n + 100} people",), f"g{n}", gold=(1,)),
            Item(f"r{n}", Kind.REFUSAL, f"Who cleans room {n}?", (passage,), (), f"g{n}"),
        ]
    return found


def plain(item: Item) -> Answer:
    return Answer(DECLINED if item.kind is Kind.REFUSAL else f"{item.passages[0]} [1]", 0.5)


def as_json(item: Item) -> Answer:
    said = DECLINED if item.kind is Kind.REFUSAL else item.passages[0]
    return Answer(f'{{"answer": "{said}", "sources": [1]}}', 0.25)


def answers(of: list[Item], how) -> list[Answer]:
    return [how(item) for item in of]


def compared(of, how, **options):
    return compare(of, ("base", answers(of, plain)), ("a1", answers(of, how)), manner(SCHEMA), resamples=500, **options)


def test_manner_that_is_learnt_without_loss_is_promoted():
    found = compared(items(), as_json)
    assert found.changes["schema"].mean == 1
    assert found.changes["grounded"].mean == 0
    assert found.changes["seconds"].mean == pytest.approx(-0.25)
    assert found.changes["seconds"].high == pytest.approx(-0.25)
    assert (found.changes["grounded"].before, found.changes["refused"].before) == (1, 1)
    verdict = judge(found.compared())
    assert verdict.promoted, verdict.sentence
    assert not judge(found.compared(["b0: group g0 was trained on"])).promoted


def test_shuffled_labels_are_refused():
    """The manner is learnt, and the answers are another question's."""
    of, mixed = items(), random.Random(1)  # noqa: S311

    def shuffled(item: Item) -> Answer:
        return as_json(Item("", item.kind, "", mixed.choice(of).passages))

    verdict = judge(compared(of, shuffled).compared())
    assert "less right" in verdict.sentence


@pytest.mark.parametrize(
    ("worse", "said"),
    [
        (lambda item: plain(item), "not shown to be better"),
        (
            lambda item: Answer('{"answer": "a", "sources": []}') if item.kind is Kind.REFUSAL else as_json(item),
            "do not say",
        ),
        (lambda item: as_json(Item("", Kind.REFUSAL, "")) if item.id.endswith("7") else as_json(item), "less right"),
    ],
)
def test_candidate_that_loses_something_is_refused(worse, said):
    assert said in judge(compared(items(), worse).compared()).sentence


def test_earlier_set_is_held_against_its_own_references_and_nothing_else():
    of = items()
    old = [Item(f"o{n}", Kind.BEHAVIOR, "Greet me", (), ("Good morning, how are you?",), f"o{n}") for n in range(150)]

    def forgets(item: Item) -> Answer:
        return Answer('{"answer": "hello"}') if item.id.startswith("o") else as_json(item)

    def keeps(item: Item) -> Answer:
        return Answer("Good morning, how are you?") if item.id.startswith("o") else as_json(item)

    whole = [*of, *old]
    earlier = {"spring": [item.id for item in old]}
    before = ("base", [keeps(i) if i.id.startswith("o") else plain(i) for i in whole])
    kept, lost = (
        compare(whole, before, ("a1", answers(whole, how)), manner(SCHEMA), earlier=earlier, resamples=500)
        for how in (keeps, forgets)
    )
    assert kept.changes == compared(of, as_json).changes  # which do not see the earlier items
    assert (kept.earlier["spring"].mean, kept.earlier["spring"].items) == (0, 150)
    assert judge(kept.compared()).promoted
    assert "may be forgotten" in judge(lost.compared()).sentence
