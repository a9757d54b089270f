"""What every format gives and uses: `Parsed`, `Refused`, clean text, and the few forms of Markdown written here."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from assets.ports import Reason
from assets.ports.index import joined as joined_values

MAX_TEXT = 32 * 1024 * 1024  # characters of one document; a book has about one million
MAX_LINKS, MAX_LINK = 500, 2_000
MAX_METADATA, MAX_KEY, MAX_VALUE = 32, 64, 500

# Control characters but tab and line feed, lone surrogates, noncharacters; the byte order mark, the soft hyphen, the
# zero-width space and the word joiner, which split words for a search and show nothing to a reader.
_DROP = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u200b\u2060\ufeff\ufffe\uffff\ud800-\udfff]")
_LINE_ENDS = "\r\x0b\x85\u2028\u2029"
_LINE_END = re.compile(f"\r\n|[{_LINE_ENDS}]")
_SPACE = re.compile(r"\s+")


class Refused(Exception):
    """A file that is not accepted, raised from any depth of a format's parser."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(slots=True)
class Parsed:
    """What a format found. `titles` are those that metadata state, best first; `text` is Markdown, not yet clean. A
    field of metadata may be a list of values."""

    text: str
    titles: Sequence[str] = ()
    date: str | None = None
    links: Iterable[str] = ()
    metadata: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    partial: str = ""


def clean(text: str) -> str:
    """NFC with "\\n" line ends and no control characters; a form feed is a page break, so a blank line."""
    if "\f" in text:
        text = text.replace("\f", "\n\n")
    if any(char in text for char in _LINE_ENDS):  # much faster than a search for all of them
        text = _LINE_END.sub("\n", text)
    text = _DROP.sub("", text)
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def one_line(text: str, limit: int = MAX_VALUE) -> str:
    """A title or a metadata value: clean, on one line, at most `limit` characters."""
    line = _SPACE.sub(" ", clean(text[: 4 * limit])).strip()
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def bounded_links(links: Iterable[str]) -> tuple[str, ...]:
    """Targets in order, each once, without those that lead nowhere else (fragments, scripts, inlined data)."""
    found: dict[str, None] = {}
    for link in links:
        target = clean(link).strip()
        skipped = target.startswith("#") or target[:11].lower().startswith(("javascript:", "data:"))
        if target and not skipped and len(target) <= MAX_LINK:
            found[target] = None
            if len(found) == MAX_LINKS:
                break
    return tuple(found)


def bounded_metadata(metadata: Mapping[str, str | Sequence[str]]) -> dict[str, str]:
    """The first entries that have a value, cut to a length that a filter or a table can hold; of a list, the first
    values that fit as a whole (ports.index.joined)."""
    found: dict[str, str] = {}
    for key, value in metadata.items():
        name, text = one_line(key, MAX_KEY), one_line(value) if isinstance(value, str) else _listed(value)
        if name and text:
            found[name] = text
            if len(found) == MAX_METADATA:
                break
    return found


def _listed(values: Sequence[str]) -> str:
    found = list(dict.fromkeys(filter(None, map(one_line, values))))
    while len(joined_values(found)) > MAX_VALUE:
        found.pop()
    return joined_values(found)


# ---------------------------------------------------------------------------------------------------- Markdown

_RULE = re.compile(r"^[ \t]{0,3}(?:=+|-{2,}|\*{3,}|_{3,})[ \t]*$", re.MULTILINE)
_BLOCK_START = re.compile(r"^([ \t]{0,3})(#{1,6}(?=\s|$)|[-+*](?=\s)|>|```|~~~)", re.MULTILINE)
_NUMBER_START = re.compile(r"^(\s{0,3}\d{1,9})([.)])(?=\s)", re.MULTILINE)


def escaped(text: str) -> str:
    """Prose whose lines cannot be taken for a heading, a list, a quote or a fence; inner marks are left alone.

    Lines that draw a rule (====, ----) say nothing and would make a heading of what stands above: they end a paragraph.
    """
    return _NUMBER_START.sub(r"\1\\\2", _BLOCK_START.sub(r"\1\\\2", _RULE.sub("\n", text)))


def heading(level: int, text: str) -> str:
    """An ATX heading; empty where there is no text."""
    name = _SPACE.sub(" ", text).strip()
    return f"{'#' * min(max(level, 1), 6)} {name}" if name else ""


def fence(code: str, language: str = "") -> str:
    """A code block whose fence is longer than any run of backticks inside."""
    code = code.strip("\n")
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    mark = "`" * (longest + 1)
    return f"{mark}{language}\n{code}\n{mark}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """A pipe table; the first row is its head, short rows are filled up, rows without any text are left out."""
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    width = max((len(row) for row in rows), default=0)
    if not width:
        return ""
    lines = []
    for row in rows:
        cells = [" ".join(cell.split()).replace("|", "\\|") for cell in row]
        lines.append("| " + " | ".join(cells + [""] * (width - len(cells))) + " |")
    lines.insert(1, "|" + " --- |" * width)
    return "\n".join(lines)


def indented(block: str, prefix: str, rest: str) -> str:
    """A block under a list marker or a quote sign: `prefix` before its first line, `rest` before the others."""
    lines = block.split("\n")
    return "\n".join([prefix + lines[0], *((rest + line).rstrip() for line in lines[1:])])


def joined(blocks: Iterable[str]) -> str:
    """Blocks with one blank line between them."""
    return "\n\n".join(block.strip("\n") for block in blocks if block.strip())
