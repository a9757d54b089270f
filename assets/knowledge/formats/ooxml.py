"""What Word and PowerPoint files share: a zip that is bounded before it is unpacked, and their stated properties."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from assets.knowledge.formats.base import Refused
from assets.knowledge.formats.dates import iso_date
from assets.ports import Reason

MAX_UNPACKED = 512 * 1024 * 1024  # bytes of all parts together
MAX_XML = 64 * 1024 * 1024  # bytes of one XML part: a tree takes some ten times that in memory
MAX_PARTS = 20_000

_NAMES = {
    "creator": "author",
    "subject": "subject",
    "keywords": "keywords",
    "language": "language",
    "category": "category",
}


def check_size(data: bytes) -> None:
    """Refuses an archive that would unpack to more than memory should hold.

    The sizes are those that the directory declares; `zipfile` never reads past them.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = archive.infolist()
    total = sum(part.file_size for part in parts)
    largest = max((part.file_size for part in parts if part.filename.endswith((".xml", ".rels"))), default=0)
    if total > MAX_UNPACKED or largest > MAX_XML or len(parts) > MAX_PARTS:
        raise Refused(
            Reason.TOO_LARGE,
            f"The file unpacks to {total / 1e6:,.0f} MB in {len(parts):,} parts, the largest XML part being "
            f"{largest / 1e6:,.0f} MB; expected at most {MAX_UNPACKED / 1e6:,.0f} MB and {MAX_XML / 1e6:,.0f} MB; "
            "split it or remove its embedded data.",
        )


def properties(data: bytes) -> tuple[list[str], str | None, dict[str, str]]:
    """(titles, date, metadata) of docProps/core.xml.

    Read here and not through python-docx, which makes up a title and the current time where the part is missing.
    """
    from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - lxml has no stubs

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            root = xml(archive.read("docProps/core.xml"))
    except (KeyError, etree.XMLSyntaxError):
        return [], None, {}
    found = {etree.QName(node).localname: (node.text or "").strip() for node in root if isinstance(node.tag, str)}
    titles = [found["title"]] if found.get("title") else []
    date = iso_date(found.get("modified")) or iso_date(found.get("created"))
    return titles, date, {name: found[key] for key, name in _NAMES.items() if found.get(key)}


def xml(data: bytes) -> Any:
    """Parses XML without entities, DTDs, network or unbounded trees."""
    from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - lxml has no stubs

    return etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))


def corrupt(kind: str, error: Exception) -> Refused:
    """The refusal of a container whose parts cannot be read."""
    said = str(error).split("\n")[0][:200] or type(error).__name__
    return Refused(
        Reason.CORRUPT,
        f"The {kind} file opens but a part of it cannot be read ({said}); expected a whole file; save it again.",
    )
