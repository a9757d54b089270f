"""Markdown and MDX: front matter read and removed, comments removed, all else kept as it is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from assets.knowledge.formats.base import Parsed
from assets.knowledge.formats.dates import iso_date

HEAD = 4_000  # characters
FRONT_LIMIT = 64 * 1024  # characters of front matter; more is prose between two rules
DATES = (
    "lastmod",
    "last_modified",
    "last_updated",
    "lastupdated",
    "updated",
    "modified",
    "date",
    "published",
    "pubdate",
)

_FRONT = re.compile(r"(---|\+\+\+)[ \t]*\r?\n(.*?)(?:^|\n)\1[ \t]*(?:\r?\n|$)", re.DOTALL | re.MULTILINE)
# What ends plain prose: a fence (also after list markers and quote signs), inline code, a comment.
_SPECIAL = re.compile(r"^((?:[ \t>]|[-*+][ \t]|\d{1,9}[.)][ \t])*)(`{3,}|~{3,})[^\n]*|`+|<!--", re.MULTILINE)
_LINK = re.compile(r"\]\(\s{0,9}<?([^\s<>()]+(?:\([^\s()]*\)[^\s<>()]*)*)>?(?:\s+[\"'(][^\n]{0,300}?)?\s{0,9}\)")
_DEFINITION = re.compile(r"^ {0,3}\[[^\]\n]+\]:[ \t]*<?([^\s>]+)", re.MULTILINE)
_AUTOLINK = re.compile(r"<(https?://[^\s<>]+|mailto:[^\s<>]+)>")
_HREF = re.compile(r"href=[\"']([^\"'\s]+)[\"']")
_ATX = re.compile(r"^ {0,3}(#{1,6})[ \t]([^\n]*)", re.MULTILINE)
_ATX_END = re.compile(r"(?:^|[ \t])#+$")
_SETEXT = re.compile(r"^ {0,3}(\S[^\n]*)\n {0,3}(=+|-{2,})[ \t]*$", re.MULTILINE)
_TAG_H1 = re.compile(r"<h1\b[^>\n]{0,300}>(.{1,300}?)</h1>", re.DOTALL | re.IGNORECASE)


def read_markdown(text: str, *, mdx: bool = False) -> Parsed:
    """A Markdown or MDX document."""
    front, body = front_matter(text)
    metadata: dict[str, str | Sequence[str]] = {"type": "mdx" if mdx else "markdown"}
    parts = list(segments(body))
    if mdx:
        from assets.knowledge.formats.jsx import without_jsx

        links = list(links_of(parts))
        body = without_jsx(parts)
    else:
        links = list(links_of(parts))
        if "<!--" in body:
            body = "".join(part for kind, part in parts if kind != "comment")
    lowered = {key.lower(): value for key, value in front.items()}
    date = next((found for name in DATES if (found := iso_date(lowered.get(name)))), None)
    titles = [title for title in [lowered.get("title")] if isinstance(title, str) and title.strip()]
    return Parsed(body, titles, date, links, metadata | _scalars(front))


def front_matter(text: str) -> tuple[Mapping[str, object], str]:
    """(mapping, text after it); ({}, text) where there is none that can be read. YAML between ---, TOML between +++."""
    match = _FRONT.match(text[: FRONT_LIMIT + 8]) if text[:3] in ("---", "+++") else None
    if match is None:
        return {}, text
    found = _toml(match[2]) if match[1] == "+++" else _yaml(match[2])
    if not isinstance(found, dict):
        return {}, text
    return {str(key): value for key, value in found.items()}, text[match.end() :]


def _yaml(block: str) -> object:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        found = yaml.load(block, Loader=loader)  # noqa: S506 - both are safe loaders
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError):
        return None
    return {} if found is None and not block.strip() else found


def _toml(block: str) -> object:
    import tomllib

    try:
        return tomllib.loads(block.replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError):
        return None


def _scalars(front: Mapping[str, object]) -> dict[str, str | Sequence[str]]:
    """Top-level scalars, and lists of them; the rest is structure for a site generator."""
    found: dict[str, str | Sequence[str]] = {}
    for key, value in front.items():
        values = list(value[:50]) if isinstance(value, list) else [value]
        if values and all(isinstance(item, str | int | float | bool) or iso_date(item) for item in values):
            found[key] = [_scalar(item) for item in values] if isinstance(value, list) else _scalar(value)
    found.pop("title", None)
    return {("front_type" if key == "type" else key): value for key, value in found.items() if key != "partial"}


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return iso_date(value) or str(value) if not isinstance(value, str) else value


def segments(text: str) -> Iterator[tuple[str, str]]:
    """Cuts Markdown into ("prose" | "fence" | "code" | "comment", text) whose concatenation is the text.

    One pass, linear in the text. Four-space code blocks count as prose: inside lists they cannot be told from it.
    """
    start = position = 0
    comments = True
    while match := _SPECIAL.search(text, position):
        if match[2]:
            kind, begin, end = "fence", match.start(2), _fence_end(text, match)
        elif match[0] == "<!--":
            close = text.find("-->", match.end()) if comments else -1
            comments = close >= 0
            kind, begin, end = "comment", match.start(), close + 3 if comments else -1
        else:
            kind, begin, end = "code", match.start(), _code_end(text, match.end(), match[0])
        if end < 0:
            position = match.end()
            continue
        if begin > start:
            yield "prose", text[start:begin]
        yield kind, text[begin:end]
        start = position = end
    if start < len(text):
        yield "prose", text[start:]


_CLOSING: dict[str, re.Pattern[str]] = {}


def _fence_end(text: str, match: re.Match[str]) -> int:
    mark = match[2]
    if mark[0] == "`" and "`" in match[0][len(match[1]) + len(mark) :]:
        return -1  # three backticks that close on the same line are inline code
    pattern = _CLOSING.get(mark)
    if pattern is None:
        _CLOSING.clear() if len(_CLOSING) > 100 else None
        pattern = _CLOSING[mark] = re.compile(rf"^[ \t>]*{mark[0]}{{{len(mark)},}}[ \t]*$", re.MULTILINE)
    close = pattern.search(text, match.end())
    return close.end() if close else len(text)


def _code_end(text: str, start: int, mark: str) -> int:
    """Where inline code ends: a run of as many backticks, in the same paragraph, within 1,000 characters."""
    window = text[start : start + 1000]
    blank = window.find("\n\n")
    window = window if blank < 0 else window[:blank]
    at = window.find(mark)
    while at >= 0:
        after = at + len(mark)
        if window[after : after + 1] != "`":
            return start + after
        while window[after : after + 1] == "`":
            after += 1
        at = window.find(mark, after)
    return -1


def links_of(parts: list[tuple[str, str]]) -> Iterator[str]:
    """Targets of links and images outside code, in order."""
    text = "".join(part if kind == "prose" else "`" for kind, part in parts if kind != "comment")
    patterns = (_LINK, _DEFINITION, _AUTOLINK, _HREF)
    found = [(m.start(), m[1]) for pattern in patterns for m in pattern.finditer(text)]
    yield from (target for _, target in sorted(found))


def first_heading(text: str) -> str:
    """The first level-1 heading, else the first heading, as a reader sees it; empty where there is none."""
    top = text[: text.rfind("\n", 0, HEAD) + 1]
    found = min(_headings(top), default=None) if len(text) > HEAD else None
    if found is None or found[0]:  # no level-1 heading near the top, where it nearly always stands
        found = min(_headings(text), default=None)
    return found[2] if found else ""


def _headings(text: str) -> Iterator[tuple[bool, int, str]]:
    """(below level 1, position, name)"""
    prose = "".join(part if kind in ("prose", "code") else "\n" for kind, part in segments(text))
    found = [(m.start(), len(m[1]), _ATX_END.sub("", m[2].strip()[:1000])) for m in _ATX.finditer(prose)]
    found += [(m.start(), 1 if m[2][0] == "=" else 2, m[1]) for m in _SETEXT.finditer(prose) if _is_setext(prose, m)]
    found += [(m.start(), 1, re.sub(r"<[^>]*>", "", m[1])) for m in _TAG_H1.finditer(prose)]
    return ((level > 1, start, name) for start, level, text in found if (name := _plain(text)))


def _is_setext(prose: str, match: re.Match[str]) -> bool:
    """Not a rule under a paragraph, a list item, a table or a heading."""
    before = prose[max(match.start() - 2, 0) : match.start()]
    starts_paragraph = before in ("", "\n", "\n\n")
    return starts_paragraph and not re.match(r"[#>|<]|[-*+]\s|\d+[.)]\s", match[1]) and len(match[1]) < 200


_INLINE_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_ANCHOR = re.compile(r"\s*\{\s*[#.][^}]*\}\s*$")


def _plain(name: str) -> str:
    """As chunking reads a heading, so that a title taken from one equals it."""
    name = _ANCHOR.sub("", _INLINE_LINK.sub(r"\1", " ".join(name.split())))
    return name.replace("**", "").replace("`", "").strip()
