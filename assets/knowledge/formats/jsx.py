"""MDX without its program: imports, exports, comments and tags go, the text between them stays.

Children of a component are usually indented below its tag. They are moved back to where the tag stood, since MDX has
no indented code blocks while Markdown would take four spaces for one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

TAG_LIMIT = 20_000  # characters of one tag with its attributes

_CODE, _END, _OPEN, _CLOSE = "\ue000", "\ue001", "\ue002", "\ue003"  # private use: stand-ins that no text contains
_STAND_INS = re.compile("[\ue000-\ue003]")
_PLACE = re.compile(f"{_CODE}(\\d+){_END}")
_IMPORT = re.compile(  # every part is bounded: "import" may also start a line of prose
    r"^import\s{1,9}(?:[^\"'\n;{]{0,300}(?:\{[^{}\"']{0,5000}\}[^\"'\n;{]{0,300})?\sfrom\s{1,9})?"
    r"(?:\"[^\"\n]{1,500}\"|'[^'\n]{1,500}')[ \t]*;?[ \t]*(?:\n|$)",
    re.MULTILINE,
)
_EXPORT = re.compile(
    r"^export\s+(?:default|const|let|var|function|async|class|type|interface|\{|\*)[^\n]*(?:\n(?![ \t]*\n)[^\n]+)*",
    re.MULTILINE,
)
_TAG = re.compile(r"<(/?)([A-Za-z][\w.:-]*)?(?=[\s/>{])|<(/?)>")
_RAW = re.compile(r"<(style|script)\b[^>]{0,2000}>.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_BREAKS = {"p", "div", "section", "tr", "ul", "ol", "details", "summary", "figure", "figcaption", "table", "blockquote"}
_ALT = re.compile(r"\balt=(?:\"([^\"]+)\"|'([^']+)')")


def without_jsx(parts: Sequence[tuple[str, str]]) -> str:
    """The Markdown of an MDX document that was cut into segments."""
    kept: list[str] = []
    pieces: list[str] = []
    for kind, part in parts:
        if kind in ("fence", "code"):
            kept.append(part)
            pieces.append(f"{_CODE}{len(kept) - 1}{_END}")
        elif kind == "prose":
            pieces.append(_STAND_INS.sub("", part))
    text = "".join(pieces)
    text = _EXPORT.sub("", _IMPORT.sub("", _RAW.sub("", text)))
    text = _without_tags(_without_comments(text))
    return _restored(text, kept)


def _without_comments(text: str) -> str:
    """Drops {/* ... */}."""
    pieces, position = [], 0
    while (start := text.find("{/*", position)) >= 0:
        end = text.find("*/", start + 3)
        close = text.find("}", end) if end >= 0 else -1
        if close < 0 or text[end + 2 : close].strip():
            break
        pieces.append(text[position:start])
        position = close + 1
    return "".join(pieces) + text[position:]


def _without_tags(text: str) -> str:
    pieces, position = [], 0
    for match in _TAG.finditer(text):
        if match.start() < position:
            continue
        end = _tag_end(text, match.end())
        if end < 0:
            continue
        pieces += [text[position : match.start()], _stand_in(match, text[match.start() : end])]
        position = end
    return "".join(pieces) + text[position:]


def _tag_end(text: str, position: int) -> int:
    """The index after the ">" of a tag, past strings and braces; -1 where it does not close."""
    if text[position - 1] == ">":
        return position
    depth, quote = 0, ""
    for index in range(position, min(position + TAG_LIMIT, len(text))):
        char = text[index]
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'" and depth == 0:
            quote = char
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
        elif char == ">" and depth <= 0:
            return index + 1
        elif char == "<" and depth <= 0:
            return -1
    return -1


def _stand_in(match: re.Match[str], tag: str) -> str:
    name = match[2] or ""
    if tag.endswith("/>") or name in ("br", "hr", "img"):
        alt = _ALT.search(tag) if name in ("img", "Image", "Picture") else None
        return (alt[1] or alt[2]) if alt else "\n" if name == "br" else ""
    closing = tag.startswith("</")
    if name == "li":
        return _CLOSE if closing else f"{_OPEN}- "
    if name in ("td", "th"):
        return f" {_CLOSE if closing else _OPEN}"
    if re.fullmatch(r"h[1-6]", name):
        return f"{_CLOSE}\n" if closing else f"{_OPEN}{'#' * int(name[1])} "
    if name in _BREAKS and closing:
        return f"{_CLOSE}\n"
    return _CLOSE if closing else _OPEN


def _restored(text: str, kept: Sequence[str]) -> str:
    """Code back in its places, lines moved left by what the tags around them had indented them."""
    lines: list[str] = []
    stack: list[list[int]] = []  # [indentation of the tag, of its first child or -1]
    for line in text.split("\n"):
        opened, closed = line.count(_OPEN), line.count(_CLOSE)
        content = line.replace(_OPEN, "").replace(_CLOSE, "")
        indent = len(content) - len(content.lstrip(" \t"))
        for _ in range(min(max(closed - opened, 0), len(stack))):
            stack.pop()
        if line.strip() and stack and stack[-1][1] < 0:
            stack[-1][1] = indent
        shift = sum(max(child - tag, 0) for tag, child in stack)
        stack += [[indent, -1] for _ in range(max(opened - closed, 0))]
        if opened + closed and not content.strip():
            continue
        moved = content[min(shift, indent) :]
        lines.append(_PLACE.sub(lambda m, shift=shift: _shifted(kept[int(m[1])], shift), moved))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def _shifted(code: str, shift: int) -> str:
    if not shift or "\n" not in code:
        return code
    first, *rest = code.split("\n")
    return "\n".join([first, *(line[min(shift, len(line) - len(line.lstrip(" \t"))) :] for line in rest)])
