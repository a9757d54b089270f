"""Real text: SQuAD-style questions, and prose with questions made by rules. Evaluation contexts are kept apart."""

from __future__ import annotations

import gzip
import json
import lzma
import random
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from assets.prompting import statements
from models.recipe.items import Asked

QA_FILE, PROSE_FILE = "instruction-qa.jsonl.gz", "plain-english.jsonl.xz"
QA_SOURCES = ("xquad-en", "squad-new-wiki")
HELD_OUT_PERCENT = 15  # of the SQuAD-style contexts, by crc32: evaluation only
KEEP = {  # share of the paragraphs taken of a source whose name holds the key
    "standardebooks": 0.25, "windows-driver": 0.07, "cpp": 0.1, "PowerShell": 0.35, "google": 0.0, "tldr": 0.0,
}  # fmt: skip


@dataclass(slots=True)
class Question:
    """A SQuAD-style row: context, question, answer span."""

    context: str
    question: str
    span: str


def is_held_out(context: str) -> bool:
    """Whether a SQuAD-style context belongs to evaluation."""
    return zlib.crc32(context.encode()) % 100 < HELD_OUT_PERCENT


def questions(folder: Path) -> list[Question]:
    """All usable SQuAD-style rows: the answer stands in one statement of the context."""
    found = []
    with gzip.open(folder / QA_FILE, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            span = row["response"].strip().rstrip(".")
            if row["source"] in QA_SOURCES and span and any(span in s for s in statements(row["context"])):
                found.append(Question(row["context"], row["prompt"].strip(), span))
    return found


def squad(rows: Sequence[Question], rng: random.Random, repeats: int) -> tuple[list[tuple[str, str]], list[Asked]]:
    """A corpus of contexts and what is asked of it; `repeats` draws a question, a third of them without its context."""
    at = {context: i for i, context in enumerate(dict.fromkeys(row.context for row in rows))}
    cut = {context: statements(context) for context in at}
    asked = []
    for row in rows:
        own = at[row.context]
        holds = [s for s in cut[row.context] if row.span in s]
        sentence = max(holds, key=lambda s: _common(row.question, s))
        for repeat in range(repeats):
            if repeat % 3 == 2 or (repeats < 3 and rng.random() < 0.33):
                banned = tuple(i for c, i in at.items() if row.span in c)
                asked.append(Asked(row.question, banned=(own, *banned)))
            else:
                asked.append(Asked(row.question, own, sentence, row.span))
    return [("", context) for context in at], asked


def _common(a: str, b: str) -> int:
    return len(set(re.findall(r"\w{4,}", a.lower())) & set(re.findall(r"\w{4,}", b.lower())))


def paragraphs(folder: Path, rng: random.Random) -> Iterator[tuple[str, list[str]]]:
    """(heading, statements) of real prose, in the order of the file."""
    with lzma.open(folder / PROSE_FILE, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            keep = next((share for name, share in KEEP.items() if name in row["source"]), 0.9)
            novel = "standardebooks" in row["source"]
            heading = ""
            for block in row["text"].split("\n\n"):
                text = block.strip()
                if text and len(text) < 70 and "\n" not in text and not re.search(r"[.!?:;]$", text):
                    heading = text.lstrip("# ")
                    continue
                if rng.random() > keep:
                    continue
                cut = [s for s in statements(text) if 5 <= len(s.split()) <= 40 and len(s) < 280]
                if len(cut) >= 2:
                    start = rng.randrange(max(1, len(cut) - 5))
                    bare = novel or rng.random() < 0.15
                    yield "" if bare else heading, cut[start : start + rng.choice((3, 4, 5, 6))]
