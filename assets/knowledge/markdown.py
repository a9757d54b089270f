"""Markdown to sections: the heading path and the blocks below it, with the lines they stand on.

The outline of a document is found once, where it is parsed: in a process that is bounded in time and memory, several at
a time. What is inside a block is looked at only where the block must be cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from assets.ports import Mark

_BLANKS = re.compile(r"\n{3,}")
_TRAILING = re.compile(r"\s\n|\s\Z")
_VERBATIM = ("fence", "code_block")
_LEVELS = {f"h{level}": level for level in range(1, 7)}


@dataclass(frozen=True, slots=True)
class Block:
    """A block of Markdown: its kind, its lines and, inside another block, its tokens and the line it starts at."""

    kind: str
    lines: tuple[str, ...]
    tokens: tuple[Any, ...] = ()
    start: int = 0

    @property
    def text(self) -> str:
        """The block as it stands in the document, without trailing white space."""
        body = "\n".join(self.lines)
        if self.kind in _VERBATIM:
            return body.rstrip()
        if _TRAILING.search(body):
            body = "\n".join(line.rstrip() for line in self.lines)
        return (_BLANKS.sub("\n\n", body) if "\n\n\n" in body else body).strip("\n")

    def children(self) -> list[Block]:
        """The blocks inside a list, a list item or a quote, as they stand in the document; empty for other kinds."""
        tokens = self.tokens or _parsed(self.lines)
        inner = tokens[1:-1]
        found: list[Block] = []
        index = 0
        while index < len(inner):
            end = subtree(inner, index)
            token = inner[index]
            if token.map is not None and token.type != "inline":
                first, after = (line - self.start for line in token.map)
                kind = token.type.removesuffix("_open")
                found.append(Block(kind, self.lines[first:after], inner[index:end], token.map[0]))
            index = end
        return found


def _parsed(lines: Sequence[str]) -> tuple[Any, ...]:
    """The tokens of one top-level block. A heading after it ends it where the document's next block did."""
    tokens = _markdown().parse("\n".join([*lines, "# end"]))
    return tuple(tokens[: subtree(tokens, 0)])


def sections(
    title: str, text: str, marks: Sequence[Mark] | None = None
) -> Iterator[tuple[tuple[str, ...], list[Block]]]:
    """Yields (heading path, blocks) for each section that has blocks, or that is a heading with nothing below it.

    The path starts with the title, unless the document's own first heading says the same. `marks` is the text's
    outline, where it is known already.
    """
    path: list[tuple[int, str]] = []
    blocks: list[Block] = []
    last_level = 0
    lines = text.split("\n")
    for kind, start, end, name in outline(text) if marks is None else marks:
        level = _LEVELS.get(kind)
        if level is None:
            blocks.append(Block(kind, tuple(lines[start:end])))
            continue
        if blocks or (path and last_level and level <= last_level):
            yield _path(title, path), blocks
        blocks = []
        path = [entry for entry in path if entry[0] < level] + [(level, name)]
        last_level = level
    if blocks or path:
        yield _path(title, path), blocks


def _path(title: str, path: list[tuple[int, str]]) -> tuple[str, ...]:
    names = [name for _, name in path if name]
    return tuple(names if not title or (names and names[0] == title) else [title, *names])


def outline(text: str) -> tuple[Mark, ...]:
    """The headings and all other top-level blocks of a Markdown text, in order."""
    tokens = _markdown().parse(text)
    found: list[Mark] = []
    index = 0
    while index < len(tokens):
        token = tokens[index]
        if token.type == "heading_open" and token.map is not None:
            name = " ".join(tokens[index + 1].content.split())
            found.append(Mark(token.tag, token.map[0], token.map[1], _plain(name)))
        elif token.type != "hr" and token.map is not None:
            found.append(Mark(token.type.removesuffix("_open"), token.map[0], token.map[1]))
        index = subtree(tokens, index)
    return tuple(found)


def subtree(tokens: Sequence[Any], index: int) -> int:
    """The index after the token at `index` and all that it encloses."""
    depth = 0
    for position in range(index, len(tokens)):
        depth += tokens[position].nesting
        if depth <= 0:
            return position + 1
    return len(tokens)


_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_ANCHOR = re.compile(r"\s*\{\s*[#.][^}]*\}\s*$")


def _plain(name: str) -> str:
    """A heading as a reader sees it: link targets, anchors and emphasis marks removed."""
    return _ANCHOR.sub("", _LINK.sub(r"\1", name)).replace("**", "").replace("`", "").strip()


@lru_cache(maxsize=1)
def _markdown() -> Any:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.disable(["inline"])  # blocks are all that is needed, and most of the time goes into inline marks
    parser.disable("reference")  # link definitions stay in the text, as the paragraphs they look like
    return parser
