from __future__ import annotations

import pytest

from assets.behavior.citations import without_citations


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
