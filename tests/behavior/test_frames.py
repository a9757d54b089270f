"""The JSON around an answer: put on by serving, taken off by what reads answers."""

from __future__ import annotations

import json

import pytest

from assets.behavior.frames import framed, is_framed, unframed

SAID = 'Lockers cost "4 euros". [2]\n- Repeat'


@pytest.mark.parametrize("source", [2, None])
@pytest.mark.parametrize("more", [{}, {"fallback": True}])
def test_frame_is_json_and_comes_off_again(source, more):
    text = framed(SAID, source, **more)
    assert json.loads(text) == {"answer": SAID, "source": source, **more}
    assert (is_framed(text), unframed(text)) == (True, SAID)
    assert unframed(f"  {text}\n") == SAID


@pytest.mark.parametrize(
    "text",
    [SAID, "", "{", '{"answer": "a"}', '{"answer": 4, "source": 1}', '["a"]', '{"source": 1}',
     '{"answer": "a", "source": 1, "mood": "kind"}', 'So: {"answer": "a", "source": 1}'],
)  # fmt: skip
def test_what_is_no_frame_is_left_as_it_is(text):
    assert (is_framed(text), unframed(text)) == (False, text)
