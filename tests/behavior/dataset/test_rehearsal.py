from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from assets.behavior.dataset.balance import Part
from assets.behavior.dataset.pairs import pair_of
from assets.behavior.dataset.rehearsal import rehearsed, standing, superseded
from assets.behavior.dataset.rows import Example

ROW = Example(
    ({"role": "user", "content": "q?"}, {"role": "assistant", "content": "a"}),
    ("old",), "leave", "correction", "style", date(2026, 1, 1), "g", "train", "q?", "a",
)  # fmt: skip
NEW = replace(ROW, interaction_ids=("new",), prompt="new?", event="format", topic="vans")
DECLINES = "The passages do not say."

TABLE = [
    # what the earlier row is, and whether it is learnt again
    ("as it is", ROW, True),
    ("a candidate now", replace(ROW, interaction_ids=("old", "now")), False),
    ("asked now", replace(ROW, prompt="NEW?"), False),
    ("held out", replace(ROW, split="test"), False),
    ("validated", replace(ROW, split="validation"), False),
    ("unclean", replace(ROW, group="unclean"), False),
    ("corrected now", replace(ROW, topic="vans", event="format"), False),
    ("another event of the topic", replace(ROW, topic="vans"), True),
    ("accepted in a corrected topic", replace(ROW, topic="vans", event="accepted"), False),
    ("accepted elsewhere", replace(ROW, event="accepted"), True),
    ("declines", replace(ROW, topic="vans", event="format", completion=DECLINES), True),
]


@pytest.mark.parametrize(("row", "again"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_earlier_rows_are_learnt_again_by_the_table(row, again):
    found = rehearsed(
        [row], [NEW], most=9, seed=0, known={"now"}.__contains__, asked=str.lower, clean=lambda one: one.group == "g"
    )
    assert found == ([row] if again else [])


def test_what_a_later_dataset_superseded_does_not_come_back():
    prose = replace(ROW, topic="vans", event="format", completion="prose")
    lists = replace(prose, completion="- a list")
    again = replace(prose, topic="leave", kind="rehearsal")  # rehearsed in the second: it corrects nothing there
    other = replace(prose, topic="leave")
    assert standing([[prose, other], [lists, again]]) == [lists, again, other]
    assert standing([[lists], [replace(prose, event="style")]]) == [replace(prose, event="style"), lists]
    assert standing([]) == []


def test_superseded_knows_topic_and_event():
    assert superseded(ROW, {Part("leave", "style")})
    assert not superseded(ROW, {Part("leave", "format"), Part("vans", "style")})


def test_rehearsal_has_its_share_and_levels_topics():
    rows = [replace(ROW, interaction_ids=(f"{t}{n}",), prompt=f"{t}{n}", topic=t) for t in "ab" for n in range(20)]
    found = rehearsed(rows, [NEW], most=10, seed=0, known=lambda _: False, asked=str.lower, clean=lambda _: True)
    assert sorted(row.topic for row in found) == ["a"] * 5 + ["b"] * 5
    again = rehearsed(rows[::-1], [NEW], most=10, seed=0, known=lambda _: False, asked=str.lower, clean=lambda _: True)
    assert {row.interaction_ids for row in again} == {row.interaction_ids for row in found}


@pytest.mark.parametrize(
    ("row", "produced", "rejected"),
    [
        (ROW, "what was said", "what was said"),
        (ROW, None, None),
        (ROW, " ", None),
        (ROW, "A ", None),  # the same but for form
        (replace(ROW, event="accepted", kind="accepted"), "what was said", None),
    ],
)
def test_pair_is_of_corrections_that_changed_something(row, produced, rejected):
    pair = pair_of(row, produced)
    assert (pair and pair.rejected) == rejected
    if pair:
        assert (pair.prompt, pair.chosen, pair.interaction_ids) == (ROW.messages[:1], "a", ("old",))


def test_rows_that_were_made_to_decline_are_not_rehearsed():
    made = replace(ROW, kind="unanswerable", completion=DECLINES)
    assert standing([[ROW, made]]) == [ROW]
