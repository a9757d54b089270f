"""Markdown to sections: the heading path and the blocks below it, with the lines they stand on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_BLANKS = re.compile(r"\n{3,}")


@dataclass(frozen=True, slots=True)
class Block:
    """A top-level block of Markdown: its kind, its lines, and its token subtree for cutting it further."""

    kind: str
    lines: tuple[str, ...]
    tokens: tuple[Any, ...]
    start: int

    @property
    def text(self) -> str:
        """The block as it stands in the document, without trailing white space."""
        body = "\n".join(line.rstrip() if self.kind not in ("fence", "code_block") else line for line in self.lines)
        return body.rstrip() if self.kind in ("fence", "code_block") else _BLANKS.sub("\n\n", body).strip("\n")


def sections(title: str, text: str) -> Iterator[tuple[tuple[str, ...], list[Block]]]:
    """Yields (heading path, blocks) for each section that has blocks, or that is a heading with nothing below it.

    The path starts with the title, unless the document's own first heading says the same.
    """
    path: list[tuple[int, str]] = []
    blocks: list[Block] = []
    last_level = 0
    for level, name, block in _outline(text):
        if block is not None:
            blocks.append(block)
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


def _outline(text: str) -> Iterator[tuple[int, str, Block | None]]:
    """Headings as (level, name, None) and all other top-level blocks as (0, "", block), in order."""
    lines = text.split("\n")
    tokens = _markdown().parse(text)
    index = 0
    while index < len(tokens):
        end = subtree(tokens, index)
        token = tokens[index]
        if token.map is None:
            index = end
            continue
        first, after = token.map
        if token.type == "heading_open":
            name = " ".join(tokens[index + 1].content.split())
            yield int(token.tag[1]), _plain(name), None
        elif token.type != "hr":
            kind = token.type.removesuffix("_open")
            yield 0, "", Block(kind, tuple(lines[first:after]), tuple(tokens[index:end]), first)
        index = end


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
