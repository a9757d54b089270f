"""reStructuredText through docutils and HTML to Markdown. Sphinx's directives and roles keep their text."""

from __future__ import annotations

import re
from typing import Any

from assets.knowledge.formats.base import Parsed, one_line
from assets.knowledge.formats.dates import iso_date

_DIRECTIVE = re.compile(r"^[ \t]*\.\.[ \t]+(?:\|[^|\n]+\|[ \t]+)?([A-Za-z][\w.:+-]*?)[ \t]*::", re.MULTILINE)
_ROLE = re.compile(r":([A-Za-z][\w.:+-]*?):`")
_TARGET = re.compile(r"^(.*?)\s*<([^<>]+)>$", re.DOTALL)
# Sphinx's object descriptions: their argument is a signature and not prose.
_SIGNATURE = re.compile(
    r"^(?:(?:py|js|c|cpp|rst|std):)?(?:auto)?(?:module|currentmodule|function|class|exception|method|attribute|data|"
    r"property|decorator|classmethod|staticmethod|envvar|option|program|confval|describe|object|type|enum|macro|member|"
    r"struct|var|directive|role|summary)$"
)
_SETTINGS = {
    "file_insertion_enabled": False,  # no include, no raw file, no csv-table from a file or an address
    "raw_enabled": False,
    "_disable_config": True,
    "report_level": 3,  # errors stay in the tree, where their text is taken out of them
    "halt_level": 5,
    "warning_stream": False,
    "syntax_highlight": "none",
    "math_output": "LaTeX",
    "embed_stylesheet": False,
    "stylesheet_path": "",
    "smart_quotes": False,
    "doctitle_xform": True,  # docutils reads the author and the date below a title only
    "sectsubtitle_xform": False,
    "docinfo_xform": True,
    "toc_backlinks": False,
    "footnote_backlinks": False,
    "line_length_limit": 20_000,
}


def read_rst(text: str) -> Parsed:
    """A reStructuredText document."""
    from docutils import nodes
    from docutils.core import publish_doctree, publish_from_doctree

    from assets.knowledge.formats.html_writer import Writer
    from assets.knowledge.formats.web import parse_html

    _register(text)
    tree = publish_doctree(text, settings_overrides=dict(_SETTINGS))
    metadata, date = _facts(tree)
    _keep_what_failed(tree)
    titled = bool(tree.children) and isinstance(tree.children[0], nodes.title)
    settings = {**_SETTINGS, "output_encoding": "unicode", "initial_header_level": 2 if titled else 1}
    html = publish_from_doctree(tree, writer="html5", settings_overrides=settings)
    page, _ = parse_html(str(html))
    if page is None:
        return Parsed("")
    writer = Writer()
    main = page.find(".//main")
    markdown = writer.write(main if main is not None else page.find("body"))
    return Parsed(markdown, date=date, links=writer.links, metadata={"type": "rst"} | metadata)


def _facts(tree: Any) -> tuple[dict[str, str], str | None]:
    """Bibliographic fields at the top of the document, and the date among them."""
    from docutils import nodes

    found: dict[str, str] = {}
    for info in list(tree.findall(nodes.docinfo)):
        for field in info:
            name = field[0].astext().lower() if isinstance(field, nodes.field) else field.tagname
            found[name] = one_line((field[1] if isinstance(field, nodes.field) else field).astext())
        info.parent.remove(info)
    for name in ("orphan", "tocdepth", "nocomments", "nosearch"):  # switches of Sphinx
        found.pop(name, None)
    return found, iso_date(found.get("date"))


def _keep_what_failed(tree: Any) -> None:
    """Puts back the source text of what docutils could not read, in place of its message about it."""
    from docutils import nodes

    for message in list(tree.findall(nodes.system_message)):
        blocks = [node for node in message.children if isinstance(node, nodes.literal_block)]
        message.parent.replace(message, blocks)
    for section in list(tree.findall(lambda n: isinstance(n, nodes.section) and "system-messages" in n["classes"])):
        section.parent.remove(section)
    for broken in list(tree.findall(nodes.problematic)):
        broken.replace_self(nodes.inline("", broken.astext()))


_registered: set[str] = set()


def _register(text: str) -> None:
    """Stand-ins for the directives and roles of this text that docutils does not know."""
    from docutils.parsers.rst import directives, roles
    from docutils.parsers.rst.languages import en

    for name in set(_DIRECTIVE.findall(text)):
        lowered = name.lower()
        if lowered not in en.directives and lowered not in _registered:
            _registered.add(lowered)
            directives.register_directive(lowered, _directive_class())
    for name in set(_ROLE.findall(text)):
        lowered = name.lower()
        if lowered not in en.roles and f":{lowered}:" not in _registered:
            _registered.add(f":{lowered}:")
            roles.register_local_role(lowered, _role)


def _role(name: str, rawtext: str, text: str, *_: Any, **__: Any) -> tuple[list[Any], list[Any]]:
    """`:ref:`Title <target>`` shows its title; `:class:`~package.Name`` shows a literal."""
    from docutils import nodes

    plain = text.replace("\x00", "\\")
    match = _TARGET.match(plain)
    if match:
        return [nodes.inline(rawtext, match[1])], []
    is_prose = name.rsplit(":", 1)[-1] in ("ref", "doc", "term", "abbr", "dfn", "guilabel", "menuselection", "numref")
    node = nodes.inline if is_prose else nodes.literal
    return [node(rawtext, plain.lstrip("~!"))], []


def _argument(directive: Any, text: str) -> list[Any]:
    """A signature as a literal, a version as a phrase, any other argument as prose."""
    from docutils import nodes

    if _SIGNATURE.match(directive.name):
        return [nodes.paragraph("", "", nodes.literal("", text))]
    labels = {"versionadded": "Added in ", "versionchanged": "Changed in ", "deprecated": "Deprecated since "}
    inline, messages = directive.state.inline_text(text, directive.lineno)
    return [nodes.paragraph("", "", nodes.inline("", labels.get(directive.name, "")), *inline), *messages]


_generic: list[type] = []


def _directive_class() -> type:
    """A directive that keeps its argument and its content, whatever they are."""
    if _generic:
        return _generic[0]
    from docutils import nodes
    from docutils.parsers.rst import Directive

    class Generic(Directive):
        has_content = True

        def run(self) -> list[Any]:
            found: list[Any] = []
            first = 0  # the content is a view: deleting lines from it would delete them from the document
            if self.content and self.content_offset == self.lineno - 1:  # an argument on the directive's own line
                found += _argument(self, self.content[0])
                first = 1
            while first < len(self.content) and re.match(r":[\w-]+:", self.content[first]):
                first += 1  # options such as :members:
            box = nodes.container()
            self.state.nested_parse(self.content[first:], self.content_offset + first, box)
            return [*found, *box.children]

    _generic.append(Generic)
    return Generic
