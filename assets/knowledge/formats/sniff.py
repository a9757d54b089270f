"""Which format a file is in: its first bytes against its name.

content is            name says               kind
a known format        the same, or nothing    that format
a known format        another known format    refused: mismatch
OLE container         docx, pptx, xlsx        refused: encrypted (that is how Office stores protected files)
OLE container         anything else           refused: unsupported
zip, broken           anything                refused: corrupt
text                  a text format           that format
text                  pdf, docx, pptx, ...    refused: mismatch
text                  unknown or nothing      html, where it starts like HTML, else text
neither               a text format           refused: unsupported
neither               pdf, docx, pptx         refused: corrupt
"""

from __future__ import annotations

import io
import zipfile
from pathlib import PurePosixPath

from assets.knowledge.formats.base import Refused
from assets.knowledge.formats.encoding import Decoded, decode
from assets.ports import Reason

TEXT_KINDS = {
    "md": "markdown", "markdown": "markdown", "mdown": "markdown", "mkd": "markdown", "mdx": "mdx",
    "rst": "rst", "rest": "rst", "html": "html", "htm": "html", "xhtml": "html", "csv": "csv", "tsv": "csv",
    "ipynb": "ipynb", "eml": "eml", "txt": "text", "text": "text",
}  # fmt: skip
BINARY_KINDS = {
    "pdf": "pdf",
    "docx": "docx",
    "docm": "docx",
    "dotx": "docx",
    "pptx": "pptx",
    "pptm": "pptx",
    "ppsx": "pptx",
}
OFFICE = {"docx", "docm", "dotx", "pptx", "pptm", "ppsx", "xlsx", "xlsm"}
SUPPORTED = "Markdown, MDX, reStructuredText, HTML, text, PDF, DOCX, PPTX, CSV, TSV, ipynb and eml"
_OTHER = (  # first bytes of formats that are told apart only to name them in a refusal
    (b"\x89PNG\r\n", "a PNG image"), (b"\xff\xd8\xff", "a JPEG image"), (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image"), (b"MM\x00*", "a TIFF image"), (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"), (b"Rar!", "a RAR archive"), (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"), (b"\x28\xb5\x2f\xfd", "a zstd archive"), (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"), (b"SQLite format 3\x00", "an SQLite database"), (b"PAR1", "a Parquet file"),
    (b"{\\rtf", "an RTF document"), (b"!BDN", "an Outlook folder"), (b"%!PS", "a PostScript file"),
)  # fmt: skip

_UNLIKELY = {b"{\\rtf", b"%!PS"}  # text by their bytes; a text may well start with the letters of the others


def sniff(path: str, data: bytes) -> tuple[str, Decoded | None]:
    """The kind of a file and, for text formats, its decoded text; raises Refused."""
    extension = PurePosixPath(path).suffix[1:].lower()
    if not data:
        raise Refused(
            Reason.EMPTY, "The file has zero bytes; expected a document; write it or remove it from the source."
        )
    if data[:64].lstrip().startswith(b"%PDF-") or (extension not in TEXT_KINDS and b"%PDF-" in data[:1024]):
        return _agreed("pdf", "a PDF", extension), None
    if data.startswith(b"PK\x03\x04") or data.startswith(b"PK\x05\x06"):
        return _agreed(*_zipped(data, extension), extension), None
    if data.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        raise _ole(data, extension)
    for mark, name in _OTHER:
        if data.startswith(mark) and (mark in _UNLIKELY or b"\x00" in data[:512]):
            raise _other(name, extension)
    return _text(data, extension)


def _agreed(kind: str, name: str, extension: str) -> str:
    expected = BINARY_KINDS.get(extension) or TEXT_KINDS.get(extension)
    if (expected and expected != kind) or (kind != "xlsx" and extension == "xlsx"):
        raise _mismatch(name, extension)
    if kind not in ("pdf", "docx", "pptx"):
        raise _unsupported(name)
    return kind


def _zipped(data: bytes, extension: str) -> tuple[str, str]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            locked = any(info.flag_bits & 1 for info in archive.infolist()) or _locked_odf(archive, names)
    except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError, OSError, EOFError) as error:
        raise Refused(
            Reason.CORRUPT,
            f"The file starts as a zip container{f' ({extension})' if extension else ''} but its directory cannot be "
            f"read ({error}), as after a cut transfer; expected a whole file; copy or save it again.",
        ) from error
    if locked:
        raise encrypted("The file is a container whose parts are encrypted")
    for prefix, kind, name in (
        ("word/", "docx", "a Word document (docx)"),
        ("ppt/", "pptx", "a PowerPoint presentation (pptx)"),
        ("xl/", "xlsx", "an Excel workbook (xlsx)"),
        ("META-INF/container.xml", "epub", "an EPUB book"),
        ("META-INF/manifest.xml", "odf", "an OpenDocument or Java container"),
    ):
        if any(entry.startswith(prefix) for entry in names):
            return kind, name
    return "zip", "a zip archive"


def _locked_odf(archive: zipfile.ZipFile, names: list[str]) -> bool:
    if "META-INF/manifest.xml" not in names or archive.getinfo("META-INF/manifest.xml").file_size > 10_000_000:
        return False
    return b"encryption-data" in archive.read("META-INF/manifest.xml")


def _ole(data: bytes, extension: str) -> Refused:
    if extension in OFFICE or "EncryptedPackage".encode("utf-16-le") in data:
        return encrypted("The file is an OLE container, the form in which Office stores a password-protected document")
    old = {"doc": "an old Word document", "ppt": "an old PowerPoint file", "xls": "an old Excel file"}
    name = {**old, "msg": "an Outlook message"}.get(extension, "an OLE container (old Office or Outlook)")
    if extension in TEXT_KINDS or extension in BINARY_KINDS:
        return _mismatch(name, extension)
    return _unsupported(name)


def _other(name: str, extension: str) -> Refused:
    known = extension in TEXT_KINDS or extension in BINARY_KINDS or extension in OFFICE
    return _mismatch(name, extension) if known else _unsupported(name)


def _text(data: bytes, extension: str) -> tuple[str, Decoded | None]:
    kind = TEXT_KINDS.get(extension)
    if kind == "eml":
        return kind, None  # each part of a mail has its own charset
    declared = None
    if kind in ("html", None):
        from assets.knowledge.formats.web import declared_charset

        declared = declared_charset(data)
    decoded = decode(data, declared)
    if decoded is None:
        if extension in BINARY_KINDS or extension in OFFICE:
            raise Refused(
                Reason.CORRUPT,
                f"The file is named .{extension} but does not start as one and is no text either; expected a whole "
                f"{extension} file; copy or save it again.",
            )
        raise _unsupported("binary data of no known format")
    if not decoded.text.strip("\ufeff \t\r\n\f\v\xa0\u200b\u3000"):
        raise Refused(
            Reason.EMPTY, "The file holds white space only; expected text; write it or remove it from the source."
        )
    if extension in BINARY_KINDS or extension in OFFICE:
        raise _mismatch("plain text", extension)
    if kind is None:
        kind = "html" if decoded.text.lstrip()[:15].lower().startswith(("<!doctype html", "<html")) else "text"
    return kind, decoded


def encrypted(found: str) -> Refused:
    """The refusal of a protected file."""
    return Refused(
        Reason.ENCRYPTED, f"{found}; expected one that opens without a password; save it without and sync again."
    )


def _unsupported(name: str) -> Refused:
    return Refused(
        Reason.UNSUPPORTED,
        f"The file is {name}; expected one of {SUPPORTED}; convert it, or exclude it from the source.",
    )


def _mismatch(name: str, extension: str) -> Refused:
    return Refused(
        Reason.MISMATCH, f"The file is named .{extension} but its content is {name}; expected both to agree; rename it."
    )
