"""Files to documents: `parse` takes a path and bytes and gives Markdown, or the reason why not.

Every format comes out as Markdown, so that one chunker follows and heading paths survive: DOCX styles, HTML h1-h6, RST
sections, slide titles and notebook cells become ATX headings, tables become pipe tables, code becomes fences.

    outcome                     when
    Document                    there is text; metadata["partial"] says what is missing where some could not be read
    Refusal EMPTY               zero bytes, or white space only
    Refusal NO_TEXT             a whole file without text: scanned pages, blank slides, an empty table
    Refusal MISMATCH            its content is of another type than its name says
    Refusal ENCRYPTED           it opens with a password only
    Refusal UNSUPPORTED         a type that is not read, or binary data
    Refusal CORRUPT             cut or damaged, and nothing could be read
    Refusal TOO_LARGE           its text, or what it unpacks to, is more than may be held

`parse` is pure and bounds what it can; time and memory are bounded by the process around it
(`orchestration.engines.parsers`).
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from assets.fingerprints import digest
from assets.knowledge.formats import base
from assets.knowledge.formats.base import Parsed, Refused
from assets.knowledge.formats.encoding import Decoded
from assets.knowledge.formats.sniff import sniff
from assets.knowledge.markdown import outline
from assets.ports import Document, Reason, Refusal

VERSION = "3"  # raise it when the same file would give another document
LIBRARIES = ("chardet", "docutils", "lxml", "markdown-it-py", "pypdf", "python-docx", "python-pptx", "PyYAML")

_SAYS = re.compile(r"[^\s#>*_`|:\-+=~.\[\]()!\\]")  # a character that is no mark of Markdown


def parse(path: str, data: bytes) -> Document | Refusal:
    """One file. `path` gives its extension and, where nothing else does, its title. Raises only MemoryError."""
    try:
        kind, decoded = sniff(path, data)
        parsed = _read(kind, path, data, decoded)
        return _document(path, parsed, decoded)
    except Refused as refused:
        return Refusal(refused.reason, base.one_line(refused.detail, 1_000))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - one odd file must not end a run; its name and the error are kept
        said = base.one_line(f"{type(error).__name__}: {error}", 300)
        return Refusal(
            Reason.CORRUPT,
            f"The file cannot be read ({said}); expected a well-formed {PurePosixPath(path).suffix or 'text'} file; "
            "save it again, or exclude it from the source.",
        )


def fingerprint() -> str:
    """Identity of the parser: the same fingerprint reads the same bytes as the same document."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} missing")
    return digest(["parser", VERSION, *found])


def _read(kind: str, path: str, data: bytes, decoded: Decoded | None) -> Parsed:
    text = decoded.text if decoded else ""
    if len(text) > base.MAX_TEXT:
        raise _too_large(len(text))
    match kind:  # imported when a file of that kind comes: a folder of Markdown must not wait for a PDF library
        case "markdown" | "mdx":
            from assets.knowledge.formats.markdown import read_markdown

            return read_markdown(text, mdx=kind == "mdx")
        case "rst":
            from assets.knowledge.formats.rst import read_rst

            return read_rst(text)
        case "html":
            from assets.knowledge.formats.web import read_html

            return read_html(text)
        case "csv":
            from assets.knowledge.formats.delimited import read_csv

            return read_csv(text)
        case "ipynb":
            from assets.knowledge.formats.notebook import read_notebook

            return read_notebook(text)
        case "pdf":
            from assets.knowledge.formats.pdf import read_pdf

            return read_pdf(data)
        case "docx":
            from assets.knowledge.formats.word import read_docx

            return read_docx(data)
        case "pptx":
            from assets.knowledge.formats.slides import read_pptx

            return read_pptx(data)
        case "eml":
            from assets.knowledge.formats.mail import read_mail

            return read_mail(data)
        case _:
            from assets.knowledge.formats.plain import read_plain

            return read_plain(path, text)


def _document(path: str, parsed: Parsed, decoded: Decoded | None) -> Document:
    text = base.clean(parsed.text).strip("\n")
    if len(text) > base.MAX_TEXT:
        raise _too_large(len(text))
    if not _SAYS.search(text):
        raise Refused(
            Reason.NO_TEXT,
            f"The file opens but holds no text{_hint(parsed)}; expected text; run text recognition (OCR) on it if it "
            "shows some, or exclude it from the source.",
        )
    metadata = dict(parsed.metadata)
    partial = [parsed.partial] if parsed.partial else []
    if decoded is not None:
        if decoded.encoding != "utf-8":
            metadata["encoding"] = decoded.encoding
        if decoded.lost:
            partial.append(f"{decoded.lost} byte sequences are no {decoded.encoding} text")
    if partial:
        metadata = {"partial": "; ".join(partial)} | metadata
    titles = (base.one_line(title) for title in parsed.titles)
    return Document(
        text=text,
        title=next((title for title in titles if title), "") or _title(path, text),
        date=parsed.date,
        links=base.bounded_links(parsed.links),
        metadata=base.bounded_metadata(metadata),
        outline=outline(text),
    )


def _title(path: str, text: str) -> str:
    from assets.knowledge.formats.markdown import first_heading

    return base.one_line(first_heading(text)) or base.one_line(PurePosixPath(path).stem) or "untitled"


def _hint(parsed: Parsed) -> str:
    pages = parsed.metadata.get("pages") or parsed.metadata.get("slides")
    return f" on its {pages} pages (images only, or blank)" if pages else ""


def _too_large(size: int) -> Refused:
    return Refused(
        Reason.TOO_LARGE,
        f"The file holds {size:,} characters of text; expected at most {base.MAX_TEXT:,}; split it, or exclude it.",
    )
