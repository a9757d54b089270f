"""The JSON around what a generator said, of variants whose answers are JSON: {"answer": what it said, "source": n}.

    text                                                          what was said in it
    -----------------------------------------------------------  ------------------------
    an object with the keys "answer" (a text), "source", and
    perhaps "fallback", and no other                              its "answer"
    anything else                                                 the text itself

Code can guarantee a structure, so no weights are spent on it: serving puts the frame around an answer, attribution and
datasets take it off (docs/decisions/0011-json-is-framed-by-code.md). Citations stay in the text, so nothing is lost.
"""

from __future__ import annotations

import json
from typing import Any

from assets.behavior import forms

KEYS = {"answer", "source"}
MARK = "fallback"  # on an answer that is a sentence of a passage, and not the generator's


def framed(text: str, source: int | None, **more: Any) -> str:
    """A text in its frame, with the number of the first passage that it cites."""
    return json.dumps({"answer": text, "source": source, **more}, ensure_ascii=False)


def unframed(text: str) -> str:
    """What was said in a frame."""
    said = _said(text)
    return text if said is None else said


def is_framed(text: str) -> bool:
    """Whether a text is a frame with what was said in it."""
    return _said(text) is not None


def _said(text: str) -> str | None:
    body = text.strip()
    if not (body.startswith("{") and body.endswith("}")):
        return None
    value = forms.parsed_json(body)
    if not isinstance(value, dict) or value.keys() - {MARK} != KEYS:
        return None
    said = value["answer"]
    return said if isinstance(said, str) else None
