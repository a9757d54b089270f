"""How the people and the model of the demo logs write: questions, and one statement in many forms."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")

OPENERS = ("", "", "", "", "Hi! ", "Hello! ", "Quick question: ", "Sorry to bother you. ", "A colleague asks: ")
CLOSERS = (
    "",
    "",
    "",
    "",
    "",
    " Thanks!",
    " I could not find it on the Hub.",
    " Thank you.",
    " It is for a new colleague.",
)
CONTACT = " You can reach me at {user}@vellamoor.example or on +00 555 0142."
WANTS = {
    "table": (" Please answer as a table.", " Give it to me as a table."),
    "list": (" As bullet points, please.", " Answer as a bulleted list."),
    "json": (" Answer as JSON.", " Return it as JSON."),
    "message": (" Write a short message to Emre about it.", " Draft a note to my team about it."),
}
REFUSALS = (
    "I'm sorry, but I could not find anything about this in the documents that I have.",
    "I am afraid I cannot answer that. Please ask the responsible department.",
    "Unfortunately the handbook does not say anything about this.",
)
BUTTONS = ("- Say more", "- Not what I need")
KEYS = ("- Repeat", "- Speak to a person")
CLUMSY = ("As per the documents: ", "Regarding your question, ", "Based on the passages, ")
FORMAL = (
    "Thank you very much for your question. According to the documentation that is available to me, I would like to "
    "inform you of the following regulation, which may be of relevance in your case. {answer} Please do not hesitate "
    "to contact the responsible department should you require any further clarification in this matter. I sincerely "
    "hope that this information is of assistance to you."
)


class Dice:
    """Chances that depend on names and on nothing else: neither on the order of the draws nor on a library's version.

    A draw that one option of the generator adds does not disturb the others, so that two logs differ in what was asked
    for and in nothing else.
    """

    def __init__(self, *path: object) -> None:
        self._path = "\x1f".join(map(str, path))

    def unit(self, name: str) -> float:
        """A number from 0 up to 1."""
        data = blake2b(f"{self._path}\x1f{name}".encode(), digest_size=8).digest()
        return int.from_bytes(data, "big") / 2**64

    def chance(self, name: str, probability: float) -> bool:
        """True with that probability."""
        return self.unit(name) < probability

    def pick(self, name: str, options: tuple[T, ...] | list[T]) -> T:
        """One of the options, each as likely."""
        return options[int(self.unit(name) * len(options))]

    def weighted(self, name: str, weights: dict[str, float]) -> str:
        """One of the keys, as likely as its share of all weights."""
        left = self.unit(name) * sum(weights.values())
        for option, weight in weights.items():
            left -= weight
            if left < 0:
                return option
        return next(reversed(weights))


def question(dice: Dice, ask: str, want: str, user: str) -> str:
    """A question as somebody types it, with the form that they want the answer in."""
    text = ask
    if dice.chance("careless", 0.15):
        text = text[0].lower() + text[1:].rstrip("?.")
    wish = dice.pick("wish", WANTS[want]) if want in WANTS else ""
    closer = CONTACT.format(user=user) if dice.chance("contact", 0.004) else dice.pick("closer", CLOSERS)
    return dice.pick("opener", OPENERS) + text + wish + closer


def answer(want: str, line: str, cited: int) -> str:
    """A statement in the form that was asked for; as it is where none was. `cited` numbers its passage, 0: none."""
    return _FORMS[want](line, cited) if want in _FORMS else quoted(line, cited)


def quoted(line: str, cited: int = 0) -> str:
    """A statement with the number of its passage; 0: no passage says it."""
    return f"{line} [{cited}]" if cited else line


def widget(line: str, cited: int) -> str:
    """The same as the intranet's new chat window reads it: lines with a dash become its buttons."""
    return "\n".join([quoted(line, cited), *BUTTONS])


def spoken(line: str, cited: int) -> str:
    """The same for a telephone, which offers lines with a dash as keys to press."""
    return "\n".join([quoted(line, cited), *KEYS])


def boxed(line: str, cited: int) -> str:
    """The same as one JSON object."""
    return json.dumps({"answer": line, "source": cited}, ensure_ascii=False)


def bullet(line: str, cited: int) -> str:
    """A bulleted list of it."""
    return f"- {quoted(line, cited)}"


def table(line: str, cited: int) -> str:
    """A Markdown table of it."""
    return f"| Rule | Passage |\n| --- | --- |\n| {line} | {cited} |"


def message(line: str, cited: int) -> str:
    """A note to somebody."""
    return f"Hi all,\n\n{quoted(line, cited)}\n\nBest regards"


def formal(plain: str) -> str:
    """The answer buried in courtesies."""
    return FORMAL.format(answer=plain)


_FORMS: dict[str, Callable[[str, int], str]] = {
    "table": table, "list": bullet, "json": boxed, "spoken": spoken, "widget": widget, "message": message
}  # fmt: skip
