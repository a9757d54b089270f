"""Passages as rows of the Lance table, and filters as SQL: pure functions over pyarrow, without lancedb."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from assets.errors import EngineError
from assets.knowledge.passages import fields_sha
from assets.ports import IndexSchema, Key, Passage
from assets.ports.index import values as values_of

FORMAT = "1"  # of the columns below; another one is another table, never a silent reading of this one
KEY_COLUMNS = ["chunk_id", "doc_id", "text_sha", "fields_sha"]
COLUMNS = ("slice", "doc_id", "title")  # that filters may name; other names are metadata
PASSAGE_COLUMNS = ["chunk_id", "doc_id", "slice", "title", "headings", "text", "text_sha", "metadata"]


def arrow_schema(schema: IndexSchema) -> pa.Schema:
    """The table's columns; the IndexSchema itself travels in the Arrow schema metadata."""
    columns = [
        pa.field("chunk_id", pa.string(), nullable=False),
        pa.field("doc_id", pa.string()),
        pa.field("slice", pa.string()),
        pa.field("title", pa.string()),
        pa.field("headings", pa.list_(pa.string())),
        pa.field("text", pa.string()),
        pa.field("text_sha", pa.string()),
        pa.field("fields_sha", pa.string()),
        pa.field("metadata", pa.string()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("vector", pa.list_(pa.float32(), schema.dimension)),
    ]
    stamp = {
        "twohands.format": FORMAT,
        "twohands.encoder": schema.encoder,
        "twohands.dimension": str(schema.dimension),
    }
    return pa.schema(columns, metadata=stamp)


def index_schema(stored: pa.Schema, place: str) -> IndexSchema:
    """The IndexSchema of a stored table; EngineError where another program or another version wrote it."""
    stamp = {key.decode(): value.decode() for key, value in (stored.metadata or {}).items()}
    if stamp.get("twohands.format") != FORMAT:
        raise EngineError(
            f"The index at {place} has the format {stamp.get('twohands.format', 'of another program')!r}",
            expected=f"format {FORMAT!r}",
            next_step="use the Twohands version that wrote it, or delete the folder and materialize knowledge/index",
        )
    return IndexSchema(encoder=stamp["twohands.encoder"], dimension=int(stamp["twohands.dimension"]))


def checked_vectors(passages: Sequence[Passage], vectors: np.ndarray, dimension: int) -> np.ndarray:
    """`vectors` as float32 [len(passages), dimension]; EngineError for another shape and for NaN or infinity."""
    found = np.asarray(vectors, dtype=np.float32)
    if found.shape != (len(passages), dimension) and (len(passages) or found.size):
        raise EngineError(
            f"Vectors of shape {found.shape} for {len(passages)} passages",
            expected=f"shape ({len(passages)}, {dimension})",
            next_step="embed with the encoder that the candidate's schema names",
        )
    broken = np.flatnonzero(~np.isfinite(found).all(axis=1)) if len(passages) else []
    if len(broken):
        raise EngineError(
            f"The vector of passage {passages[int(broken[0])].chunk_id} is not finite ({len(broken)} such vectors)",
            expected="finite float32 numbers",
            next_step="embed these passages again",
        )
    return found


def rows(passages: Sequence[Passage], vectors: np.ndarray) -> pa.Table:
    """An Arrow table in the column order of `arrow_schema`."""
    dimension = vectors.shape[1]
    schema = arrow_schema(IndexSchema(encoder="", dimension=dimension)).remove_metadata()
    values = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
    columns: dict[str, Any] = {
        "chunk_id": [p.chunk_id for p in passages],
        "doc_id": [p.doc_id for p in passages],
        "slice": [p.slice for p in passages],
        "title": [p.title for p in passages],
        "headings": [list(p.headings) for p in passages],
        "text": [p.text for p in passages],
        "text_sha": [p.text_sha for p in passages],
        "fields_sha": [fields_sha(p) for p in passages],
        "metadata": [json.dumps(dict(p.metadata), sort_keys=True, ensure_ascii=False) for p in passages],
        "tags": [tags(p.metadata) for p in passages],
        "vector": pa.FixedSizeListArray.from_arrays(values, dimension),
    }
    return pa.table(columns, schema=schema)


def passages_of(batch: pa.RecordBatch | pa.Table) -> list[Passage]:
    """The passages of rows that hold PASSAGE_COLUMNS."""
    return [
        Passage(
            chunk_id=row["chunk_id"],
            doc_id=row["doc_id"],
            slice=row["slice"],
            title=row["title"],
            headings=tuple(row["headings"]),
            text=row["text"],
            text_sha=row["text_sha"],
            metadata=json.loads(row["metadata"]),
        )
        for row in batch.select(PASSAGE_COLUMNS).to_pylist()
    ]


def keys_of(batch: pa.RecordBatch | pa.Table) -> dict[str, Key]:
    """chunk_id -> Key of rows that hold KEY_COLUMNS."""
    chunk_ids, doc_ids, text_shas, fields_shas = (batch.column(name).to_pylist() for name in KEY_COLUMNS)
    return {
        chunk_id: Key(doc_id, text_sha, other)
        for chunk_id, doc_id, text_sha, other in zip(chunk_ids, doc_ids, text_shas, fields_shas, strict=True)
    }


def vectors_of(batch: pa.RecordBatch | pa.Table) -> dict[str, np.ndarray]:
    """chunk_id -> float32 [dimension] of rows that hold `chunk_id` and `vector`."""
    column = batch.column("vector")
    found = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    matrix = found.flatten().to_numpy(zero_copy_only=False).reshape(len(found), -1)
    return {chunk_id: matrix[place].copy() for place, chunk_id in enumerate(batch.column("chunk_id").to_pylist())}


def tag(name: str, value: str) -> str:
    """One metadata entry as a label. Only the first "=" divides, so that of a name is written %3D."""
    return f"{name.replace('%', '%25').replace('=', '%3D')}={value}"


def tags(metadata: Mapping[str, str]) -> list[str]:
    """The labels of a passage: one for each value of each field."""
    return [tag(name, value) for name, held in sorted(metadata.items()) for value in values_of(held)]


def quoted(value: str) -> str:
    """A SQL string literal. DataFusion knows one escape, the doubled quote; a backslash is itself."""
    return "'" + value.replace("'", "''") + "'"


def one_of(column: str, values: Iterable[str]) -> str:
    """`column` IN (...)."""
    return f"{column} IN ({', '.join(quoted(value) for value in values)})"


def condition(where: Mapping[str, str], allowed: Mapping[str, Collection[str]] | None = None) -> str | None:
    """The SQL of a Query's `where` and `allowed`, or None. slice, doc_id and title are columns; every other name is
    metadata. `allowed` must not hold a field without values."""
    parts = [f"{name} = {quoted(value)}" for name, value in where.items() if name in COLUMNS]
    parts += [f"array_has(tags, {quoted(one)})" for one in tags({k: v for k, v in where.items() if k not in COLUMNS})]
    for name, values in (allowed or {}).items():
        if name in COLUMNS:
            parts.append(one_of(name, sorted(values)))
        else:
            either = " OR ".join(f"array_has(tags, {quoted(tag(name, value))})" for value in sorted(values))
            parts.append(f"({either})")
    return " AND ".join(parts) or None
