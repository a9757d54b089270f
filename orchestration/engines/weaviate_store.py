"""What is done to a Weaviate server: collections, objects in batches, deletion in rounds, the alias."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from assets.errors import EngineBusy, EngineError
from assets.ports import IndexSchema
from orchestration.engines import weaviate_rows as rows
from orchestration.engines.weaviate_errors import failed_objects

if TYPE_CHECKING:
    from orchestration.engines.weaviate_connection import Server

BATCH = 250  # objects of one insert, about a megabyte
WRITERS = 4  # inserts under way at once
MARK = "Twohands passages, format"  # how a description begins; a collection that the server made up has none
INDEXING = 3_600.0  # seconds that a server may take to index vectors in the background


class Store:
    """The collections of one index: `BASE_HASH_N` for passages, `BASEState` for what is published."""

    def __init__(self, server: Server, base: str, *, replication: int, consistency: str) -> None:
        self.server, self.base = server, base
        self._replication, self._consistency = replication, consistency

    @property
    def place(self) -> str:
        """Server and collection, for messages."""
        return f"{self.server.at.url} ({self.base})"

    def collection(self, name: str) -> Any:
        """A handle that reads and writes with the configured consistency."""
        from weaviate.classes.config import ConsistencyLevel

        return self.server.client().collections.get(name).with_consistency_level(ConsistencyLevel[self._consistency])

    def exists(self, name: str) -> bool:
        """Whether a collection, or an alias, has that name."""
        return self.server.client().collections.exists(name)

    def is_whole(self, name: str) -> bool:
        """Whether a collection is there and was created here.

        A server with its default AUTOSCHEMA_ENABLED makes a collection anew when a late insert comes after its
        deletion: without our filters, tokenization and distance.
        """
        from weaviate.exceptions import UnexpectedStatusCodeError

        try:
            found = self.server.client().collections.get(name).config.get(simple=True).description or ""
        except UnexpectedStatusCodeError as error:
            if error.status_code == 404:
                return False
            raise
        return found.startswith(f"{MARK} {rows.FORMAT},")

    def name(self, schema: IndexSchema, generation: int) -> str:
        """A collection's name; generations never repeat, so that a late write to a dropped one hits nothing new."""
        digest = hashlib.sha256(f"{rows.FORMAT}|{schema.dimension}|{schema.encoder}".encode()).hexdigest()
        return f"{self.base}_{digest[:8]}_{generation}"

    def ours(self) -> list[str]:
        """All collections of passages of this index, also those that a killed writer left."""
        pattern = re.compile(rf"{re.escape(self.base)}_[0-9a-f]{{8}}_\d+")
        return [name for name in self.server.client().collections.list_all(simple=True) if pattern.fullmatch(name)]

    def create(self, name: str, schema: IndexSchema) -> None:
        """Creates an empty collection for passages."""
        from weaviate.classes.config import Configure, VectorDistances

        # Squared l2 ranks unit vectors as cosine does, and stores them as they are: cosine would normalize them again.
        hnsw = Configure.VectorIndex.hnsw(distance_metric=VectorDistances.L2_SQUARED)
        self.server.client().collections.create(
            name,
            description=f"{MARK} {rows.FORMAT}, encoder {schema.encoder}, dimension {schema.dimension}",
            properties=_properties(),
            vector_config=Configure.Vectors.self_provided(vector_index_config=hnsw),
            inverted_index_config=Configure.inverted_index(),
            replication_config=Configure.replication(factor=self._replication),
        )

    def create_state(self, name: str) -> None:
        """Creates the small collection whose objects say what is published and who writes."""
        from weaviate.classes.config import Configure, DataType, Property

        texts = [
            Property(name=each, data_type=DataType.TEXT, index_filterable=False, index_searchable=False)
            for each in ("state", "version", "collection")
        ]
        number = Property(name="generation", data_type=DataType.INT, index_filterable=False)
        self.server.client().collections.create(
            name,
            description=f"{MARK} {rows.FORMAT}, what is published and who writes",
            properties=[*texts, number],
            vector_config=Configure.Vectors.self_provided(),
            replication_config=Configure.replication(factor=self._replication),
        )

    def drop(self, name: str) -> None:
        """Deletes a collection, if it is there."""
        self.server.client().collections.delete(name)

    def put(self, name: str, key: UUID, properties: dict[str, Any]) -> None:
        """Creates or replaces one object as a whole: readers get the old one or the new one (seen: 0 torn of 3,111)."""
        from weaviate.exceptions import UnexpectedStatusCodeError

        data = self.collection(name).data
        try:
            data.replace(uuid=key, properties=properties)
        except UnexpectedStatusCodeError as error:
            if error.status_code != 404:
                raise
            data.insert(uuid=key, properties=properties)

    def insert(self, name: str, objects: Sequence[Any]) -> None:
        """Creates or replaces objects, several batches at once; raises for the first batch that was not all taken."""
        parts = [objects[start : start + BATCH] for start in range(0, len(objects), BATCH)]
        concurrently(lambda part: self._insert(name, part), parts)

    def _insert(self, name: str, objects: Sequence[Any]) -> None:
        with self.server.translating():
            result = self.collection(name).data.insert_many(list(objects))
        if result.has_errors:  # the client does not raise where only some objects failed
            raise failed_objects(result.errors, self.place, self.server.api_key_env)

    def delete(self, name: str, where: Any, *, rounds: int | None = None) -> int:
        """Deletes all objects that match, or what `rounds` calls of at most 10,000 can; returns how many it were."""
        collection, deleted = self.collection(name), 0
        while rounds is None or rounds > 0:
            result = collection.data.delete_many(where=where)
            if result.failed:
                raise EngineBusy(
                    f"{result.failed} of {result.matches} objects in {name} at {self.place} could not be deleted",
                    next_step="run again",
                )
            deleted += result.successful
            if not result.matches:
                break
            rounds = None if rounds is None else rounds - 1
        return deleted

    def wait_until_indexed(self, name: str) -> None:
        """Returns when all vectors can be found; at once, but for a server with ASYNC_INDEXING."""
        deadline = time.monotonic() + INDEXING
        while True:
            nodes = self.server.client().cluster.nodes(name, output="verbose")
            shards = [shard for node in nodes for shard in node.shards or []]
            waiting = sum(shard.vector_queue_length for shard in shards)
            if not waiting and all(shard.vector_indexing_status != "INDEXING" for shard in shards):
                return
            if time.monotonic() > deadline:
                raise EngineBusy(
                    f"{name} at {self.place} still has {waiting} vectors to index after {INDEXING:g} s",
                    next_step="see the load of the server, then run again",
                )
            time.sleep(0.1)

    # ------------------------------------------------------------------------------------------------- the alias

    def check_alias(self) -> None:
        """EngineError where the base name is taken: by a collection, or by an alias of somebody else."""
        found = self.server.client().alias.get(alias_name=self.base)
        if found is not None and not self._is_ours(found.collection):
            raise EngineError(
                f"index.collection: {self.base} at {self.server.at.url} is an alias of {found.collection}",
                expected="a name that nobody else uses",
                next_step="choose another name, or delete that alias",
            )
        if found is None and self.exists(self.base):
            raise EngineError(
                f"index.collection: a collection called {self.base} already exists at {self.server.at.url}",
                expected="a free name, for the alias that points to the published collection",
                next_step="choose another name, or delete that collection",
            )

    def point_alias(self, target: str) -> bool:
        """Points the base name to a collection, for readers other than Twohands; returns whether it moved."""
        alias = self.server.client().alias
        found = alias.get(alias_name=self.base)
        if found is None:
            alias.create(alias_name=self.base, target_collection=target)
        elif found.collection != target:
            alias.update(alias_name=self.base, new_target_collection=target)
        return found is None or found.collection != target

    def _is_ours(self, name: str) -> bool:
        return name.startswith(f"{self.base}_")


def new_object(passage: Any, vector: np.ndarray, generation: int) -> Any:
    """A passage as it comes in with a generation."""
    from weaviate.classes.data import DataObject

    return DataObject(
        uuid=rows.object_id(passage.chunk_id, generation),
        properties=rows.properties(passage, generation),
        vector=vector.tolist(),
    )


def remade_object(found: Any, removed_in: int | None) -> Any:
    """The same object with another `removed_in`. Vector and uuid are equal, so that no vector is indexed again."""
    from weaviate.classes.data import DataObject

    kept = {name: value for name, value in found.properties.items() if value is not None and name != "removed_in"}
    if removed_in is not None:
        kept["removed_in"] = removed_in
    return DataObject(uuid=found.uuid, properties=kept, vector=found.vector["default"])


def concurrently(work: Callable[[Any], None], items: Iterable[Any]) -> None:
    """Works on the items, a few at once; raises the first error, after what is under way has ended."""
    todo = list(items)
    if len(todo) < 2:
        for item in todo:
            work(item)
        return
    with ThreadPoolExecutor(max_workers=min(WRITERS, len(todo)), thread_name_prefix="twohands-weaviate") as pool:
        futures = [pool.submit(work, item) for item in todo]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _properties() -> list[Any]:
    from weaviate.classes.config import DataType, Property, Tokenization

    def exact(name: str, data_type: DataType = DataType.TEXT, *, filterable: bool = True) -> Property:
        return Property(
            name=name,
            data_type=data_type,
            tokenization=Tokenization.FIELD,
            index_filterable=filterable,
            index_searchable=False,
        )

    def searched(name: str, tokenization: Tokenization) -> Property:
        return Property(name=name, data_type=DataType.TEXT, tokenization=tokenization, index_filterable=False)

    def number(name: str) -> Property:
        return Property(name=name, data_type=DataType.INT, index_filterable=False, index_range_filters=True)

    return [
        *(exact(name) for name in ("chunk_id", "doc_id", "slice")),
        *(exact(name, filterable=False) for name in ("title", "text_sha", "fields_sha", "metadata")),
        exact("headings", DataType.TEXT_ARRAY, filterable=False),
        exact("tags", DataType.TEXT_ARRAY),
        searched("text", Tokenization.WORD),
        searched("bigrams", Tokenization.WHITESPACE),
        *(number(name) for name in ("added_in", "removed_in", "spread")),
    ]
