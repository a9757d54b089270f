"""Did a held-out item get into the training data? By whose it is, and by what it says.

    interaction   a training row was made of the same interaction
    group         a training row is of the same group (the split was not by group, or by another key)
    text          a training row asks the same question and gives the same answer, in other case, spacing or punctuation
    near          or nearly so: NEAR of the five-word runs of question and answer are those of one training row

Rehearsal rows count like any other. A question alone is no leak where the answer is as long: many ask it, and it is the
answer that teaches. Of a short answer it is most of the text, and the row is taken to teach it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assets.behavior.evaluation.items import Item
from assets.behavior.evaluation.metrics import normalized
from assets.fingerprints import digest

NEAR = 0.8
RUN = 5  # words
_COMMON = 200  # rows that share a run: it says nothing about any of them

Row = Mapping[str, Any]  # {"messages": [{"role", "content"}, ...], "interaction_ids": [...], "group": str, ...}


def leaks(items: Sequence[Item], rows: Sequence[Row]) -> list[str]:
    """One sentence for each held-out item that leaked, in the order of the items."""
    trained = _Trained(rows)
    return [found for item in items if (found := trained.why(item))]


class _Trained:
    """Training rows, looked up by all that an item could share with them."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._interactions = {str(id) for row in rows for id in row.get("interaction_ids") or ()}
        self._groups = {str(row["group"]) for row in rows if row.get("group")}
        self._texts, self._runs = set(), defaultdict(list)
        for number, row in enumerate(rows):
            answer, runs = _answer(row), set()
            for question in _questions(row):
                self._texts.add(_key(question, answer))
                runs |= _runs(question, answer)
            for run in runs:
                self._runs[run].append(number)

    def why(self, item: Item) -> str:
        """How an item leaked; empty where it did not."""
        same = sorted(self._interactions.intersection(item.interactions))
        if same:
            return f"{item.id}: interaction {same[0]} was trained on"
        if item.group and item.group in self._groups:
            return f"{item.id}: group {item.group} was trained on"
        for reference in item.references:
            if _key(item.question, reference) in self._texts:
                return f"{item.id}: the same question and answer were trained on"
            if self._near(_runs(item.question, reference)):
                return f"{item.id}: nearly the same question and answer were trained on"
        return ""

    def _near(self, runs: set[str]) -> bool:
        shared: Counter[int] = Counter()
        for run in runs:
            rows = self._runs.get(run, ())
            shared.update(rows if len(rows) <= _COMMON else ())
        return bool(shared) and max(shared.values()) >= NEAR * len(runs)


def _answer(row: Row) -> str:
    said = [message["content"] for message in row["messages"] if message["role"] == "assistant"]
    return said[-1] if said else ""


def _questions(row: Row) -> Iterator[str]:
    """What a row may ask: its prompt, where it has one; the last paragraph of its last user turn, where prompts put the
    question, or all of that turn."""
    if row.get("prompt"):
        yield str(row["prompt"])
    asked = [message["content"] for message in row["messages"] if message["role"] == "user"]
    if asked:
        yield asked[-1].strip().rsplit("\n\n", 1)[-1].removeprefix("Question: ")
        yield asked[-1]


def _key(question: str, answer: str) -> str:
    return digest([" ".join(normalized(question)), " ".join(normalized(answer))])


def _runs(question: str, answer: str) -> set[str]:
    """Five-word runs of the question and of the answer; a shorter text is one run."""
    found = set()
    for side, text in (("q", question), ("a", answer)):
        words = normalized(text)
        found |= {f"{side} {' '.join(words[at : at + RUN])}" for at in range(max(len(words) - RUN + 1, 1))}
    return found
