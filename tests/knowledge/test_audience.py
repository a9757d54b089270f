"""Who may read a document of a source that says so as well: the narrower of both."""

from __future__ import annotations

import pytest

from assets.knowledge.audience import Audience
from assets.ports.index import joined, told, values


@pytest.mark.parametrize(
    ("source", "own", "held"),
    [
        ((), ("board",), ("board",)),
        (("staff",), (), ("staff",)),
        (("all",), ("board",), ("board",)),
        (("all",), ("all",), ("all",)),
        (("staff",), ("all",), ("staff",)),
        (("staff", "board"), ("board",), ("board",)),
        (("staff",), ("guests", "staff"), ("staff",)),
        (("staff",), ("board",), ()),
        (("staff", "all"), ("board", "legal"), ("board", "legal")),
    ],
)
def test_narrower_of_both_holds(source, own, held):
    def of(stated):
        return {"audience": joined(stated)} if stated else {}

    assert Audience().merged(of(own), of(source)) == of(held)


def test_of_other_fields_the_source_wins():
    own, source = {"audience": "board", "team": "a", "date": "2026"}, {"audience": "all", "team": "b"}
    assert Audience().merged(own, source) == {"audience": "board", "team": "b", "date": "2026"}
    assert Audience("team", ("b",)).merged(own, source) == {"audience": "all", "team": "a", "date": "2026"}


def test_values_are_those_of_a_list_and_a_text_is_one():
    assert values(joined(["staff", "R&D, Berlin", "staff"])) == ("staff", "R&D, Berlin")
    assert values("R&D, Berlin") == ("R&D, Berlin",)
    assert told({"a": joined(["x", "y"]), "b": "x, y"}) == {"a": ["x", "y"], "b": "x, y"}
