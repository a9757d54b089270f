from __future__ import annotations

import pytest

from assets.behavior.citations import cited, renumbered, without_citations


@pytest.mark.parametrize(
    ("text", "passages", "expected"),
    [
        ("five [1] and six [2; 3]", 3, "five [] and six []"),
        ("five [4]", 3, "five [4]"),
        ("[2024]", 3, "[2024]"),
        ('{"source": 2}', 3, '{"source": ""}'),
        ("passage 3 of 3", 3, 'passage "" of 3'),
        ("source 9", 3, "source 9"),
    ],
)
def test_citations_are_no_facts_where_there_is_such_a_passage(text, passages, expected):
    assert without_citations(text, passages) == expected


@pytest.mark.parametrize(
    ("text", "expected", "found"),
    [
        ("five [1] and six [2; 3]", "five [3] and six [1; 2]", {1, 2, 3}),
        ('{"answer": "5 [x]", "sources": [1, 3]}', '{"answer": "5 [x]", "sources": [3, 2]}', {1, 3}),
        ('{"source": 2}', '{"source": 1}', {2}),
        ("As source 3 says, 3 days", "As source 2 says, 3 days", {3}),
        ("[12] and [4]: not shown", "[12] and [4]: not shown", {4, 12}),
        ("nothing", "nothing", set()),
    ],
)
def test_citations_follow_their_passages(text, expected, found):
    assert renumbered(text, {1: 3, 2: 1, 3: 2, 4: None}) == expected
    assert cited(text) == found
