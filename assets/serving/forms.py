"""The form that a variant's answers must have, and how we write an answer in it ourselves.

form    keeps it                                              written
text    anything                                              the sentence
json    a JSON object with an `answer` that is a text, or     {"answer": ..., "source": n}, with "fallback": true where
        one that keeps the variant's schema                   the schema lets it (assets/behavior/frames.py)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from assets.behavior import forms, frames


@dataclass(frozen=True, slots=True)
class Form:
    """What has to be kept. `valid` is of the schema, and None where there is none."""

    kind: Literal["text", "json"] = "text"
    valid: Callable[[str], bool] | None = None

    def keeps(self, text: str) -> bool:
        """Whether an answer has this form."""
        if self.kind == "text":
            return True
        value = parsed(text)
        if not isinstance(value, dict):
            return False
        return self.valid(text) if self.valid else isinstance(value.get("answer"), str)

    def around(self, text: str, source: int | None) -> str:
        """What was said without a form, in this one. It may still not keep the variant's schema."""
        return text if self.kind == "text" else frames.framed(text, source)

    def refusal(self, sentence: str) -> str:
        """That nothing shown answers."""
        return self.around(sentence, None)

    def quote(self, sentence: str, number: int) -> str:
        """A sentence of a passage that stands in for an answer, marked as that."""
        if self.kind == "text":
            return f"The passages say: “{sentence}” [{number}]"
        marked = frames.framed(sentence, number, **{frames.MARK: True})
        return marked if self.valid is None or self.valid(marked) else frames.framed(sentence, number)


def parsed(text: str) -> Any:
    """The JSON object or array that an answer is, in a fence or without; None where it is none."""
    body = text.strip()
    if body.startswith("```") and body.endswith("```"):
        body = body[3:-3].partition("\n")[2]
    return forms.parsed_json(body)
