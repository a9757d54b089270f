"""Lines of PDF pages to Markdown: a PDF has letters in places, and no paragraphs or headings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from assets.knowledge.formats import base

LARGER = 1.15  # a heading's font size against that of most of the text
HEADING_LENGTH = 150  # characters
HEADING_SHARE = 0.25  # of all text; more of it in a size is a poster or a slide and no heading

_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})
_PRIVATE = re.compile("[\ue000-\uf8ff\U000f0000-\U0010ffff]")  # glyphs without a character: icons, symbol fonts
_HYPHEN = re.compile(r"(?<=[^\W\d_])-\n(?=[a-zà-öø-ÿ])")
_BULLET = re.compile(r"^[•▪◦‣●○■]\s*")
_NUMBER = re.compile(r"^\W*(?:page|seite|p\.)?\s*\d{1,4}(?:\s*(?:of|/|von)\s*\d{1,4})?\W*$", re.IGNORECASE)
_UNTITLED = re.compile(
    r"^(untitled.*|\(?(anonymous|unspecified)\)?|(microsoft )?(word|powerpoint) - .*|document\d*|print.*|"
    r"\S+\.(docx?|pdf|tex|dvi|indd|qxd|rtf|odt|pptx?|fm))$",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Line:
    """A line of a page: its text, font size, and where its baseline starts, in points from the bottom left."""

    text: str
    size: float
    x: float
    y: float


def is_title(text: str) -> bool:
    """Whether a document information title was given by a person and not left over from a program."""
    return len(text) > 2 and not _UNTITLED.match(text)


def normalized(text: str) -> str:
    """A title as it is compared: letters and digits, without case and without a leading section number."""
    return re.sub(r"[\W_]+", "", re.sub(r"^\W*(\d+\.?)+\s+", "", text)).casefold()


def layout(pages: Sequence[Sequence[Line]], outline: Mapping[tuple[int, str], int]) -> str:
    """The pages as Markdown. Pages are apart by a blank line; page numbers and repeated headers are left out."""
    cleaned = [[_cleaned(line) for line in page] for page in pages]
    cleaned = _without_furniture([[line for line in page if line.text] for page in cleaned])
    levels = {} if outline else _levels(cleaned)
    blocks: list[str] = []
    for number, page in enumerate(cleaned):
        blocks += _page(page, [_level(line, number, outline, levels) for line in page])
    return base.joined(blocks)


def _cleaned(line: Line) -> Line:
    text = " ".join(_PRIVATE.sub("", line.text).translate(_LIGATURES).split())
    return Line(text, line.size, line.x, line.y)


def _size(line: Line) -> float:
    return round(line.size * 2) / 2


def _without_furniture(pages: list[list[Line]]) -> list[list[Line]]:
    """Drops lone page numbers at the edges of pages, and headers or footers that more than half of the pages repeat."""
    if len(pages) < 2:
        return pages
    edges = [{_edge(line) for line in (*page[:2], *page[-2:])} for page in pages]
    often = Counter(key for keys in edges for key in keys)
    repeated = {key for key, count in often.items() if count >= 3 and 2 * count > len(pages)}
    seen: set[str] = set()
    found = []
    for page in pages:
        kept = []
        for index, line in enumerate(page):
            at_edge = index < 2 or index >= len(page) - 2
            if at_edge and (_NUMBER.match(line.text) or (_edge(line) in repeated and _edge(line) in seen)):
                continue
            if at_edge:
                seen.add(_edge(line))
            kept.append(line)
        found.append(kept)
    return found


def _edge(line: Line) -> str:
    return re.sub(r"\d+", "#", line.text)


def _levels(pages: list[list[Line]]) -> dict[float, int]:
    """Font size -> heading level: sizes well above that of most text, that hold a small part of it."""
    weight: Counter[float] = Counter()
    for page in pages:
        for line in page:
            weight[_size(line)] += len(line.text)
    total = sum(weight.values())
    if not total:
        return {}
    body = weight.most_common(1)[0][0]
    larger = sorted((size for size in weight if size >= LARGER * body and body > 0), reverse=True)
    while larger and sum(weight[size] for size in larger) > HEADING_SHARE * total:
        larger.pop()
    return {size: min(rank, 4) for rank, size in enumerate(larger, start=1)}


def _level(line: Line, page: int, outline: Mapping[tuple[int, str], int], levels: Mapping[float, int]) -> int:
    """The heading level of a line, or 0."""
    if len(line.text) > HEADING_LENGTH or not any(char.isalpha() for char in line.text):
        return 0
    return outline.get((page, normalized(line.text))) or levels.get(_size(line), 0)


def _page(lines: Sequence[Line], levels: Sequence[int]) -> list[str]:
    leading = _leading(lines)
    blocks: list[str] = []
    run: list[str] = []
    previous: Line | None = None
    last_level = 0

    def close() -> None:
        if run:
            text = _HYPHEN.sub("", "\n".join(run))
            blocks.append(base.heading(last_level, text) if last_level else base.escaped(text))
            run.clear()

    for line, level in zip(lines, levels, strict=True):
        bullet = not level and _BULLET.match(line.text)
        if level != last_level or bullet or (previous is not None and _breaks(previous, line, leading)):
            close()
            last_level = level
        if bullet:
            blocks.append("- " + base.escaped(line.text[bullet.end() :]))
        else:
            run.append(line.text)
        previous = line
    close()
    return blocks


def _leading(lines: Sequence[Line]) -> float:
    """The usual distance between two lines of this page."""
    gaps = [a.y - b.y for a, b in pairwise(lines) if 0 < a.y - b.y < 3 * max(a.size, 1)]
    return median(gaps) if gaps else 0.0


def _breaks(previous: Line, line: Line, leading: float) -> bool:
    """Whether a paragraph ends between two lines: a gap, another size, an indented first line after a full stop."""
    gap = previous.y - line.y
    ended = previous.text[-1:] in ".!?:;…。"
    if gap < 0:  # the next column
        return ended
    if abs(previous.size - line.size) > 0.1 * max(previous.size, line.size):
        return True
    if leading and gap > 1.35 * leading:
        return True
    return ended and 0.5 * line.size < line.x - previous.x < 4 * line.size
