"""Daily counts from files: CSV, JSON lines (or an array), Parquet, gzipped or not, as `twohands daily` prints them.

Columns day, topic, event, n, S and, where there is more than one manner, variant; more columns are ignored, and so is
the case of their names (databases change it). Millions of rows go through Arrow; where something is wrong, or written
in a way that Arrow does not know, the file is read again row by row, so that messages name the line.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from assets.decision import cells
from assets.decision.counts import BadCounts, DailyCounts, from_rows, from_table

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them
NEEDED = ("day", "topic", "event", "n", "S")
MAIN = "main"
_TYPES = {
    "day": pa.date32(),
    "topic": pa.string(),
    "event": pa.string(),
    "n": pa.float64(),
    "S": pa.float64(),
    "variant": pa.string(),
}
_EXPECTED = f"the columns {', '.join(NEEDED)}, and variant where there are several"


@dataclass(frozen=True, slots=True)
class History:
    """What a file held: counts by variant, all up to the file's last day. `named` says whether it names variants."""

    variants: Mapping[str, DailyCounts]
    named: bool


def read(data: bytes, name: str) -> History:
    """The counts of a file; `name` tells its format, or its content does where the ending says nothing.

    BadCounts says what is wrong with it, and on which line.
    """
    data, name = _unpacked(data, name)
    if not data.strip():
        raise BadCounts(f"{name} is empty", expected=_EXPECTED, next_step="`twohands daily > FILE` writes one")
    form = _format(data, name)
    found = _fast(form, data, name)
    if found is None:
        found = _by_line(form, data, name)
    filled = {variant: counts for variant, counts in found[0].items() if counts.days}
    if not filled:
        raise BadCounts(f"{name} holds no rows", expected="one row or more for a day, topic and event")
    last = max(counts.last_day for counts in filled.values())
    return History({v: filled[v].between(filled[v].first_day, last) for v in sorted(filled)}, found[1])


_Found = tuple[Mapping[str, DailyCounts], bool]


def _unpacked(data: bytes, name: str) -> tuple[bytes, str]:
    if data[:2] == b"\x1f\x8b":
        try:
            return gzip.decompress(data), name.removesuffix(".gz")
        except (OSError, EOFError, zlib.error) as error:
            raise BadCounts(
                f"{name} cannot be unpacked ({error})", expected="a whole gzip file", next_step="copy it again"
            ) from None
    return data.removeprefix(b"\xef\xbb\xbf"), name.removesuffix(".gz")


def _format(data: bytes, name: str) -> str:
    ending = name.rsplit(".", 1)[-1].lower()
    known = {"csv": "csv", "tsv": "csv", "jsonl": "json", "ndjson": "json", "json": "json", "parquet": "parquet"}
    if data[:4] == b"PAR1":
        return "parquet"
    start = data[:1000].lstrip()[:1]
    form = known.get(ending) or ("json" if start in (b"{", b"[") else "csv")
    return "array" if form == "json" and start == b"[" else form


def _columns(names: Iterable[str], name: str) -> dict[str, str]:
    """{our name: the file's}. BadCounts where one is missing or there twice."""
    given = list(names)
    ours = {key.lower(): key for key in _TYPES}
    found: dict[str, str] = {}
    for column in given:
        key = ours.get(column.strip().lower())
        if key in found:
            raise BadCounts(f"{name}: two columns are named {key}: {found[key]!r}, {column!r}", expected=_EXPECTED)
        if key:
            found[key] = column
    missing = [key for key in NEEDED if key not in found]
    if missing:
        raise BadCounts(
            f"{name} has no column {', '.join(missing)}; it has {', '.join(map(repr, given[:20])) or 'none'}",
            expected=_EXPECTED,
        )
    return found


# ---------------------------------------------------------------------------------------------------- Arrow


def _fast(form: str, data: bytes, name: str) -> _Found | None:
    """All at once; None where Arrow cannot, or where something is wrong that the other way will name."""
    if form not in _READERS:
        return None
    try:
        table = _READERS[form](data, name)
        named = "variant" in table.column_names
        if not named:
            return {MAIN: from_table(table)}, False
        variants = pc.if_else(pc.equal(table["variant"].fill_null(""), ""), MAIN, table["variant"])
        return {str(v): from_table(table.filter(pc.equal(variants, v))) for v in variants.unique().to_pylist()}, True
    except (pa.ArrowException, csv.Error, BadCounts):
        return None


def _read_csv(data: bytes, name: str) -> pa.Table:
    head = data.split(b"\n", 1)[0].decode(errors="replace").rstrip("\r")
    delimiter = _delimiter(head)
    columns = _columns(next(csv.reader([head], delimiter=delimiter)), name)
    types = {theirs: _TYPES[ours] for ours, theirs in columns.items()}
    table = pyarrow.csv.read_csv(
        io.BytesIO(data),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types, include_columns=list(types), null_values=[""], strings_can_be_null=True
        ),
    )
    return table.rename_columns(list(columns))


def _read_json(data: bytes, name: str) -> pa.Table:
    try:
        first = json.loads(data.lstrip().split(b"\n", 1)[0])
    except (ValueError, RecursionError):
        raise pa.ArrowInvalid("the first line is no JSON") from None
    columns = _columns(first if isinstance(first, dict) else (), name)
    if "variant" not in columns and b'"variant"' in data.lower():
        raise pa.ArrowInvalid("rows may name a variant where the first does not")
    types = {theirs: pa.string() if ours == "day" else _TYPES[ours] for ours, theirs in columns.items()}
    table = pyarrow.json.read_json(
        io.BytesIO(data),
        parse_options=pyarrow.json.ParseOptions(
            explicit_schema=pa.schema(list(types.items())), unexpected_field_behavior="ignore"
        ),
    )
    return _typed(table.select(list(types)).rename_columns(list(columns)))


def _read_parquet(data: bytes, name: str) -> pa.Table:
    table = pyarrow.parquet.read_table(io.BytesIO(data))
    columns = _columns(table.column_names, name)
    return _typed(table.select(list(columns.values())).rename_columns(list(columns)))


def _typed(table: pa.Table) -> pa.Table:
    """Our types; an empty topic is none. ArrowInvalid where a value does not fit, or Arrow would make one fit."""
    if made := [column for column in table.column_names if not _fits(column, table[column])]:
        raise pa.ArrowInvalid(f"columns that are read row by row: {', '.join(made)}")
    cast = table.cast(pa.schema([(column, _TYPES[column]) for column in table.column_names]))
    topic = pc.if_else(pc.equal(cast["topic"], ""), None, cast["topic"])
    return cast.set_column(cast.column_names.index("topic"), "topic", topic)


def _fits(name: str, column: pa.ChunkedArray) -> bool:
    """Whether Arrow reads a column as `from_rows` does: it would cut an hour off a day, and make texts of numbers."""
    kind, types = column.type, pa.types
    if types.is_null(kind):
        return True
    if name != "day":
        text = name in ("topic", "event", "variant")
        return not (types.is_boolean(kind) or (text and (types.is_floating(kind) or types.is_temporal(kind))))
    if types.is_timestamp(kind):
        midnight = column.cast(pa.date32()).cast(kind)
        return kind.tz in (None, "UTC") and pc.all(pc.equal(midnight, column)).as_py() is not False
    return types.is_date(kind) or types.is_string(kind) or types.is_large_string(kind)


_READERS: Mapping[str, Callable[[bytes, str], pa.Table]] = {
    "csv": _read_csv,
    "json": _read_json,
    "parquet": _read_parquet,
}


# ---------------------------------------------------------------------------------------------------- row by row


def _by_line(form: str, data: bytes, name: str) -> _Found:
    """Row by row; BadCounts names the line of the first that is wrong."""
    unit = _UNITS.get(form, "line")
    rows: dict[str, list[Mapping[str, Any]]] = {}
    places: dict[str, list[int]] = {}
    named = False
    for place, row in _ROWS[form](data, name):
        variant = cells.named("variant", row.get("variant"), MAIN, f"{name}, {unit} {place}")
        named = named or "variant" in row
        rows.setdefault(variant, []).append(row)
        places.setdefault(variant, []).append(place)

    def counted(variant: str) -> DailyCounts:
        lines = places[variant]
        return from_rows(rows[variant], lambda number: f"{name}, {unit} {lines[number - 1]}")

    return {variant: counted(variant) for variant in rows}, named


def _csv_rows(data: bytes, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    text = _decoded(data, name)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text.split("\n", 1)[0]))
    try:
        header = next(reader)
        columns = _columns(header, name)
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise BadCounts(
                    f"{name}, line {reader.line_num}: {len(row)} values, and the header names {len(header)}",
                    expected="a value for each column",
                )
            values = dict(zip(header, row, strict=True))
            yield reader.line_num, {ours: values[theirs] for ours, theirs in columns.items()}
    except csv.Error as error:
        raise BadCounts(f"{name}, line {reader.line_num}: {error}", expected="CSV with a header line") from None


def _json_rows(data: bytes, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(_decoded(data, name).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise BadCounts(f"{name}, line {number}: {line[:80]!r}", expected="one JSON object a line")
        yield number, _ours(row, f"{name}, line {number}")


def _array_rows(data: bytes, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        items = json.loads(_decoded(data, name))
    except (ValueError, RecursionError) as error:
        raise BadCounts(f"{name} is no JSON array ({error})", expected="[{...}, ...], or one object a line") from None
    for number, row in enumerate(items, start=1):
        if not isinstance(row, dict):
            raise BadCounts(f"{name}, item {number}: {json.dumps(row)[:80]}", expected="one JSON object for each row")
        yield number, _ours(row, f"{name}, item {number}")


def _ours(row: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """An object's values under our names."""
    return {ours: row[theirs] for ours, theirs in _columns(row, place).items()}


def _parquet_rows(data: bytes, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise BadCounts(f"{name} is no Parquet file that can be read ({error})", expected=_EXPECTED) from None
    columns = _columns(table.column_names, name)
    chosen = table.select(list(columns.values())).rename_columns(list(columns))
    yield from enumerate(chosen.to_pylist(), start=1)


_ROWS: Mapping[str, Callable[[bytes, str], Iterator[tuple[int, Mapping[str, Any]]]]] = {
    "csv": _csv_rows,
    "json": _json_rows,
    "array": _array_rows,
    "parquet": _parquet_rows,
}
_UNITS = {"parquet": "row", "array": "item"}  # what a message counts; lines otherwise


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadCounts(
            f"{name}, line {line} is not UTF-8 ({error.reason})", expected="UTF-8", next_step="save the file as UTF-8"
        ) from None


def _delimiter(head: str) -> str:
    """What stands between the columns: a comma, a semicolon or a tab."""
    return max(",;\t", key=head.count)
