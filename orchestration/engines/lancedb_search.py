"""Reading one version of a Lance table: keys, passages, vectors and hybrid search."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from assets.errors import EngineError
from assets.ports import Hit, IndexSchema, Key, Passage, Query
from orchestration.engines import lancedb_rows as rows
from orchestration.engines.lancedb_errors import translating

if TYPE_CHECKING:
    from lancedb.table import LanceTable

BATCH = 1_024  # rows in memory at once while passages stream
IDS = 1_000  # literals in one IN (...): longer lists are planned slower than they are looked up
DEPTH = 40  # ranks of each list that are fused
# Reciprocal rank fusion (Cormack, Clarke, Buettcher 2009), with constants measured on 1,500 SQuAD and XQuAD questions
# over 864 paragraphs, all-MiniLM-L6-v2: recall@5 / MRR@10 of vectors alone 0.877 / 0.765, of full text alone
# 0.933 / 0.859, fused with the usual 60 and no floor 0.940 / 0.852, with these 0.962 / 0.875.
RRF = 5  # score = sum over lists of 1 / (5 + rank): small, so that one good rank outweighs two mediocre ones
FLOOR = 0.5  # of the best full-text score: matches below it share little more than common words
WORDS, CHARACTERS = 64, 2_000  # of a question that full-text search reads: somebody will paste a log file
PARTITION = 4_096  # rows of one IvfFlat partition, as Lance itself aims at (see lancedb_upkeep)


class LanceReader:
    """A consistent view of a table that is checked out at one version, or that only this writer changes."""

    def __init__(self, table: LanceTable, schema: IndexSchema, place: str) -> None:
        self._table, self.schema, self._place = table, schema, place
        self._rows: int | None = None

    def _settled(self, *, searchable: bool = False) -> LanceTable:
        """The table to read; a candidate writes what it holds back first, and its indexes if `searchable`."""
        del searchable
        return self._table

    def _superseded(self) -> bool:
        """Whether another version was published since this one was opened."""
        return False

    def keys(self, slice: str | None = None, doc_ids: Sequence[str] | None = None) -> dict[str, Key]:
        """chunk_id -> Key of one slice, or of some documents, or of all. Reads ids and hashes only."""
        within = rows.condition({"slice": slice}) if slice is not None else None
        found: dict[str, Key] = {}
        parts = [within] if doc_ids is None else _conditions("doc_id", doc_ids, within)
        for where in parts:
            for batch in self._scan(rows.KEY_COLUMNS, where, size=65_536):
                found |= rows.keys_of(batch)
        return found

    def count(self, slice: str | None = None) -> int:
        """Passages of one slice, or of all."""
        with translating(self._place, self._superseded):
            return self._settled().count_rows(None if slice is None else rows.condition({"slice": slice}))

    def passages(self, slice: str | None = None) -> Iterator[Passage]:
        """All passages, in no promised order, at most BATCH of them in memory."""
        where = None if slice is None else rows.condition({"slice": slice})
        for batch in self._scan(rows.PASSAGE_COLUMNS, where, size=BATCH):
            yield from rows.passages_of(batch)

    def get(self, chunk_ids: Sequence[str]) -> dict[str, Passage]:
        """The passages of those chunk ids that exist."""
        found: dict[str, Passage] = {}
        for where in _conditions("chunk_id", chunk_ids, None):
            for batch in self._scan(rows.PASSAGE_COLUMNS, where, size=BATCH):
                found |= {each.chunk_id: each for each in rows.passages_of(batch)}
        return found

    def vectors(self, chunk_ids: Sequence[str]) -> dict[str, np.ndarray]:
        """The stored vectors, float32 [dimension], of those chunk ids that exist."""
        found: dict[str, np.ndarray] = {}
        for where in _conditions("chunk_id", chunk_ids, None):
            for batch in self._scan(["chunk_id", "vector"], where, size=BATCH):
                found |= rows.vectors_of(batch)
        return found

    def search(self, query: Query) -> list[Hit]:
        """The k best passages by reciprocal rank fusion of nearest neighbors and full text.

        A text without any letter or digit is searched by its vector alone. Ties are broken by chunk_id, so that
        equal indexes give equal answers. EngineError for a vector of another dimension or one that is not finite.
        """
        vector = self._checked(query.vector)
        if query.k < 1 or query.hopeless:
            return []
        with translating(self._place, self._superseded):
            table = self._settled(searchable=True)
            if self._rows is None:
                self._rows = table.count_rows()
            if not self._rows:
                return []
            where, depth = rows.condition(query.where, query.allowed), max(DEPTH, 4 * query.k)
            lists = _both(
                lambda: _nearest(table, vector, where, depth, self._rows or 0),
                lambda: _full_text(table, query.text, where, depth),
            )
            return _hits(table, lists, query.k)

    def _checked(self, vector: np.ndarray) -> np.ndarray:
        found = np.asarray(vector, dtype=np.float32).reshape(-1)
        if len(found) != self.schema.dimension or not np.isfinite(found).all():
            raise EngineError(
                f"A query vector of {len(found)} numbers",
                expected=f"{self.schema.dimension} finite numbers of the encoder {self.schema.encoder}",
                next_step="encode questions with the encoder that the published version names",
            )
        return found

    def _scan(self, columns: list[str], where: str | None, size: int) -> Iterator[pa.RecordBatch]:
        with translating(self._place, self._superseded):
            query = self._settled().search().select(columns)
            if where:
                query = query.where(where)
            # Lance's batches are as long as its pages: a slice of one keeps memory bounded without a copy.
            yield from query.to_batches(batch_size=size)


def probes(count: int) -> int:
    """IVF partitions to look into: all of a few, 1.3 times the square root of many (recall@10 >= 0.98, measured)."""
    partitions = max(1, count // PARTITION)
    return min(partitions, max(6, math.ceil(1.3 * math.sqrt(partitions))))


def fused(lists: Iterable[Sequence[int]]) -> dict[int, float]:
    """Reciprocal rank fusion: row id -> sum over the lists of 1 / (RRF + rank), ranks from 1."""
    scores: dict[int, float] = {}
    for ranked in lists:
        for rank, row in enumerate(ranked, 1):
            scores[row] = scores.get(row, 0.0) + 1 / (RRF + rank)
    return scores


def _nearest(table: LanceTable, vector: np.ndarray, where: str | None, depth: int, count: int) -> list[int]:
    query = table.search(vector, vector_column_name="vector", query_type="vector").distance_type("l2")
    query = query.nprobes(probes(count))
    if where:  # 0, no limit: Lance looks further while the filter has left fewer than `depth` rows
        query = query.maximum_nprobes(0)
    return list(_ranked(query, where, depth, "_distance"))


def _full_text(table: LanceTable, text: str, where: str | None, depth: int) -> list[int]:
    words = " ".join(text[:CHARACTERS].split()[:WORDS])
    if not any(letter.isalnum() for letter in words):
        return []
    from lancedb.query import MatchQuery

    match: Any = MatchQuery(words, "text")  # type: ignore[call-arg]
    scores = _ranked(table.search(match, query_type="fts"), where, depth, "_score")
    # Words are joined by OR, so that the tail of the list shares no more than a common word with the question.
    return [row for row, score in scores.items() if score >= FLOOR * max(scores.values())]


def _ranked(query: Any, where: str | None, depth: int, score: str) -> dict[int, float]:
    """Row id -> score, best first."""
    if where:
        query = query.where(where, prefilter=True)
    # The score is selected by name: left out, Lance adds it and logs a deprecation warning for every query.
    found = query.select(["_rowid", score]).with_row_id(True).limit(depth).to_arrow()
    return dict(zip(found["_rowid"].to_pylist(), found[score].to_pylist(), strict=True))


def _hits(table: LanceTable, lists: Sequence[Sequence[int]], k: int) -> list[Hit]:
    scores = fused(lists)
    if not scores:
        return []
    cut = sorted(scores.values(), reverse=True)[:k][-1]
    best = [row for row, score in scores.items() if score >= cut]  # with all that tie with the last one
    found = table.take_row_ids(best).with_row_id().select([*rows.PASSAGE_COLUMNS]).to_arrow()
    hits = [
        Hit(passage, scores[row])
        for passage, row in zip(rows.passages_of(found), found["_rowid"].to_pylist(), strict=True)
    ]
    return sorted(hits, key=lambda hit: (-hit.score, hit.passage.chunk_id))[:k]


def _conditions(column: str, values: Sequence[str], within: str | None) -> Iterator[str]:
    remaining = iter(dict.fromkeys(values))
    while some := list(islice(remaining, IDS)):
        listed = rows.one_of(column, some)
        yield f"{within} AND {listed}" if within else listed


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=8, thread_name_prefix="twohands-search")


def _both(first: Callable[[], list[int]], second: Callable[[], list[int]]) -> list[list[int]]:
    """Runs two searches at once: Lance works outside the interpreter lock, so the slower one hides the other."""
    later = _threads().submit(second)
    return [first(), later.result()]
