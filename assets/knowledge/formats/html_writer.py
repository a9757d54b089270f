"""An lxml tree as Markdown blocks. RecursionError where tags are nested some hundred levels deep."""

from __future__ import annotations

import re
from typing import Any

from assets.knowledge.formats import base

_SKIPPED = {
    "script", "style", "template", "noscript", "nav", "head", "title", "svg", "iframe", "object", "canvas", "button",
    "input", "select", "textarea", "dialog", "link", "meta", "hr", "audio", "video", "map",
}  # fmt: skip
_BLOCKS = {
    "html", "body", "div", "section", "article", "main", "header", "footer", "aside", "p", "ul", "ol", "li", "dl", "dt",
    "dd", "table", "thead", "tbody", "tfoot", "tr", "td", "th", "caption", "pre", "blockquote", "figure", "figcaption",
    "details", "summary", "form", "fieldset", "legend", "address", "h1", "h2", "h3", "h4", "h5", "h6", "hgroup",
    "center",
}  # fmt: skip
_MARKS = {"strong": "**", "b": "**", "em": "*", "i": "*"}
_CODE = {"code", "kbd", "samp", "tt"}
_PERMALINK = re.compile(r"\b(headerlink|hash-link|anchor|anchor-link|permalink|heading-link)\b")
_LANGUAGE = re.compile(r"\b(?:language|lang|highlight(?:-source)?|brush:)[-_ ]?([A-Za-z][\w+#-]*)")
_SPACES = re.compile(r"[ \t\r\n\f]+")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


class Writer:
    """Writes one tree; `links` are the targets met on the way."""

    def __init__(self) -> None:
        self.links: list[str] = []

    def write(self, element: Any) -> str:
        """The element as Markdown."""
        return base.joined(self._blocks(element))

    def _blocks(self, element: Any) -> list[str]:
        """The element's content as blocks; runs of inline content become paragraphs."""
        found: list[str] = []
        run = [element.text or ""]
        for child in element:
            if not isinstance(child.tag, str) or _is_skipped(child):
                run.append(" ")
            elif child.tag in _BLOCKS or _holds_blocks(child):
                found += [_paragraph(run), *self._block(child)]
                run = []
            else:
                run.append(self._inline(child))
            run.append(child.tail or "")
        found.append(_paragraph(run))
        return [block for block in found if block.strip()]

    def _block(self, element: Any) -> list[str]:
        tag = element.tag
        if tag[0] == "h" and tag[1:].isdigit():
            return [base.heading(int(tag[1]), _collapsed(self._inlines(element)))]
        if tag == "pre":
            return [base.fence("".join(element.itertext()), _language(element))]
        if tag in ("ul", "ol"):
            return [self._list(element)]
        if tag == "dl":
            return self._definitions(element)
        if tag == "table":
            return self._table(element)
        if tag == "blockquote":
            return ["\n".join(f"> {line}".rstrip() for line in self.write(element).split("\n"))]
        if tag == "summary":
            return [_collapsed(self._inlines(element))]
        return self._blocks(element)

    def _list(self, element: Any) -> str:
        items: list[str] = []
        number = int(element.get("start")) if (element.get("start") or "").isdigit() else 1
        loose = False
        for child in element:
            if not isinstance(child.tag, str) or _is_skipped(child):
                continue
            blocks = self._blocks(child) if child.tag == "li" else self._block_or_inline(child)
            if not blocks:
                continue
            marker = f"{number}. " if element.tag == "ol" else "- "
            number += 1
            lists = sum(1 for block in blocks[1:] if re.match(r"- |\d+\. ", block))
            loose = loose or len(blocks) - lists > 1
            text = blocks[0] + "".join(("\n" if re.match(r"- |\d+\. ", b) else "\n\n") + b for b in blocks[1:])
            items.append(base.indented(text, marker, " " * len(marker)))
        return ("\n\n" if loose else "\n").join(items)

    def _block_or_inline(self, element: Any) -> list[str]:
        if element.tag in _BLOCKS or _holds_blocks(element):
            return self._block(element)
        return [_paragraph([self._inline(element)])]

    def _definitions(self, element: Any) -> list[str]:
        """Terms as bold paragraphs, each followed by what is said about it."""
        found: list[str] = []
        for child in element.iter("dt", "dd"):
            owner = child.getparent()
            if owner is not element and owner.getparent() is not element:
                continue  # belongs to a list inside of this one
            if child.tag == "dt":
                term = _collapsed(self._inlines(child))
                found.append(f"**{term}**" if term and "*" not in term else term)
            else:
                found += self._blocks(child)
        return found

    def _table(self, element: Any) -> list[str]:
        rows = [row for row in element.iter("tr") if next(row.iterancestors("table"), None) is element]
        cells = [[cell for cell in row if cell.tag in ("td", "th")] for row in rows]
        nested = any(next(cell.iter("table"), None) is not None for row in cells for cell in row)
        if nested or max((len(row) for row in cells), default=0) <= 1:  # a table that only arranges the page
            return [block for row in cells for cell in row for block in self._blocks(cell)]
        written = [[text for cell in row for text in self._spanned(cell)] for row in cells]
        caption = element.find("caption")
        title = [_collapsed(self._inlines(caption))] if caption is not None else []
        return [*title, base.table(written)]

    def _spanned(self, cell: Any) -> list[str]:
        span = cell.get("colspan") or "1"
        width = min(int(span), 50) if span.isdigit() else 1
        return [" ".join(self._blocks(cell)), *[""] * (width - 1)]

    def _inlines(self, element: Any) -> str:
        parts = [element.text or ""]
        for child in element:
            if isinstance(child.tag, str) and not _is_skipped(child):
                parts.append(self._inline(child))
            parts.append(child.tail or "")
        return "".join(parts)

    def _inline(self, element: Any) -> str:
        tag = element.tag
        if tag == "br":
            return "\x00"
        if tag == "img":
            return self._image(element)
        if tag in _CODE or "literal" in (element.get("class") or "").split():  # docutils writes a span for a literal
            return _code("".join(element.itertext()))
        text = self._inlines(element)
        if tag == "a":
            return self._link(element, text)
        mark = _MARKS.get(tag)
        inner = text.strip()
        if mark and inner and "*" not in inner and "\x00" not in inner:
            return text.replace(inner, f"{mark}{inner}{mark}", 1)
        return f" {text} " if tag in _BLOCKS else text

    def _image(self, element: Any) -> str:
        source, text = element.get("src") or "", _collapsed(element.get("alt") or "")
        if source and not source.startswith("data:"):
            self.links.append(source)
        return f"![{text}]({source})" if text and not source.startswith("data:") else text

    def _link(self, element: Any, text: str) -> str:
        target, name = (element.get("href") or "").strip(), _collapsed(text)
        if _PERMALINK.search(element.get("class") or "") and name in ("", "#", "¶", "\u200b", "🔗"):
            return ""
        if not target or target.startswith("#") or not name or "\x00" in text or " " in target:
            return text
        self.links.append(target)
        return text.replace(name, f"[{name}]({target})", 1) if name in text else f"[{name}]({target})"


def _is_skipped(element: Any) -> bool:
    if element.tag in _SKIPPED or element.get("hidden") is not None or element.get("role") == "navigation":
        return True
    return element.get("aria-hidden") == "true" or bool(_HIDDEN.search(element.get("style") or ""))


def _holds_blocks(element: Any) -> bool:
    return len(element) > 0 and next(element.iter(*_BLOCKS), None) is not None


def _collapsed(text: str) -> str:
    return _SPACES.sub(" ", text.replace("\x00", " ")).strip()


def _paragraph(run: list[str]) -> str:
    text = _SPACES.sub(" ", "".join(run))
    lines = [line.strip() for line in text.split("\x00")]
    return base.escaped("\n".join(line for line in lines if line))


def _code(text: str) -> str:
    text = _SPACES.sub(" ", text)
    if not text.strip():
        return text
    mark = "``" if "`" in text else "`"
    return f"{mark} {text} {mark}" if "`" in text else f"`{text}`"


def _language(element: Any) -> str:
    """From the classes of <pre>, of its <code>, or of what stands around it (Sphinx, Docusaurus, GitHub)."""
    inner = element.find(".//code")
    around = list(element.iterancestors("div"))[:2]
    for owner in [inner, element, *around]:
        if owner is not None:
            match = _LANGUAGE.search(owner.get("class") or "")
            if match and match[1] not in ("default", "none", "text", "light", "dark"):
                return match[1].lower()
    if "code" in (element.get("class") or "").split():  # docutils: class="code python literal-block"
        names = [n for n in (element.get("class") or "").split() if n not in ("code", "literal-block", "doctest")]
        return names[0] if names else ""
    return ""
