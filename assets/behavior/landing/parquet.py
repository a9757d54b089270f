"""A Parquet file of interactions as lines: each row as the JSON that a JSON-lines file would hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa

from assets.behavior.interactions import ALWAYS, Interaction
from assets.behavior.landing.lines import Limits
from assets.behavior.quarantine import Reason, Rejected

_JSON_TEXTS = ("passages", "tags")  # may come as lists, or as JSON texts


def parquet_lines(data: bytes, limits: Limits) -> Iterator[tuple[int, bytes | Rejected]]:
    """(row number from 1, line) of every row. Raises Rejected for the file as a whole."""
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        names = set(file.schema_arrow.names)
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        size = sum(group.total_byte_size for group in groups)
    except (pa.ArrowException, OSError) as error:
        raise Rejected(Reason.CORRUPT_PARQUET, "its footer cannot be read") from error
    lacking = [name for name in ALWAYS if name not in names]
    if lacking:
        raise Rejected(Reason.WRONG_COLUMNS, f"there is no column {', '.join(lacking)}")
    if size > limits.inflated_bytes:
        raise Rejected(Reason.INFLATES_TOO_MUCH, f"more than {limits.inflated_bytes:,} bytes unpacked")
    columns = [name for name in Interaction.model_fields if name in names]
    number = 0
    try:
        for batch in file.iter_batches(limits.batch_events, columns=columns):
            for row in batch.to_pylist():
                number += 1
                yield number, _line(row)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        detail = f"it cannot be read after row {number}; the rest is lost"
        yield number + 1, Rejected(Reason.CORRUPT_PARQUET, detail)
        del error


def _line(row: dict[str, Any]) -> bytes | Rejected:
    found = {name: value for name, value in row.items() if value is not None}
    for name in _JSON_TEXTS:
        if isinstance(found.get(name), str):
            try:
                found[name] = json.loads(found[name])
            except ValueError:
                return Rejected(Reason.WRONG_TYPE, f"{name} is neither a list nor the JSON text of one")
    try:
        return json.dumps(found, default=_plain, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError):
        return Rejected(Reason.WRONG_TYPE, "a value that JSON does not have")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
