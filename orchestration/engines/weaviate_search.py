"""Reading one generation of a Weaviate collection: keys, passages, vectors and hybrid search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from assets.errors import EngineError
from assets.ports import Hit, IndexSchema, Key, Passage, Query
from orchestration.engines import weaviate_rows as rows

if TYPE_CHECKING:
    from orchestration.engines.weaviate_store import Store

KEYS, PASSAGES = 5_000, 500  # rows of one answer, so that it stays a few megabytes
MOST = 1_000  # passages of one search
TIES = 20  # passages beyond k that are fetched: those that tie with the last one are told apart here, by chunk_id
RRF = 60  # Cormack, Clarke, Buettcher 2009: score = sum over lists of 1 / (60 + rank), each list weighted 0.5


class WeaviateReader:
    """A consistent view: the objects of one generation of one collection, which later generations leave as they are."""

    def __init__(self, store: Store, collection: str, generation: int, schema: IndexSchema) -> None:
        self._store, self._name, self._generation, self.schema = store, collection, generation, schema

    def _collection(self, *, searchable: bool = False) -> Any:
        """The collection to read; a candidate waits until its vectors are indexed, if `searchable`."""
        del searchable
        return self._store.collection(self._name)

    def keys(self, slice: str | None = None, doc_ids: Sequence[str] | None = None) -> dict[str, Key]:
        """chunk_id -> Key of one slice, or of some documents, or of all. Reads ids and hashes only."""
        where = self._where(slice)
        parts = [where] if doc_ids is None else [where & part for part in _one_of("doc_id", doc_ids)]
        found: dict[str, Key] = {}
        for part in parts:
            for page in self._scan(part, rows.KEY_FIELDS, KEYS):
                found |= {each.properties["chunk_id"]: rows.key_of(each.properties) for each in page}
        return found

    def count(self, slice: str | None = None) -> int:
        """Passages of one slice, or of all."""
        with self._store.server.translating():
            return self._collection().aggregate.over_all(total_count=True, filters=self._where(slice)).total_count

    def passages(self, slice: str | None = None) -> Iterator[Passage]:
        """All passages, in no promised order, at most PASSAGES of them in memory."""
        for page in self._scan(self._where(slice), rows.PASSAGE_FIELDS, PASSAGES):
            yield from (rows.passage_of(each.properties) for each in page)

    def get(self, chunk_ids: Sequence[str]) -> dict[str, Passage]:
        """The passages of those chunk ids that exist."""
        found: dict[str, Passage] = {}
        for some in _parts(list(dict.fromkeys(chunk_ids))):
            where = rows.live(self._generation) & rows.among("chunk_id", some)
            for page in self._scan(where, rows.PASSAGE_FIELDS, rows.IDS + 1):
                found |= {each.properties["chunk_id"]: rows.passage_of(each.properties) for each in page}
        return found

    def vectors(self, chunk_ids: Sequence[str]) -> dict[str, np.ndarray]:
        """The stored vectors, float32 [dimension], of those chunk ids that exist."""
        wanted = list(dict.fromkeys(chunk_ids))
        found: dict[str, np.ndarray] = {}
        for some in _parts(wanted):
            where = rows.live(self._generation) & rows.among("chunk_id", some)
            for page in self._scan(where, ["chunk_id"], rows.IDS + 1, vectors=True):
                found |= {each.properties["chunk_id"]: rows.vector_of(each) for each in page}
        return {chunk_id: found[chunk_id] for chunk_id in wanted if chunk_id in found}

    def search(self, query: Query) -> list[Hit]:
        """The k best passages by reciprocal rank fusion of nearest neighbors and BM25, which the server does.

        A text without any letter or digit is searched by its vector alone. Ties are broken by chunk_id. EngineError
        for a vector of another dimension or one that is not finite.
        """
        vector = self._checked(query.vector)
        k = min(query.k, MOST)
        if k < 1 or query.hopeless:
            return []
        with self._store.server.translating():
            found = self._search(query, vector.tolist(), k + TIES)
        hits = [Hit(rows.passage_of(each.properties), score) for each, score in found]
        return sorted(hits, key=lambda hit: (-hit.score, hit.passage.chunk_id))[:k]

    def _search(self, query: Query, vector: list[float], limit: int) -> list[tuple[Any, float]]:
        from weaviate.classes.query import HybridFusion, MetadataQuery

        where = self._where(None, query.where)
        for name, values in query.allowed.items():
            where = where & rows.any_of(name, values)
        asked: dict[str, Any] = {"filters": where, "limit": limit, "return_properties": rows.PASSAGE_FIELDS}
        ask, words = self._collection(searchable=True).query, rows.words(query.text)
        if not words:
            found = ask.near_vector(vector, **asked).objects
            return [(each, 0.5 / (RRF + rank)) for rank, each in enumerate(found)]
        found = ask.hybrid(
            query=words,
            vector=vector,
            alpha=0.5,
            fusion_type=HybridFusion.RANKED,
            query_properties=["text", "bigrams"],
            return_metadata=MetadataQuery(score=True),
            **asked,
        ).objects
        return [(each, float(each.metadata.score or 0)) for each in found]

    def _checked(self, vector: np.ndarray) -> np.ndarray:
        found = np.asarray(vector, dtype=np.float32).reshape(-1)
        if len(found) != self.schema.dimension or not np.isfinite(found).all():
            raise EngineError(
                f"A query vector of {len(found)} numbers",
                expected=f"{self.schema.dimension} finite numbers of the encoder {self.schema.encoder}",
                next_step="encode questions with the encoder that the published version names",
            )
        return found

    def _where(self, slice: str | None, where: Mapping[str, str] | None = None) -> Any:
        wanted = dict(where or {}) | ({} if slice is None else {"slice": slice})
        return rows.live(self._generation) & rows.equal(wanted) if wanted else rows.live(self._generation)

    def _scan(self, where: Any, fields: list[str], size: int, *, vectors: bool = False) -> Iterator[list[Any]]:
        with self._store.server.translating():
            yield from rows.pages(self._collection(), where, fields, size, vectors=vectors)


class WeaviatePublished(WeaviateReader):
    """A published version. It stays as it is while it is kept: see `keep_versions` and `grace_seconds`."""

    def __init__(self, store: Store, collection: str, generation: int, schema: IndexSchema, version: str) -> None:
        super().__init__(store, collection, generation, schema)
        self.version = version


def _one_of(name: str, values: Sequence[str]) -> Iterator[Any]:
    for some in _parts(list(dict.fromkeys(values))):
        yield rows.among("tags", [rows.tag(name, value) for value in some])


def _parts(values: list[str]) -> Iterator[list[str]]:
    return (values[start : start + rows.IDS] for start in range(0, len(values), rows.IDS))
