"""Mail (.eml) as Markdown: the subject as heading, who and when, the text; attachments are named and not read."""

from __future__ import annotations

import base64
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from typing import Any

from assets.knowledge.formats.base import Parsed, Refused, escaped, heading, joined, one_line
from assets.knowledge.formats.dates import iso_date
from assets.knowledge.formats.encoding import decode
from assets.ports import Reason

DEPTH = 4  # messages forwarded inside of messages


def read_mail(data: bytes) -> Parsed:
    """A message as a mail program saves it (RFC 5322, MIME)."""
    message = message_from_bytes(data, policy=policy.default)
    if not any(message[name] for name in ("From", "To", "Subject", "Date", "Message-ID", "Received")):
        raise Refused(
            Reason.CORRUPT,
            "The file is named .eml but has no mail headers; expected From, Subject, Date; save it again.",
        )
    links: list[str] = []
    attachments: list[str] = []
    text = joined(_blocks(message, 1, links, attachments))
    metadata = {"type": "eml", "author": _header(message, "From"), "to": _header(message, "To")}
    if attachments:
        metadata["attachments"] = ", ".join(attachments)
    broken = any("Boundary" in type(defect).__name__ for part in message.walk() for defect in part.defects)
    partial = "its MIME boundaries are broken: parts after the damage may be missing" if broken else ""
    return Parsed(text, [_header(message, "Subject")], iso_date(_header(message, "Date")), links, metadata, partial)


def _blocks(message: Message, level: int, links: list[str], attachments: list[str]) -> list[str]:
    found = [heading(level, _header(message, "Subject"))]
    who = [f"{name}: {value}" for name in ("From", "To", "Cc", "Date") if (value := _header(message, name))]
    found.append("\n".join(who))
    found += _parts(message, level, links, attachments)
    return found


def _parts(part: Message, level: int, links: list[str], attachments: list[str]) -> list[str]:
    kind = part.get_content_type()
    if kind == "message/rfc822" and part.is_multipart() and level < DEPTH:
        return [block for inner in _inner(part) for block in _blocks(inner, level + 1, links, attachments)]
    if kind == "multipart/alternative":
        read = [(inner.get_content_type(), _parts(inner, level, links, attachments)) for inner in _inner(part)]
        read = [(name, blocks) for name, blocks in read if joined(blocks)]
        plain = [blocks for name, blocks in read if name == "text/plain"]
        return plain[0] if plain else read[-1][1] if read else []
    if part.is_multipart():
        return [block for inner in _inner(part) for block in _parts(inner, level, links, attachments)]
    name = one_line(str(part.get_filename() or ""))
    if part.get_content_disposition() == "attachment" or not kind.startswith("text/") or name:
        attachments.append(name or kind)
        return [f"Attachment: {name or kind}"]
    return [_text(part, kind, links)]


def _inner(part: Message) -> list[Any]:
    payload = part.get_payload()
    if part.get_content_type() == "message/rfc822" and str(part["Content-Transfer-Encoding"]).lower() == "base64":
        # forbidden by RFC 2046 and done all the same: the inner message was parsed as one text in base64
        inner = payload[0] if isinstance(payload, list) and payload else None
        text = inner.get_payload() if isinstance(inner, Message) else payload
        try:
            return [message_from_bytes(base64.b64decode(str(text)), policy=policy.default)]
        except ValueError:
            return []
    return [inner for inner in payload if isinstance(inner, Message)] if isinstance(payload, list) else []


def _text(part: Message, kind: str, links: list[str]) -> str:
    raw = part.get_payload(decode=True)
    decoded = decode(raw, part.get_content_charset()) if isinstance(raw, bytes) else None
    if decoded is None:
        return ""
    if kind == "text/html":
        from assets.knowledge.formats.web import read_html

        page = read_html(decoded.text)
        links += page.links
        return page.text
    return escaped(decoded.text.strip())


def _header(message: Message | EmailMessage, name: str) -> str:
    try:
        return one_line(str(message[name] or ""))
    except (ValueError, TypeError, IndexError, AttributeError):  # the email package fails on some malformed headers
        return ""
