"""The blocks of a passage's Markdown: prose, lists, tables, code. Line by line, for text of any origin."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["prose", "list", "table", "code"]

_ITEM = re.compile(r"^\s{0,8}(?:[-*+•–]|\d{1,3}[.)]|[a-z][.)]|[A-Z]\))\s+(?:\[[ xX]\]\s+)?(?=\S)")
_FENCE = re.compile(r"^\s*(?:[-*+]\s+)?(`{3,}|~{3,})")
_RULE = re.compile(r"^\s*\|?[\s:|+=-]*-{2,}[\s:|+=-]*\|?\s*$")
_UNDERLINE = re.compile(r"^\s*(?:=+|-{2,}|\*{3,}|_{3,})\s*$")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+")
_CELLS = re.compile(r"(?<!\\)\|")
_LINK = re.compile(r"!?\[([^\]]*)\]\((?:[^()\s]|\([^()]*\))*(?:\s+\"[^\"]*\")?\)")
_EMPHASIS = re.compile(r"(\*\*\*|\*\*|\*|___|__|(?<!\w)_)(?=\S)(.+?)(?<=\S)\1(?!\w)")
_REFERENCE = re.compile(r"\[([^\]]+)\]\[[^\]]*\]")
_CODE_SPAN = re.compile(r"(`[^`]*`)")
_COMMENT = re.compile(r"<!--.*?-->|\{/\*.*?\*/\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """`lines`: one for prose, one an item or line of code else; `cells`: rows of a table, its head first.

    `leads`: whether a list, a table or code follows directly, so that a closing ":" announces it.
    """

    kind: Kind
    lines: tuple[str, ...] = ()
    cells: tuple[tuple[str, ...], ...] = ()
    leads: bool = False


def plain(text: str) -> str:
    """Text without the marks of emphasis, links and references; code spans stay as they are, marks included."""
    parts = _CODE_SPAN.split(text)
    return " ".join("".join(part if at % 2 else _unmarked(part) for at, part in enumerate(parts)).split())


def _unmarked(text: str) -> str:
    text = _REFERENCE.sub(r"\1", _LINK.sub(r"\1", text))
    for _ in range(2):  # emphasis within emphasis
        text = _EMPHASIS.sub(r"\2", text)
    return text.replace("\\|", "|")


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a body, in order."""
    raw = list(_raw(_COMMENT.sub(" ", text)))
    for position, (kind, lines) in enumerate(raw):
        following = raw[position + 1][0] if position + 1 < len(raw) else "prose"
        if kind == "table":
            yield from _table(lines)
        elif kind == "code":
            yield Block("code", tuple(" ".join(line.split()) for line in lines if re.search(r"\w", line)))
        elif kind == "list":
            yield Block("list", tuple(filter(None, map(plain, lines))), leads=following != "prose")
        elif line := plain(" ".join(lines)):
            yield Block("prose", (line,), leads=following != "prose")


def _raw(text: str) -> Iterator[tuple[Kind, list[str]]]:
    kind: Kind | None = None
    held: list[str] = []
    fence, gap = "", False
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence):
                yield "code", held
                kind, held, fence = None, [], ""
            else:
                held.append(line)
            continue
        line = re.sub(r"^\s{0,3}(?:>\s?)+", "", line)
        if kind == "list" and not line.strip():  # items may be apart
            gap = True
            continue
        found = "code" if mark else _kind_of(line, kind)
        if found == "more" and gap and not line.startswith("  "):
            found = "prose"
        gap = False
        if kind and held and found not in (kind, "more"):
            yield kind, held
            held = []
        if mark:
            kind, fence = "code", mark[1]
        elif found == "more":
            held[-1] += " " + line.strip()
        else:
            kind = found
            if found:
                held.append(_ITEM.sub("", line) if found == "list" else line.strip())
    if held:
        yield kind or "prose", held


def _kind_of(line: str, kind: Kind | None) -> Literal["prose", "list", "table", "more"] | None:
    """What a line starts or goes on with; None where it holds no text or is a heading."""
    if not line.strip() or _HEADING.match(line) or _UNDERLINE.match(line):
        return "table" if kind == "table" and _RULE.match(line) else None
    if line.lstrip().startswith("|") or (kind == "table" and "|" in line) or _RULE.match(line):
        return "table"
    if _ITEM.match(line):
        return "list"
    if kind == "list":
        return "more"
    return "prose"


def _table(lines: list[str]) -> Iterator[Block]:
    rows = [tuple(plain(cell) for cell in _CELLS.split(line.strip().strip("|"))) for line in lines]
    rule = next((at for at, line in enumerate(lines) if _RULE.match(line)), None)
    if rule is None or rule == 0:
        body = [row for line, row in zip(lines, rows, strict=True) if not _RULE.match(line)]
        yield Block("table", cells=(tuple("" for _ in max(body, key=len, default=())), *body))
        return
    body = [row for line, row in zip(lines[rule + 1 :], rows[rule + 1 :], strict=True) if not _RULE.match(line)]
    yield Block("table", cells=(rows[rule - 1], *body))
