from __future__ import annotations

import pytest

from models.recipe.adapted import FAMILIES
from models.recipe.evaluation import Said


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_family_reads_what_it_writes(family):
    assert family.read(family.write('Ask "Kim" (by 3).', 2)) == Said('Ask "Kim" (by 3).', 2, False)
    refused = family.read(family.write(None, 0))
    assert (refused.number, refused.refused) == (None, True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("JSON with sources", "Ask Kim. [2]"),
        ("JSON with sources", '{"answer": "Ask Kim.", "source": 2}'),
        ("JSON with sources", '{"answer": "Ask Kim.", "sources": 2}'),
        ("greeting, bullet, sign-off", "Dear colleague,\nAsk Kim. (passage 2)\nYour help desk"),
        ("greeting, bullet, sign-off", "Dear colleague,\n- Ask Kim. (passage 2)"),
        ("Source [n] says", "Source 2 says: Ask Kim."),
    ],
)
def test_another_form_is_not_valid(name, text):
    assert FAMILIES[name].read(text) is None
