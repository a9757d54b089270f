"""CSV and TSV as a pipe table, whatever the delimiter."""

from __future__ import annotations

import csv
import io
from collections import Counter

from assets.knowledge.formats.base import Parsed, table

_DELIMITERS = ",;\t|"
_PROBE = 64 * 1024


def read_csv(text: str) -> Parsed:
    """A table of separated values; the first row is its head."""
    csv.field_size_limit(1 << 27)  # the default of 131,072 would refuse a long text in a cell
    text = text.removeprefix("\ufeff")
    escape = "\\" if '\\"' in text[:_PROBE] else None  # WikiTables and MySQL write \" and not ""
    delimiter = _delimiter(text[:_PROBE], escape)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, escapechar=escape))
    except csv.Error:  # a quote out of place: the lines as they are, nothing is lost
        rows = [line.split(delimiter) for line in text.splitlines()]
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    facts = {
        "type": "csv",
        "rows": str(max(len(rows) - 1, 0)),
        "columns": str(max((len(row) for row in rows), default=0)),
    }
    return Parsed(table(rows), metadata=facts)


def _delimiter(head: str, escape: str | None) -> str:
    """The delimiter that gives most lines the same number of cells, and more than one."""
    best, chosen = 0.0, ","
    for delimiter in _DELIMITERS:
        try:
            rows = [
                row for row in csv.reader(io.StringIO(head, newline=""), delimiter=delimiter, escapechar=escape) if row
            ]
        except csv.Error:
            continue
        width, count = Counter(len(row) for row in rows[:200]).most_common(1)[0] if rows else (1, 0)
        score = count / min(len(rows), 200) * (1 + min(width, 20) / 100) if width > 1 else 0.0
        if score > best:
            best, chosen = score, delimiter
    return chosen
