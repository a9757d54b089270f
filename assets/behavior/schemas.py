"""The tables of the slow hand's lake, as Arrow schemas. Their rows are what the warehouse reads.

The day of a row is the name of its partition (`day=YYYY-MM-DD`), the UTC date of `occurred_at`, and no column.
"""

from __future__ import annotations

from datetime import date

import pyarrow as pa

_TIME = pa.timestamp("us", tz="UTC")

# One row an interaction. `passages` and `tags` are JSON texts, so that every warehouse can hold them.
INTERACTIONS = pa.schema(
    [
        ("id", pa.string()),
        ("occurred_at", _TIME),
        ("received_at", _TIME),
        ("user_id", pa.string()),
        ("variant", pa.string()),
        ("prompt", pa.string()),
        ("response", pa.string()),
        ("passages", pa.string()),  # [{"chunk_id", "doc_id", "text_sha", "text"?}, ...]
        ("release_id", pa.string()),
        ("feedback", pa.string()),  # up, down, none
        ("corrected_response", pa.string()),
        ("schema_ok", pa.bool_()),
        ("topic", pa.string()),  # the producer's; null where it gave none
        ("tags", pa.string()),  # ["...", ...]
    ]
)

# One row for every interaction that has no topic of its own, failed, or was edited.
ATTRIBUTIONS = pa.schema(
    [
        ("id", pa.string()),
        ("topic", pa.string()),  # assigned by the frozen clustering; null where the producer gave one
        ("verdict", pa.string()),  # knowledge, behavior, unclear; null where nothing failed
        ("kind", pa.string()),  # of knowledge: missing_document, retrieval_miss, stale_passage; of behavior: see there
        ("doc_id", pa.string()),  # the document to fix, where one is known
        ("evidence", pa.string()),  # JSON: which facts of the correction were found where
        ("edit", pa.float64()),  # words changed between response and correction, as a share (0 to 1)
        ("produced_refusal", pa.bool_()),
        ("corrected_refusal", pa.bool_()),
        ("produced_format", pa.string()),
        ("corrected_format", pa.string()),
        ("version", pa.string()),  # of the attribution
    ]
)

# Frozen once, from the first days: what style and edits are compared with.
REFERENCE = pa.schema(
    [("variant", pa.string()), ("topic", pa.string()), ("style_median", pa.float64()), ("edit_p60", pa.float64())]
)

# What the decision reads: how many interactions were eligible for an event, and how many had it.
DAILY = pa.schema(
    [
        ("day", pa.date32()),
        ("variant", pa.string()),
        ("topic", pa.string()),
        ("event", pa.string()),
        ("n", pa.int64()),
        ("S", pa.int64()),
    ]
)


def partition(table: str, day: date) -> str:
    """The lake's name of one day of a table: interactions, attributions or daily."""
    return f"behavior/{table}/day={day.isoformat()}/data.parquet"
