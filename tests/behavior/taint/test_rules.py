from __future__ import annotations

import itertools

import pytest

from assets.behavior.dataset.origins import completion_of, origin
from assets.behavior.taint.rules import Now, Share, Touch, gravest, touched

SAME, OTHER = "same", "other"


@pytest.mark.parametrize(
    ("source", "origin", "now", "expected"),
    [
        ("correction", SAME, None, Touch.DELETED),
        ("accepted", SAME, None, Touch.DELETED),
        ("correction", "", None, Touch.DELETED),
        ("correction", SAME, Now(OTHER, "behavior", None), Touch.CORRECTED),
        ("accepted", SAME, Now(OTHER, None, True), Touch.CORRECTED),
        ("correction", SAME, Now(OTHER, "knowledge", None), Touch.CORRECTED),  # the first reason counts
        ("correction", SAME, Now(SAME, "behavior", None), None),
        ("correction", SAME, Now(SAME, "behavior", False), None),
        ("correction", SAME, Now(SAME, "knowledge", None), Touch.ATTRIBUTED),
        ("correction", SAME, Now(SAME, "unclear", None), Touch.ATTRIBUTED),
        ("correction", SAME, Now(SAME, None, None), Touch.ATTRIBUTED),
        ("accepted", SAME, Now(SAME, None, None), None),
        ("accepted", SAME, Now(SAME, "behavior", None), Touch.ATTRIBUTED),
        ("accepted", SAME, Now(SAME, None, False), Touch.ATTRIBUTED),
        ("correction", "", Now(OTHER, "behavior", None), None),  # a dataset that kept no origins
        ("correction", "", Now(OTHER, "unclear", None), Touch.ATTRIBUTED),
    ],
)
def test_touched_follows_its_table(source, origin, now, expected):
    assert touched(source, origin, now) is expected


@pytest.mark.parametrize("order", [*itertools.permutations([Touch.ATTRIBUTED, None, Touch.DELETED])])
def test_row_of_several_interactions_counts_for_the_gravest(order):
    assert gravest(order) is Touch.DELETED
    assert gravest([None, None]) is None
    assert gravest([Touch.ATTRIBUTED, Touch.CORRECTED]) is Touch.CORRECTED


def test_share_of_nothing_is_none():
    assert (Share().share, Share().touched, Share().words()) == (0.0, 0, "none")
    half = Share(8, {Touch.ERASED: 1, Touch.CORRECTED: 3})
    assert (half.share, half.touched, half.words()) == (0.5, 4, "1 erased, 3 corrected")


def test_origin_is_of_question_answer_and_what_was_shown():
    passages = '[{"chunk_id": "c", "doc_id": "d", "text_sha": "a"}]'
    one = origin("q", "a", passages)
    assert one == origin("q", "a", '[{"text_sha": "a", "doc_id": "moved"}]')  # the same text, wherever it stands
    others = [
        origin("q2", "a", passages),
        origin("q", "a2", passages),
        origin("q", "a", None),
        origin("q", "a", '[{"text_sha": "b"}]'),
        origin("q", "a", '[{"text": "the text itself"}]'),
    ]
    assert len({one, *others}) == 6


def test_completion_is_what_a_person_wrote_or_left():
    assert completion_of("said", None) == "said"
    assert completion_of("said", "better") == "better"
    assert completion_of("said", "") == ""
    assert completion_of(None, None) == ""
