"""DOCX as Markdown: python-docx opens the package, this walks its body in order.

python-docx and mammoth both leave out equations and text that stands in content controls or text boxes, so the
elements are read here.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from assets.knowledge.formats import base, ooxml
from assets.knowledge.formats.base import Parsed

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_REMOVED = {f"{_W}del", f"{_W}moveFrom", f"{_W}pPr", f"{_W}rPr", _FALLBACK, f"{_W}instrText", f"{_W}delText"}
_HEADING = re.compile(r"^heading ([1-9])$", re.IGNORECASE)
_CODE = {"code", "source code", "html preformatted", "macro text", "plain text", "preformatted text"}


def read_docx(data: bytes) -> Parsed:
    """A Word document."""
    from docx import Document
    from docx.opc.exceptions import PackageNotFoundError
    from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - lxml has no stubs

    ooxml.check_size(data)
    try:
        document = Document(io.BytesIO(data))
        titles, date, metadata = ooxml.properties(data)
        walk = _Walk(document.part)
        body = walk.blocks(document.element.body)
    except (PackageNotFoundError, KeyError, ValueError, AttributeError, zipfile.BadZipFile, etree.LxmlError) as error:
        raise ooxml.corrupt("Word", error) from error
    text = base.joined([*body, *walk.notes()])
    return Parsed(text, titles, date, walk.links, {"type": "docx"} | metadata)


class _Walk:
    """Elements to Markdown blocks, with what they refer to: styles, numbering, links, notes."""

    def __init__(self, part: Any) -> None:
        self.part = part
        self.links: list[str] = []
        self.noted: list[tuple[str, str]] = []
        self.styles = _styles(part)
        self.formats = _number_formats(part)
        self.counts: dict[tuple[str, int], int] = {}

    def blocks(self, parent: Any) -> list[str]:
        """The paragraphs and tables below an element, in order."""
        found: list[str] = []
        code: list[str] = []
        for element in _content(parent):
            if element.tag == f"{_W}tbl":
                text, is_code, is_item = self._table(element), False, False
            else:
                text, is_code, is_item = self._paragraph(element)
            if code and not is_code:
                found.append(base.fence("\n".join(code)))
                code = []
            if is_code:
                code.append(text)
            elif is_item and found and re.match(r"\s*(- |\d+\. )", found[-1]):
                found[-1] += "\n" + text  # a tight list is one block
            elif text.strip():
                found.append(text)
            found += [block for box in _boxes(element) for block in self.blocks(box)]
        return found + ([base.fence("\n".join(code))] if code else [])

    def notes(self) -> list[str]:
        """Footnotes and endnotes that the text refers to."""
        found = []
        for kind, number in self.noted:
            root = _related(self.part, f"/{kind}s")
            for note in root.iter(f"{_W}{kind}") if root is not None else ():
                if note.get(f"{_W}id") == number:
                    found.append(f"[^{kind[0]}{number}]: " + " ".join(self.blocks(note)))
        return found

    def _paragraph(self, element: Any) -> tuple[str, bool, bool]:
        """(Markdown, whether it is code, whether it is a list item)."""
        text = self._text(element).strip("\n")
        name, level, numbering = self._style(element)
        if level:
            return base.heading(level, text), False, False
        if name in _CODE:
            return text, True, False
        if not text.strip():
            return "", False, False
        if numbering:
            return self._item(numbering, text), False, True
        if name in ("quote", "intense quote"):
            return "> " + text.replace("\n", "\n> "), False, False
        return base.escaped(text.strip()), False, False

    def _style(self, element: Any) -> tuple[str, int, tuple[str, int] | None]:
        """(style name, heading level or 0, (list, depth) or None): the paragraph's own marks win over its style's."""
        own = element.find(f"{_W}pPr")
        used = own.find(f"{_W}pStyle") if own is not None else None
        name, level, numbering = self.styles.get(used.get(f"{_W}val") if used is not None else "", ("", 0, None))
        if own is not None:
            level = _outline(own) or level
            numbering = _numbering(own, numbering)
        return name, level, numbering if numbering and numbering[0] != "0" else None

    def _item(self, numbering: tuple[str, int], text: str) -> str:
        listed, depth = numbering
        for deeper in [key for key in self.counts if key[0] == listed and key[1] > depth]:
            del self.counts[deeper]
        count = self.counts[numbering] = self.counts.get(numbering, 0) + 1
        marker = "- " if self.formats.get(numbering, "bullet") in ("bullet", "none") else f"{count}. "
        margin = "    " * min(depth, 6)
        return base.indented(text.strip(), margin + marker, margin + " " * len(marker))

    def _table(self, element: Any) -> str:
        rows = _rows(element)
        cells = [cell for row in rows for cell in row]
        if len(cells) == 1:  # a frame around text
            return base.joined(self.blocks(cells[0]))
        return base.table([[text for cell in row for text in self._cell(cell)] for row in rows])

    def _cell(self, cell: Any) -> list[str]:
        """The cell's text and an empty one for each further column that it spans; merged rows are not repeated."""
        own = cell.find(f"{_W}tcPr")
        span = own.find(f"{_W}gridSpan") if own is not None else None
        merged = own.find(f"{_W}vMerge") if own is not None else None
        continued = merged is not None and merged.get(f"{_W}val") in (None, "continue")
        width = min(int(span.get(f"{_W}val") or 1), 64) if span is not None else 1
        text = "" if continued else "; ".join(block.replace("\n", " ") for block in self._cell_blocks(cell))
        return [text, *[""] * (width - 1)]

    def _cell_blocks(self, cell: Any) -> Iterator[str]:
        for element in _content(cell):
            if element.tag == f"{_W}tbl":
                for row in _rows(element):
                    yield ", ".join(text for inner in row for text in self._cell(inner) if text)
            elif text := self._text(element).strip():
                yield text

    def _text(self, element: Any) -> str:
        """The text of a paragraph or a run, without what was deleted and without text boxes."""
        parts: list[str] = []
        for child in element:
            tag = child.tag
            if tag == f"{_W}t":
                parts.append(child.text or "")
            elif tag == f"{_W}tab":
                parts.append(" ")
            elif tag in (f"{_W}br", f"{_W}cr"):
                parts.append("\n")
            elif tag == f"{_W}noBreakHyphen":
                parts.append("-")
            elif tag == f"{_W}hyperlink":
                parts.append(self._link(child))
            elif tag in (f"{_W}footnoteReference", f"{_W}endnoteReference"):
                kind = tag[len(_W) :].removesuffix("Reference")
                self.noted.append((kind, child.get(f"{_W}id") or ""))
                parts.append(f"[^{kind[0]}{child.get(f'{_W}id')}]")
            elif tag in (f"{_M}oMath", f"{_M}oMathPara"):
                parts.append(_math(child))
            elif tag not in _REMOVED and tag != f"{_W}txbxContent":
                parts.append(self._text(child))
        return "".join(parts)

    def _link(self, element: Any) -> str:
        text = self._text(element)
        relation = self.part.rels.get(element.get(f"{_R}id") or "")
        target = relation.target_ref if relation is not None and relation.is_external else ""
        if not target or not text.strip():
            return text
        self.links.append(target)
        return f"[{text}]({target})" if " " not in target else text


def _content(parent: Any) -> Iterator[Any]:
    """Paragraphs and tables, also those inside content controls and insertions."""
    for child in parent:
        if child.tag in (f"{_W}p", f"{_W}tbl"):
            yield child
        elif child.tag in (f"{_W}sdt", f"{_W}sdtContent", f"{_W}ins", f"{_W}customXml", f"{_W}smartTag"):
            yield from _content(child)


def _boxes(element: Any) -> Iterator[Any]:
    """Outermost text boxes anchored in a paragraph; the copy for old readers is skipped."""
    for box in element.iter(f"{_W}txbxContent") if element.tag == f"{_W}p" else ():
        above = {owner.tag for owner in box.iterancestors()}
        nested = any(o.tag == f"{_W}txbxContent" and element in o.iterancestors() for o in box.iterancestors())
        if _FALLBACK not in above and not nested:
            yield box


def _rows(element: Any) -> list[list[Any]]:
    """The cells of a table's rows, without those of tables inside."""
    own = [row for row in element.iter(f"{_W}tr") if next(row.iterancestors(f"{_W}tbl"), None) is element]
    return [[c for c in row.iter(f"{_W}tc") if next(c.iterancestors(f"{_W}tr"), None) is row] for row in own]


def _related(part: Any, kind: str) -> Any:
    """The root of a related part whose relationship type ends so, or None."""
    for relation in part.rels.values():
        if relation.reltype.endswith(kind) and not relation.is_external:
            return ooxml.xml(relation.target_part.blob)
    return None


def _outline(properties: Any) -> int:
    level = properties.find(f"{_W}outlineLvl")
    value = int(level.get(f"{_W}val") or 9) if level is not None else 9
    return value + 1 if value < 9 else 0


def _numbering(properties: Any, inherited: tuple[str, int] | None) -> tuple[str, int] | None:
    own = properties.find(f"{_W}numPr")
    if own is None:
        return inherited
    listed, depth = own.find(f"{_W}numId"), own.find(f"{_W}ilvl")
    number = listed.get(f"{_W}val") if listed is not None else inherited[0] if inherited else ""
    return (number or "0", int(depth.get(f"{_W}val") or 0) if depth is not None else 0)


def _styles(part: Any) -> dict[str, tuple[str, int, tuple[str, int] | None]]:
    """style id -> (name, heading level or 0, list or None), with what a style inherits."""
    root = _related(part, "/styles")
    raw = {style.get(f"{_W}styleId"): style for style in root.iter(f"{_W}style")} if root is not None else {}
    found: dict[str, tuple[str, int, tuple[str, int] | None]] = {}
    for key in raw:
        name, level, numbering, seen = "", 0, None, set()
        current = key
        while (style := raw.get(current)) is not None and current not in seen:
            seen.add(current)
            label = style.find(f"{_W}name")
            own = (label.get(f"{_W}val") or "").lower() if label is not None else ""
            name = name or own
            match = _HEADING.match(own)
            properties = style.find(f"{_W}pPr")
            level = level or (int(match[1]) if match else 1 if own == "title" else 0)
            if properties is not None:
                level, numbering = level or _outline(properties), numbering or _numbering(properties, None)
            base_style = style.find(f"{_W}basedOn")
            current = base_style.get(f"{_W}val") if base_style is not None else ""
        found[key] = (name, level, None if level else numbering)
    return found


def _number_formats(part: Any) -> dict[tuple[str, int], str]:
    """(list id, depth) -> "bullet", "decimal", ..."""
    root = _related(part, "/numbering")
    if root is None:
        return {}
    abstract: dict[str, dict[int, str]] = {}
    for definition in root.iter(f"{_W}abstractNum"):
        levels = {}
        for level in definition.iter(f"{_W}lvl"):
            form = level.find(f"{_W}numFmt")
            levels[int(level.get(f"{_W}ilvl") or 0)] = form.get(f"{_W}val") if form is not None else "decimal"
        abstract[definition.get(f"{_W}abstractNumId")] = levels
    found = {}
    for number in root.iter(f"{_W}num"):
        link = number.find(f"{_W}abstractNumId")
        for depth, form in abstract.get(link.get(f"{_W}val") if link is not None else "", {}).items():
            found[(number.get(f"{_W}numId"), depth)] = form
    return found


def _math(element: Any) -> str:
    """An equation on one line: fractions, powers, indices and roots keep their structure."""
    tag = element.tag.removeprefix(_M) if isinstance(element.tag, str) else ""
    if tag == "t":
        return element.text or ""
    read = [(child.tag.removeprefix(_M), _math(child)) for child in element if isinstance(child.tag, str)]
    inner = dict(read)
    if tag == "f":
        return f"({inner.get('num', '')})/({inner.get('den', '')})"
    if tag in ("sSup", "sSub", "sSubSup"):
        below = f"_{inner['sub']}" if inner.get("sub") else ""
        above = inner.get("sup", "")
        return inner.get("e", "") + below + (f"^({above})" if len(above) > 1 else f"^{above}" if above else "")
    if tag == "rad":
        return f"√({inner.get('e', '')})"
    if tag == "d":
        return "(" + ", ".join(text for name, text in read if name == "e") + ")"
    return "".join(text for _, text in read)
