"""All that is outside: Protocols, and the values that cross them.

`assets` says what exists and talks to these; `orchestration/engines` holds one file per engine that fits them.
Arrays are numpy, tables are pyarrow, and nothing here imports an engine. Neither does it import numpy or pyarrow at run
time: the parser's workers import this package, and start in half the time without these.
"""

from __future__ import annotations

from collections.abc import Callable

from assets.ports.documents import DayLogs, Document, Listing, Mark, Parser, Reason, Refusal, Source, SourceFile
from assets.ports.encoding import Encoder, Tokenizer
from assets.ports.index import Candidate, Hit, IndexSchema, Key, Passage, Published, Query, Reader, VectorIndex
from assets.ports.lake import Lake
from assets.ports.ledger import Ledger
from assets.ports.warehouse import Warehouse

__all__ = [
    "Candidate",
    "DayLogs",
    "Document",
    "Encoder",
    "Hit",
    "IndexSchema",
    "Key",
    "Lake",
    "Ledger",
    "Listing",
    "Mark",
    "Parser",
    "Passage",
    "Progress",
    "Published",
    "Query",
    "Reader",
    "Reason",
    "Refusal",
    "Source",
    "SourceFile",
    "Tokenizer",
    "VectorIndex",
    "Warehouse",
]

Progress = Callable[[str, int, int], None]  # what is being done, how much of it, of how much
