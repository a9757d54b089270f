"""What may be asked, by whom, of which passages. Pure.

a question                                   what happens
nothing, or nothing that anybody sees:       BadQuestion
white space, U+200B
punctuation only                             BadQuestion: nothing is asked
longer than the limit                        BadQuestion: somebody pasted a file
NUL and other control characters, or half    BadQuestion: that is no text
a surrogate pair
anything else, in any script or direction    asked, as it is: it is data, and decides nothing about who sees what

What an asker may see is a filter of the search itself. It is made of the asker alone; `where` is a second filter that
passages must pass as well, so that no question and no `where` can widen it.

the asker's groups    field of [access]    passages that are searched
None                  any                  all
a, b                  f                    those whose metadata f is a, b, or public
none at all           f                    those whose metadata f is public
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from assets.errors import BadQuestion
from assets.serving.answers import Asker

_FINE = frozenset("\t\n\r\v\f")
_UNSEEN = frozenset({"Cc", "Cf", "Mn", "Zl", "Zp", "Zs"})
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and a symbol that have no ink


@dataclass(frozen=True, slots=True)
class Access:
    """The metadata field that says who may read a passage, and the values that everybody may."""

    field: str = "audience"
    public: tuple[str, ...] = ("all",)

    def allowed(self, asker: Asker) -> dict[str, Collection[str]]:
        """The filter of an asker, as Query takes it."""
        if asker.groups is None:
            return {}
        return {self.field: frozenset(asker.groups).union(self.public)}


def checked(question: str, limit: int) -> str:
    """The question without white space around it; BadQuestion by the table above. `limit` is in characters."""
    if not isinstance(question, str):
        raise BadQuestion(f"a question of type {type(question).__name__}", expected="a text")
    text = question.strip()
    if len(text) > limit:
        raise BadQuestion(
            f"the question has {len(text):,} characters",
            expected=f"at most {limit:,} (answering.max_characters)",
            next_step="ask in fewer words; documents belong into a source",
        )
    odd = next((one for one in text if one not in _FINE and unicodedata.category(one) in ("Cc", "Cs")), "")
    if odd:
        raise BadQuestion(
            f"the question holds the character U+{ord(odd):04X}, which no text has",
            expected="text in UTF-8",
            next_step="send the text of the file, and not the file",
        )
    if not next(seen(text), ""):
        raise BadQuestion("the question is empty", expected="a text", next_step="ask something")
    if all(unicodedata.category(one).startswith("P") for one in seen(text)):
        raise BadQuestion(
            "the question is nothing but punctuation",
            expected="a letter, a digit or another symbol",
            next_step="ask something",
        )
    return text


def seen(text: str) -> Iterator[str]:
    """The characters of a text that anybody sees: no white space, no control or combining characters, no fillers."""
    return (one for one in text if unicodedata.category(one) not in _UNSEEN and one not in _BLANK)


def filters(where: Mapping[str, str]) -> dict[str, str]:
    """`where` as it may be asked; BadQuestion for what is no pair of texts."""
    for name, value in where.items():
        if not (isinstance(name, str) and isinstance(value, str) and name):
            raise BadQuestion(
                f"where holds {name!r:.40}: {value!r:.40}",
                expected="names of metadata fields and their values, as texts",
                next_step="correct it",
            )
    return dict(where)
