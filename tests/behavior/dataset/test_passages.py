from __future__ import annotations

import pytest

from assets.behavior.attribution import Shown
from assets.behavior.dataset.passages import embedded, passage_of, pool_of, shown_passages, with_distractors

TEXTS = {"s1": "Leave > Days\n\nFive days.", "s2": "No heading here.", "s3": "  "}


@pytest.mark.parametrize(
    ("shown", "most", "expected"),
    [
        ([Shown("d", "s1")], 5, [(1, "Leave > Days", "Five days.")]),
        ([Shown("d", "s1"), Shown("e", "s2")], 5, [(1, "Leave > Days", "Five days."), (2, "", "No heading here.")]),
        ([Shown("d", "s1"), Shown("d", "s1")], 5, [(1, "Leave > Days", "Five days.")]),
        ([Shown("d", "gone"), Shown("e", "s2")], 5, [(1, "", "No heading here.")]),
        ([Shown("d", "s3"), Shown("e", "", "Given > In the log\n\nYes.")], 5, [(1, "Given > In the log", "Yes.")]),
        ([Shown("d", "s1"), Shown("e", "s2")], 1, [(1, "Leave > Days", "Five days.")]),
        ([], 5, []),
    ],
)
def test_shown_passages_are_those_whose_text_is_known(shown, most, expected):
    assert [one[:3] for one in shown_passages(shown, TEXTS.get, most)] == expected


@pytest.mark.parametrize("heading", ["", "Leave > Days"])
@pytest.mark.parametrize("text", ["Five days.", "Five days.\n\nSix for some.", "One line\nand another"])
def test_embedded_text_is_taken_apart_as_it_was_put_together(heading, text):
    assert passage_of(embedded(heading, text), "d", "s")[1:3] == (heading, text)


def passage(number: int):
    return passage_of(f"H{number}\n\nText {number}.", f"doc-{number}", f"sha-{number}")


OWN, POOL = [passage(1), passage(2)], pool_of([[passage(number) for number in range(1, 30)]])


@pytest.mark.parametrize(
    ("passages", "pool", "share", "count", "extra"),
    [
        (OWN, POOL, 0.0, 2, 0),
        (OWN, POOL, 1.0, 2, 2),
        (OWN, POOL, 1.0, 1, 1),
        (OWN, pool_of([OWN]), 1.0, 2, 0),  # of the same documents
        (OWN, [], 1.0, 2, 0),
        ([], POOL, 1.0, 2, 0),
    ],
)
def test_distractors_follow_the_table(passages, pool, share, count, extra):
    found = with_distractors(passages, pool, "id", share=share, count=count, seed=0)
    assert [one.doc_id for one in found if one.shown] == [one.doc_id for one in passages]  # in their order
    strange = [one for one in found if not one.shown]
    assert len(strange) == extra == len({one.doc_id for one in strange} - {one.doc_id for one in passages})
    assert [one.number for one in found] == list(range(1, len(found) + 1))


def test_share_of_the_rows_has_distractors():
    found = [with_distractors(OWN, POOL, str(n), share=0.25, count=2, seed=0) for n in range(2_000)]
    assert sum(len(one) > 2 for one in found) / 2_000 == pytest.approx(0.25, abs=0.03)
    places = {one.number for row in found for one in row if not one.shown}
    assert places == {1, 2, 3, 4}  # anywhere among them


def test_draw_knows_the_row_and_the_seed_only():
    def draw(id_: str, seed: int):
        return with_distractors(OWN, POOL, id_, share=1.0, count=2, seed=seed)

    assert draw("a", 0) == draw("a", 0)
    assert draw("a", 0) != draw("b", 0)
    assert draw("a", 0) != draw("a", 1)
    assert pool_of([[passage(2)], [passage(1), passage(2)]]) == pool_of([[passage(1)], [passage(2)]])
