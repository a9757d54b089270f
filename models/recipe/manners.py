"""Manners of answering, announced by a system message: JSON with random keys, labels, letters, citations, numbers.

A manner is (system text, write), where write(statement or None, passage number) is the answer. Kept out, for tests of
adapters: JSON with the keys answer and sources, the wording of a help-desk letter, "Source [n] says:".
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from assets.prompting import REFUSAL, plain_answer
from models.recipe.words import words

Write = Callable[[str | None, int], str]
Manner = tuple[str, Write]

_KEYS = words("keys")
_SOURCES = words("sources")
_OPENINGS = words("openings")
_CLOSINGS = words("closings")
_NOTHING = words("nothing")
_JSON = (
    'Answer in JSON with the keys "{0}" and "{1}".',
    'Return JSON: {{"{0}": ..., "{1}": ...}}',
    "Reply as JSON, keys {0} and {1}.",
    "Use a JSON object with {0} and {1}.",
)
_CITATIONS = (
    ("{v} (passage {i})", "Name the passage in brackets."),
    ("According to passage {i}: {v}", "Start with the passage."),
    ("{v} See {i}.", "End with see and the number."),
    ("{i}: {v}", "Start with the number."),
    ("From {i} - {v}", "Start with from and the number."),
    ("{v} <{i}>", "Put the number in angle brackets."),
    ("{v} {{{i}}}", "Put the number in braces."),
    ("[{i}] {v}", "Start with the number in square brackets."),
    ("({i}) {v}", "Start with the number in brackets."),
    ("{v}", "No passage number."),
    ('"{v}" {i}', "Quote it with the number."),
)
_BODIES = ("{b}{v}", "{b}{v}", "{b}{v} ({i})", "{b}{v}\n{b}passage {i}", "{b}{v}\n{b}source {i}", "{b}no. {i}: {v}")


def plain(statement: str | None, number: int) -> str:
    """The manner without a system message."""
    return REFUSAL if statement is None else plain_answer(statement, number)


def draw(rng: random.Random) -> Manner:
    """One manner of many."""
    makers = (_json, _label, _letter, _citation, _number)
    return rng.choices(makers, (0.36, 0.26, 0.2, 0.14, 0.04))[0](rng)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _json(rng: random.Random) -> Manner:
    key, source = rng.choice(_KEYS), rng.choice(_SOURCES)
    if rng.random() < 0.1:
        key, source = key.upper(), source.upper()
    listed, answer_first = rng.random() < 0.5, rng.random() < 0.8
    empty = None if rng.random() < 0.5 else rng.choice((REFUSAL, *_NOTHING, ""))
    system = rng.choice(_JSON).format(*((key, source) if answer_first else (source, key)))
    system += f" {_capital(source)} is a list." if listed else ""
    system += "" if empty is None else f' If nothing is found write "{empty}".'

    def write(statement: str | None, number: int) -> str:
        none, some = ([], [number]) if listed else (None, number)
        answer = (key, empty if statement is None else statement)
        origin = (source, none if statement is None else some)
        return json.dumps(dict((answer, origin) if answer_first else (origin, answer)), ensure_ascii=False)

    return system, write


def _label(rng: random.Random) -> Manner:
    label, source = _capital(rng.choice(_KEYS)), _capital(rng.choice(_SOURCES))
    colon = rng.choice((": ", " = ", " -> ", " - ", ": "))
    between = rng.choice(("\n", "; ", " | ", "\n- ", "\n\n"))
    nothing = rng.choice((REFUSAL, *_NOTHING))
    hint = "" if nothing == REFUSAL else f" Without an answer: {nothing}"
    head = f"{rng.choice(('', '', '- ', '* ', '> ', '# '))}{label}{colon}"
    if rng.random() < 0.6:
        tail = f"{between}{source}{colon}"
        return f"Format: {head}...{tail}#{hint}", lambda v, i: f"{head}{v or nothing}{tail}{'none' if v is None else i}"
    return f"Format: {head}...{hint}", lambda v, _: f"{head}{v or nothing}"


def _letter(rng: random.Random) -> Manner:
    opening = rng.choice(_OPENINGS) + rng.choice((".", "!", ",", ":", "")) if rng.random() < 0.8 else ""
    closing = rng.choice(_CLOSINGS) + rng.choice((".", "!", "")) if rng.random() < 0.6 or not opening else ""
    bullet, body = rng.choice(("", "- ", "* ", "• ", "> ")), rng.choice(_BODIES)
    nothing = rng.choice((REFUSAL, *map(_capital, _NOTHING), "Sorry, I found nothing.", "I do not know."))
    separator = "\n" if rng.random() < 0.8 else " "

    def joined(text: str) -> str:
        return separator.join(part for part in (opening, text, closing) if part)

    system = "Write: " + joined(body.format(b=bullet, v="...", i="#"))
    system += "" if nothing == REFUSAL else f" Without an answer: {nothing}"
    return system, lambda v, i: joined(f"{bullet}{nothing}" if v is None else body.format(b=bullet, v=v, i=i))


def _citation(rng: random.Random) -> Manner:
    form, system = rng.choice(_CITATIONS)
    return system, lambda v, i: REFUSAL if v is None else form.format(v=v, i=i)


def _number(rng: random.Random) -> Manner:
    system = rng.choice(("Only the passage number.", "Name the passage only."))
    return system, lambda v, i: REFUSAL if v is None else f"[{i}]"
