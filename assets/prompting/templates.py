"""The two templates: evidence statements for small bases, whole passages for large ones. Each is versioned by hash.

A template's version is the hash of what decides its prompts: its texts and the code that fills them in, and the code of
the rules that pick and word what is shown (comments and docstrings aside). A release carries it: answers are told apart
by what was shown.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from assets.prompting.evidence import Evidence, Passage, passage

REFUSAL = "The passages do not say."
CITATION = "{answer} [{number}]"
NUMBERED = re.compile(r"^(\s*)\[(\d+)\]", re.MULTILINE)  # what a line of a document may not begin with: [2]


@dataclass(frozen=True, slots=True)
class Template:
    """One way to show a model what it may answer from.

    `shows`: "evidence" (statements with their support) or "passages" (whole bodies). `entry` has the fields number,
    heading, support, body; `manner` goes into a system message, after `system` where there is one.
    """

    name: str
    shows: str
    entry: str
    separator: str
    prompt: str
    system: str = ""

    @property
    def version(self) -> str:
        """12 hex digits; equal texts and rules give equal versions."""
        texts = [
            self.name,
            self.shows,
            self.entry,
            self.separator,
            self.prompt,
            self.system,
            REFUSAL,
            CITATION,
            NUMBERED.pattern,
        ]
        rules = (Template.messages, Template._entry, *_RULES[self.shows])
        return hashlib.sha256("\0".join([*texts, *map(_source, rules)]).encode()).hexdigest()[:12]

    def messages(
        self, question: str, shown: Sequence[Evidence] | Sequence[Passage], manner: str = ""
    ) -> list[dict[str, str]]:
        """Chat messages, ready for a chat template. `manner`: an instruction on the form of the answer."""
        entries = self.separator.join(self._entry(item) for item in shown)
        asked = {"role": "user", "content": self.prompt.format(entries=entries, question=" ".join(question.split()))}
        system = "\n".join(part for part in (self.system, manner.strip()) if part)
        return [{"role": "system", "content": system}, asked] if system else [asked]

    def _entry(self, item: Evidence | Passage) -> str:
        heading = f" {item.heading}" if item.heading else ""
        if isinstance(item, Evidence):
            word, body = item.support, item.sentence
        else:
            word, body = "", item.text.strip()
        fenced = NUMBERED.sub(r"\1(\2)", body)  # a document cannot begin an entry of its own
        return self.entry.format(number=item.number, heading=heading, support=word, body=fenced)


class Quoting(Template):
    """A template of whole bodies: each of their lines is quoted ("> "), so that none of them is one of the prompt's
    own, such as "Question: ..."; headings are of one line."""

    @property
    def version(self) -> str:
        """That of its texts and rules, and of how it quotes."""
        return hashlib.sha256(f"{super().version}\0{_source(Quoting._entry)}".encode()).hexdigest()[:12]

    def _entry(self, item: Evidence | Passage) -> str:
        told = Template._entry(self, replace(item, heading=" ".join(item.heading.split())))
        head, *body = told.splitlines()
        return "\n".join([head, *(f"> {line}".rstrip() for line in body)])


def plain_answer(sentence: str, number: int) -> str:
    """The manner of the bundled base when no other is asked for: the statement and its passage number."""
    return CITATION.format(answer=sentence, number=number)


@functools.cache
def _source(code: ModuleType | Callable[..., Any]) -> str:
    """The code of a module or function as its syntax tree, without docstrings: what is only reworded or reformatted
    stays equal."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


_RULES: Mapping[str, Sequence[ModuleType | Callable[..., Any]]] = {
    # by name: the package calls two of its functions as it does their modules
    "evidence": [importlib.import_module(f"assets.prompting.{n}") for n in ("blocks", "sentences", "cues", "evidence")],
    "passages": [passage],
}

TEMPLATES: Mapping[str, Template] = {
    "evidence": Template(
        name="evidence",
        shows="evidence",
        entry="[{number}]{heading} ({support})\n{body}",
        separator="\n",
        prompt="{entries}\n\n{question}",
    ),
    "passages": Quoting(
        name="passages",
        shows="passages",
        entry="[{number}]{heading}\n{body}",
        separator="\n\n",
        prompt="Passages:\n\n{entries}\n\nQuestion: {question}",
        system=(
            "Answer from the numbered passages alone, in one or two sentences, and cite the passage in brackets, as in "
            f'[2]. If no passage holds the answer, reply exactly: "{REFUSAL}"'
        ),
    ),
}
