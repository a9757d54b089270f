"""Dates that documents state, as ISO 8601."""

from __future__ import annotations

import datetime as dt
import re

_PDF = re.compile(r"D?:?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(Z|[+-]\d\d)?'?(\d\d)?")
_FORMATS = ("%Y/%m/%d", "%Y.%m.%d", "%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y", "%d.%m.%Y")


def iso_date(value: object) -> str | None:
    """A date or a time as ISO 8601, or None for what is neither (a bare year, words, a number)."""
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if not isinstance(value, str):
        return None
    text = value.strip()
    if not 8 <= len(text) <= 64:
        return None
    try:
        found = dt.datetime.fromisoformat(text)
        return found.date().isoformat() if len(text) <= 10 else found.isoformat()
    except ValueError:
        return _spelled(text) or _mail_date(text)


def _spelled(text: str) -> str | None:
    for form in _FORMATS:
        try:
            return dt.datetime.strptime(text, form).date().isoformat()
        except ValueError:
            continue
    return None


def _mail_date(text: str) -> str | None:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def pdf_date(value: str) -> str | None:
    """A PDF date, `D:YYYYMMDDHHmmSSOHH'mm'` (ISO 32000-1, 7.9.4), as ISO 8601."""
    match = _PDF.match(value.strip())
    if not match:
        return None
    year, month, day, hour, minute, second, offset, offset_minutes = match.groups()
    zone = {None: "", "Z": "+00:00"}.get(offset, f"{offset}:{offset_minutes or '00'}")
    text = f"{year}-{month or '01'}-{day or '01'}"
    if hour is not None:
        text += f"T{hour}:{minute or '00'}:{second or '00'}{zone}"
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return text
