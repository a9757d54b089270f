"""PDF through pypdf: pages to lines with their size and place; `pdf_layout` makes Markdown of them."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterator
from typing import Any

from assets.knowledge.formats.base import Parsed, Refused, one_line
from assets.knowledge.formats.dates import pdf_date
from assets.knowledge.formats.pdf_layout import Line, is_title, layout, normalized
from assets.knowledge.formats.sniff import encrypted
from assets.ports import Reason


def read_pdf(data: bytes) -> Parsed:
    """A PDF document."""
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it reports each repair; what was lost is told by `partial`
    reader = None
    whole = b"%%EOF" in data[-4096:]
    tail = b"" if whole else b"\nstartxref\n0\n%%EOF\n"  # with an end, pypdf looks for what objects there are
    try:
        reader = PdfReader(io.BytesIO(data + tail), strict=False)
        locked = reader.is_encrypted
        if locked and not reader.decrypt(""):
            raise encrypted("The PDF needs a password to be opened")
        count = len(reader.pages)
        pages, failed = _pages(reader, count)
        text = layout(pages, _outline(reader))
        titles, date, metadata = _facts(reader)
        links = list(_links(reader))
    except (Refused, MemoryError):
        raise
    except NotImplementedError as error:
        if reader is not None and reader.is_encrypted:
            raise encrypted(f"The PDF is protected in a way that cannot be opened ({error})") from error
        raise _corrupt(error) from error
    except Exception as error:
        raise _corrupt(error) from error
    if failed and not text:
        raise _corrupt(failed[0][1])
    metadata = {"type": "pdf", "pages": str(count)} | metadata
    if locked:  # it opens without a password: reading is allowed, and an index only reads
        metadata["restricted"] = "the owner restricts copying or editing"
    return Parsed(text, titles, date, links, metadata, _lost(whole, failed, count))


def _pages(reader: Any, count: int) -> tuple[list[list[Line]], list[tuple[int, Exception]]]:
    """The lines of each page, and the pages that could not be read. One broken page does not lose the others."""
    pages: list[list[Line]] = []
    failed: list[tuple[int, Exception]] = []
    for number in range(count):
        try:
            pages.append(_lines(reader.pages[number]))
        except (MemoryError, RecursionError):
            raise
        except Exception as error:  # noqa: BLE001 - see read_pdf
            pages.append([])
            failed.append((number + 1, error))
    return pages, failed


def _lines(page: Any) -> list[Line]:
    """The page's lines in content order, which producers keep in reading order, columns included."""
    found: list[Line] = []
    current = Line("", 0.0, 0.0, 0.0)

    def visit(text: str, cm: list[float], tm: list[float], _font: Any, size: float) -> None:
        nonlocal current
        for index, piece in enumerate(text.split("\n")):
            if index:
                found.append(current)
                current = Line("", 0.0, 0.0, 0.0)
            if piece.strip() and not current.text.strip():
                current.size = abs(size) * math.hypot(tm[2], tm[3]) * math.hypot(cm[2], cm[3])
                current.x = tm[4] * cm[0] + tm[5] * cm[2] + cm[4]
                current.y = tm[4] * cm[1] + tm[5] * cm[3] + cm[5]
            current.text += piece

    page.extract_text(visitor_text=visit)
    found.append(current)
    return [line for line in found if line.text.strip()]


def _outline(reader: Any) -> dict[tuple[int, str], int]:
    """(page index, normalized title) -> level, of the bookmarks; empty where there are none or they are broken."""
    found: dict[tuple[int, str], int] = {}

    def walk(items: list[Any], level: int) -> None:
        for item in items:
            if isinstance(item, list):
                walk(item, level + 1)
            elif len(found) < 10_000:
                page = reader.get_destination_page_number(item)
                if page is not None:
                    found.setdefault((page, normalized(str(item.title))), level)

    try:
        walk(reader.outline, 1)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - bookmarks only help: sizes of fonts are used without them
        return {}
    return found


def _facts(reader: Any) -> tuple[list[str], str | None, dict[str, str]]:
    """(titles, date, metadata) of the document information; a broken one is none."""
    try:
        info = {str(key): one_line(str(value)) for key, value in (reader.metadata or {}).items()}
        root = reader.trailer["/Root"]
        language = one_line(str(root.get("/Lang") or ""), 40)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - see read_pdf; the pages themselves were read
        return [], None, {}
    title = info.get("/Title", "")
    names = {"/Author": "author", "/Subject": "subject", "/Keywords": "keywords"}
    metadata = {name: info[key] for key, name in names.items() if is_title(info.get(key, ""))}
    if language:
        metadata["language"] = language
    date = pdf_date(info.get("/ModDate", "")) or pdf_date(info.get("/CreationDate", ""))
    return [title] if is_title(title) else [], date, metadata


def _links(reader: Any) -> Iterator[str]:
    """Addresses that the pages link to."""
    for page in reader.pages:
        try:
            for annotation in page.get("/Annots") or []:
                action = annotation.get_object().get("/A")
                target = action.get_object().get("/URI") if action is not None else None
                if target is not None:
                    yield str(target.get_object())
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001, S112 - a broken annotation loses a link and no text
            continue


def _lost(whole: bool, failed: list[tuple[int, Exception]], count: int) -> str:
    if failed:
        return f"{len(failed)} of {count} pages cannot be read, the first of them is page {failed[0][0]}"
    if not whole:
        return f"the file has no end mark: the text of the {count} pages that were found"
    return ""


def _corrupt(error: BaseException) -> Refused:
    said = one_line(str(error), 200) or type(error).__name__
    return Refused(Reason.CORRUPT, f"The PDF cannot be read ({said}); expected a whole file; save or export it again.")
