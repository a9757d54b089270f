from __future__ import annotations

import pytest

from assets.behavior.dataset.rendering import renderer
from assets.behavior.dataset.rows import Passage
from assets.behavior.dataset.writing import Ask
from assets.prompting import TEMPLATES, evidence
from assets.prompting import Passage as Shown
from tests.fakes import HashEncoder

PASSAGES = [
    Passage(1, "Handbook > Vans", "Vans are white. The key hangs beside the door of the workshop."),
    Passage(2, "Handbook > Leave", "Up to five days carry over. They lapse in March."),
]
ASKS = [Ask("Where is the key of the van?", PASSAGES), Ask("Do days carry over?", PASSAGES), Ask("Anything?", [])]


def test_prompt_is_what_serving_would_write():
    encoder, template = HashEncoder(), TEMPLATES["evidence"]
    found = renderer(template, encoder, k=2)(ASKS)
    shown = [Shown(one.number, one.heading, one.text) for one in PASSAGES]
    for ask, messages in zip(ASKS, found, strict=True):
        items = evidence(ask.question, shown if ask.passages else [], encoder.encode, 2)
        assert messages == template.messages(ask.question, items)


def test_sentences_are_embedded_once():
    encoder = HashEncoder()
    render = renderer(TEMPLATES["evidence"], encoder)
    render(ASKS)
    render(ASKS)
    assert len(encoder.embedded) == len(set(encoder.embedded)) > 0


@pytest.mark.parametrize("manner", ["", "As a list."])
def test_large_bases_see_whole_passages(manner):
    [[*system, asked], *_] = renderer(TEMPLATES["passages"], HashEncoder(), manner=manner)(ASKS)
    assert PASSAGES[1].text in asked["content"]
    assert asked["content"].endswith(ASKS[0].question)
    assert bool(manner) == (manner != "" and manner in system[0]["content"])
