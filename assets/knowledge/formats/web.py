"""HTML as Markdown: the main content, without scripts, menus and what is hidden."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any

from assets.knowledge.formats.base import Parsed, clean, escaped, one_line
from assets.knowledge.formats.dates import iso_date

_CHARSET = re.compile(rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_XML = re.compile(rb"^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]+)")
_MODIFIED = ("article:modified_time", "og:updated_time", "last-modified", "dcterms.modified", "dc.date.modified")
_PUBLISHED = (
    "article:published_time",
    "dcterms.created",
    "dc.date",
    "dcterms.date",
    "date",
    "pubdate",
    "datepublished",
)
_TOO_DEEP = "tags are nested too deeply to be followed: the text is whole, its headings and lists are lost"
_KEPT = {"author": "author", "description": "description", "og:description": "description", "keywords": "keywords"}


def declared_charset(data: bytes) -> str | None:
    """The encoding that a page's <meta> or its XML declaration names."""
    head = data[:4096]
    match = _CHARSET.search(head) or _XML.match(head)
    return match[1].decode("ascii", "replace") if match else None


def read_html(text: str) -> Parsed:
    """An HTML page."""
    from assets.knowledge.formats.html_writer import Writer

    tree, partial = parse_html(text)
    if tree is None:
        return Parsed("")
    found = _metas(tree)
    writer = Writer()
    body = tree.find("body")
    try:
        markdown = "" if partial else writer.write(_main(body if body is not None else tree))
    except RecursionError:
        markdown, partial = "", _TOO_DEEP
    if partial:
        # libxml2 gives up below 2,048 levels and Python some way above: the text can still be read without the tags
        lines = (" ".join(line.split()) for line in _untagged(text).split("\n"))
        markdown = escaped("\n".join(line for line in lines if line))
    metadata = {"type": "html"} | {name: found[key] for key, name in _KEPT.items() if found.get(key)}
    language = tree.get("lang") or ""
    if language:
        metadata["language"] = language
    return Parsed(markdown, _titles(tree, found), _date(tree, found), writer.links, metadata, partial)


def parse_html(text: str) -> tuple[Any, str]:
    """(root element or None, what was lost). Text is given as UTF-8, so that nothing in it can say otherwise."""
    from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - lxml has no stubs
    from lxml import html as lxml_html

    data = clean(text).encode("utf-8")
    for huge in (False, True):
        parser = lxml_html.HTMLParser(
            encoding="utf-8", huge_tree=huge, remove_comments=True, remove_pis=True, no_network=True
        )
        try:
            tree = lxml_html.document_fromstring(data, parser=parser)
        except etree.ParserError:
            return None, ""
        if not any("depth" in entry.message.lower() for entry in parser.error_log):
            return tree, ""
    return tree, _TOO_DEEP


def _untagged(text: str) -> str:
    text = re.sub(r"<(script|style)\b[^>]*>.*?</\1\s*>", " ", text, flags=re.DOTALL | re.IGNORECASE)
    return html.unescape(re.sub(r"<[^<>]*>", " ", text))


def _metas(tree: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for meta in tree.iter("meta"):
        name = meta.get("name") or meta.get("property") or meta.get("itemprop") or meta.get("http-equiv")
        if name and meta.get("content"):
            found.setdefault(name.strip().lower(), meta.get("content"))
    return found


def _titles(tree: Any, metas: dict[str, str]) -> list[str]:
    """The title, without the name of the site where the page's own heading shows which part that is."""
    stated = [one_line(metas.get("og:title", ""))]
    title = tree.find(".//title")
    if title is not None:
        stated.insert(0, one_line("".join(title.itertext())))
    stated = [text for text in stated if text]
    names = (one_line("".join(h1.itertext())).rstrip(" ¶#") for h1 in tree.iter("h1"))
    own = next((name for name in names if len(name) > 2 and any(name in text for text in stated)), None)
    return [own, *stated] if own else stated


def _date(tree: Any, metas: dict[str, str]) -> str | None:
    for name in (*_MODIFIED, *_PUBLISHED):
        if date := iso_date(metas.get(name)):
            return date
    for time in tree.iter("time"):
        if date := iso_date(time.get("datetime")):
            return date
    return None


def _main(body: Any) -> Any:
    """The one <main> or <article>, where it holds a fair part of the text; else the whole body."""
    for path in (".//main", ".//*[@role='main']", ".//article"):
        found = body.findall(path)
        if len(found) == 1 and 4 * _size(found[0].itertext()) > _size(body.itertext()):
            return found[0]
    return body


def _size(texts: Iterable[str]) -> int:
    return sum(len(text.strip()) for text in texts)
