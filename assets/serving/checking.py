"""What a generator said, held against what it was shown. Pure.

it said                                                       problem, and what becomes of it
nothing, or no word beside citations and punctuation          "no generator answer": the best evidence sentence
what declines (the template's sentence, or another)           none: a refusal, in the variant's form
a text, where the variant's form is JSON                      it is judged like any text, and framed
what is JSON and not in the variant's form, a text that no   "broken form": the best evidence sentence, in that form
frame makes one of its schema, or was cut off (it repeats
itself, or has more to say than it may)
a number, name or literal, or many words, that the cited      "no support": the best evidence sentence
passages (all shown ones, where it cites none) do not hold,
also where the question holds them (assets/serving/support)
what turns a statement of those passages around, in its own   "no support": the best evidence sentence
words ("may not", where it says "may")
citations of passages that were not shown, and no other, or   "no support": the best evidence sentence
in words ("Source 9 says"), which cannot be taken out
such citations beside good ones                               none: they are taken out
no citation, and it is supported                              none: the passage that holds most of it is named

The best evidence sentence is no better than nothing where its own support is "none": then the answer is a refusal.
Support is judged by the rule that datasets are made by (assets/behavior/dataset/lint.py), and more strictly by that of
assets/serving/support.py: a row was corrected by a person, and an answer by nobody. What passages or questions ask for
takes no part in any of this.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

from assets.behavior import facts
from assets.behavior.dataset.lint import unsupported
from assets.behavior.refusals import is_refusal
from assets.prompting import REFUSAL
from assets.serving import support
from assets.serving.forms import Form, parsed

UNSEEN_WORDS = 0.3  # of an answer's own common words: dataset.max_unsupported's default
NO_SUPPORT, BROKEN_FORM, NO_ANSWER = "no support", "broken form", "no generator answer"
ANSWERS = ("answer", "text", "response", "content")  # fields of a JSON manner that hold what is said
SOURCES = ("source", "sources", "citation", "citations", "passage", "passages")  # and those that hold numbers
_BRACKETS = re.compile(r"[ \t]*\[\s*(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\s*\]")
_NAMED = re.compile(r"\b[Ss]ources?\W{0,6}\[?(\d{1,3})\b")
_WORD = re.compile(r"[^\W_]")  # a letter or a digit of any script


class Text(NamedTuple):
    """A passage as it is looked up: its words, with the name of its document."""

    text: str
    doc_id: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What may be said: the text, the numbers that it cites, or the `problem` that keeps it from being said."""

    text: str
    refused: bool = False
    cited: tuple[int, ...] = ()
    problem: str = ""


def checked(
    said: str,
    question: str,
    shown: Mapping[int, Text],
    form: Form,
    allowed: Set[str] = frozenset(),
    *,
    ended: bool = True,
) -> Checked:
    """Judges an answer by the table above. `shown` holds the passages of the prompt by number; `allowed` keys of facts
    that the released manner states whatever the question, such as a signature; `ended` is whether it was done."""
    body = said.strip()
    if not body:
        return Checked("", problem=NO_ANSWER)
    if not ended:
        return Checked(body, problem=BROKEN_FORM)
    value = parsed(body)
    content = _answer(value) if isinstance(value, dict) else body
    if not _WORD.search(_BRACKETS.sub("", _NAMED.sub("", content))):
        return Checked(body, problem=NO_ANSWER)
    if declines(content):
        return Checked(body if form.keeps(body) else form.refusal(REFUSAL), refused=True)
    bare = form.kind == "json" and not body.startswith(("{", "[", "`"))  # a text that is still to be framed
    if not (bare or form.keeps(body)):
        return Checked(body, problem=BROKEN_FORM)
    named = _cited(body, value)
    cited = tuple(number for number in named if number in shown)
    if (named and not cited) or not shown.keys() >= _in_words(body, value):
        return Checked(body, problem=NO_SUPPORT)
    kept = body if len(cited) == len(named) else _without(body, value, shown.keys())
    passages = [shown[number] for number in cited or shown]
    texts, names = [one.text for one in passages], [one.doc_id for one in passages]
    said = _BRACKETS.sub("", content)
    if unsupported(question, said, texts, names, UNSEEN_WORDS, cited=max(shown, default=0), allowed=allowed):
        return Checked(body, problem=NO_SUPPORT)
    if support.borrowed(question, said, texts, names, UNSEEN_WORDS, allowed=allowed) or support.turned(said, texts):
        return Checked(body, problem=NO_SUPPORT)
    cited = cited or _holding(said, shown)
    told = form.around(kept, next(iter(cited), None)) if bare else kept
    return Checked(told, cited=cited) if form.keeps(told) else Checked(body, problem=BROKEN_FORM)


def declines(text: str) -> bool:
    """Whether a text declines, by the template's own sentence or in other words."""
    plain = _BRACKETS.sub("", text).strip().strip('"“”').rstrip(".").casefold()
    return plain == REFUSAL.rstrip(".").casefold() or is_refusal(text)


def _answer(value: Mapping[str, Any]) -> str:
    """What a JSON manner says: its answer field, or all of it."""
    held = next((value[name] for name in ANSWERS if isinstance(value.get(name), str)), None)
    return held if held is not None else json.dumps({k: v for k, v in value.items() if k not in SOURCES})


def _cited(body: str, value: Any) -> tuple[int, ...]:
    """The numbers that an answer names, each once, in the order in which it names them."""
    found = [number for group in _BRACKETS.findall(body) for number in re.findall(r"\d+", group)]
    for name in SOURCES if isinstance(value, dict) else ():
        held = value.get(name)
        found += [str(one) for one in (held if isinstance(held, list) else [held]) if _is_number(one)]
    return tuple(dict.fromkeys([*map(int, found), *sorted(_in_words(body, value))]))


def _in_words(body: str, value: Any) -> set[int]:
    return set() if isinstance(value, dict) else set(map(int, _NAMED.findall(body)))


def _is_number(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and value.isdigit())


def _without(body: str, value: Any, shown: Set[int]) -> str:
    """An answer without the numbers of passages that were not shown."""

    def kept(match: re.Match[str]) -> str:
        good = [number for number in re.findall(r"\d+", match[1]) if int(number) in shown]
        space = match[0][: len(match[0]) - len(match[0].lstrip())]
        return f"{space}[{', '.join(good)}]" if good else ""

    if not isinstance(value, dict):
        return _BRACKETS.sub(kept, body)
    clean = {name: _BRACKETS.sub(kept, one) if isinstance(one, str) else one for name, one in value.items()}
    for name in SOURCES:
        held = clean.get(name)
        if isinstance(held, list):
            clean[name] = [one for one in held if not _is_number(one) or int(str(one)) in shown]
        elif _is_number(held) and int(str(held)) not in shown:
            clean[name] = None
    return json.dumps(clean, ensure_ascii=False)


def _holding(text: str, shown: Mapping[int, Text]) -> tuple[int, ...]:
    """The passage that holds most of what a text states; the first of equals."""
    said = facts.keys(text)
    best = max(shown, key=lambda number: (len(said & facts.passage_keys(shown[number].text)), -number), default=None)
    return () if best is None else (best,)
