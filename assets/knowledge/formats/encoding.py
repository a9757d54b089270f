"""Bytes to text: byte order marks, then what the file declares, then UTF-8, then a guess by `chardet`."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

SAMPLE = 128 * 1024  # bytes that a guess is made from
_MARKS = (  # UTF-32 first: its little-endian mark starts with the one of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\x0b\f\r\x1b\x08"))
_STATEFUL = re.compile(rb"\x1b\$[@B]|\x1b\(J|\x1b\$\)[AC]")  # ISO-2022: plain ASCII bytes that are not ASCII text
_HIGH = re.compile(rb"[\x80-\xff]")
_TEXT_CODEC = re.compile(r"[\w.:-]{2,40}")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text, the encoding it was in, and how many bytes or byte sequences were no text in it."""

    text: str
    encoding: str
    lost: int = 0


def decode(data: bytes, declared: str | None = None) -> Decoded | None:
    """The text of a file, or None where the bytes are no text.

    `declared` is what the format says inside (HTML meta, a mail's charset). It is tried after byte order marks and
    after UTF-8: bytes that are not UTF-8 almost never decode as UTF-8 (RFC 3629, section 10), while declarations are
    often left over from a template.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _lenient(data[len(mark) :], name)
    if b"\x00" in data[:4096]:
        name = _wide(data[:4096])
        return _lenient(data, name) if name else None
    if _is_binary(data):
        return None
    declared = _known(declared)
    stateful = _STATEFUL.search(data[:SAMPLE]) is not None
    if not stateful:
        try:
            return Decoded(data.decode("utf-8"), "utf-8")
        except UnicodeDecodeError:
            pass
    return _strict(data, declared) or _damaged_utf8(data) or _guessed(data)


def _wide(head: bytes) -> str | None:
    """UTF-16 without a mark: in most texts nearly every other byte is zero."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if max(even, odd) < 0.3 * len(head) / 2 or min(even, odd) > 0.05 * len(head) / 2:
        return None
    return "utf-16-be" if even > odd else "utf-16-le"


def _is_binary(data: bytes) -> bool:
    head = data[:SAMPLE]
    controls = len(head) - len(head.translate(None, _CONTROLS))
    return b"\x00" in head or controls > max(0.01 * len(head), 1)


def _known(name: str | None) -> str | None:
    if not name or not _TEXT_CODEC.fullmatch(name):
        return None
    try:
        info = codecs.lookup(name)
    except LookupError:
        return None
    # The WHATWG encoding standard reads these labels as their Windows supersets, and so does every browser.
    wider = {"iso8859-1": "cp1252", "ascii": "cp1252", "shift_jis": "cp932", "gb2312": "gb18030", "gbk": "gb18030"}
    text_codec = getattr(info, "_is_text_encoding", True)
    return wider.get(info.name, info.name) if text_codec and not info.name.startswith("utf-16") else None


def _strict(data: bytes, name: str | None) -> Decoded | None:
    if name is None:
        return None
    try:
        return Decoded(data.decode(name), name)
    except (UnicodeDecodeError, LookupError):
        return None


def _lenient(data: bytes, name: str) -> Decoded:
    text = data.decode(name, "replace")
    original = data.count(b"\xef\xbf\xbd") if name == "utf-8" else 0  # U+FFFD that the author wrote
    return Decoded(text, name, max(text.count("\ufffd") - original, 0))


def _damaged_utf8(data: bytes) -> Decoded | None:
    """UTF-8 with a few broken places: a cut at the end, a pasted Latin-1 character."""
    decoded = _lenient(data, "utf-8")
    good = sum(1 for char in decoded.text[:SAMPLE] if char > "\x7f" and char != "\ufffd")
    return decoded if decoded.lost and 20 * min(decoded.lost, SAMPLE) <= good else None


def _guessed(data: bytes) -> Decoded | None:
    import chardet

    found = _HIGH.search(data)
    start = max(found.start() - 1024, 0) if found else 0
    name = _known(chardet.detect(data[start : start + SAMPLE]).get("encoding"))
    if name is None:
        return None
    decoded = _strict(data, name) or _lenient(data, name)
    odd = sum(1 for char in decoded.text[:SAMPLE] if "\x80" <= char <= "\x9f" or char == "\ufffd")
    return None if odd > 0.02 * min(len(decoded.text), SAMPLE) else decoded
