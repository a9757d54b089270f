"""Six things that happen to a documentation folder, as trees to be written one after the other.

The files are astro-docs at 2025-11-23 and at 2026-03-17 (114 days, five snapshots at once), without the error pages
that are generated from code: 259 and 263 documents.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from benchmarks.reindex import corpora

BEFORE, AFTER = 13, 18
QUICK = ("basics/", "concepts/", "recipes/", "tutorial/")
WORD = "Incidentally"
_FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_PROSE = re.compile(r"^(?!import |export )(?=[A-Z][a-z])", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Step:
    """A tree to write before a sync, and what it stands for."""

    key: str
    label: str
    tree: corpora.Tree


def steps(quick: bool = False) -> list[Step]:
    """The steps in the order in which they happen."""
    history = corpora.load("astro-docs")

    def keep(path: str) -> bool:
        return path.startswith(QUICK) if quick else not path.startswith("reference/errors/")

    before, after = corpora.subset(history[BEFORE].tree, keep), corpora.subset(history[AFTER].tree, keep)
    renamed = rename_tenth(after)
    days = f"{history[BEFORE].date[:10]} to {history[AFTER].date[:10]}"
    changed = sum(before.get(path) != text for path, text in after.items()) + len(before.keys() - after.keys())
    moved = len(after.keys() - renamed.keys())
    return [
        Step("full", f"full index of {len(before)} documents", before),
        Step("change", f"four months at once ({days}: {changed} files)", after),
        Step("no-op", "nothing changed", after),
        Step("rename", f"10% of the files renamed ({moved})", renamed),
        Step("word", "one word at the top of the longest file", insert_word(renamed)),
        Step("revert", "back to the first tree", before),
    ]


def rename_tenth(tree: corpora.Tree) -> dict[str, str]:
    """Every tenth path, in sorted order, gets another name in the same folder."""
    moved = set(sorted(tree)[::10])
    return {re.sub(r"(\.mdx?)$", r"-renamed\1", path) if path in moved else path: text for path, text in tree.items()}


def insert_word(tree: corpora.Tree) -> dict[str, str]:
    """One word before the first line of prose that follows the front matter of the longest file."""
    path = max(tree, key=lambda name: (len(tree[name]), name))
    front = _FRONT.match(tree[path])
    start = front.end() if front else 0
    prose = _PROSE.search(tree[path], start)
    at = prose.start() if prose else start
    return {**tree, path: f"{tree[path][:at]}{WORD} {tree[path][at:]}"}
