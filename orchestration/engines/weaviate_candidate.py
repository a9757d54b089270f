"""Writing the next generation of passages: invisible until it is published, undone where it never is."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from assets.errors import EngineBusy, EngineError, TwohandsError
from assets.ports import IndexSchema, Passage
from orchestration.engines import weaviate_rows as rows
from orchestration.engines.lancedb_rows import checked_vectors
from orchestration.engines.weaviate_search import WeaviateReader
from orchestration.engines.weaviate_state import Claim, Ledger, State, Version, now
from orchestration.engines.weaviate_store import Store, concurrently, new_object, remade_object

if TYPE_CHECKING:
    from orchestration.engines.weaviate_index import WeaviateIndex

log = logging.getLogger(__name__)


class WeaviateCandidate(WeaviateReader):
    """The next generation. In the published collection it adds objects and marks those that go; where the schema is
    another one, or the collection is gone, it fills a collection of its own (`rebuilt`).

    Ids that occur twice in one `add` or in several: the last one wins.
    """

    rebuilt: bool

    def __init__(self, index: WeaviateIndex, schema: IndexSchema) -> None:
        self._index, self._store, self.schema = index, index.store, schema
        self._ledger = Ledger(index.store)
        self._open, self._done, self._unindexed = False, False, False

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._index.writing())
            with self._store.server.translating():
                self._start()
            self._held = stack.pop_all()
        self._open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Discards what was not published. What cannot be undone now, the next candidate undoes first."""
        self._open = False
        with self._held:
            if self._done or isinstance(error, EngineBusy):
                return
            try:
                with self._store.server.translating():
                    self._discard()
            except TwohandsError as failed:
                log.warning("the discarded candidate is left to the next one: %s", failed)

    def add(self, passages: Sequence[Passage], vectors: np.ndarray) -> None:
        """Adds or replaces passages; EngineError, with nothing added, for a wrong shape, NaN or infinity."""
        self._writable()
        checked = checked_vectors(passages, vectors, self.schema.dimension)
        last = {each.chunk_id: (each, vector) for each, vector in zip(passages, checked, strict=True)}
        if not last:
            return
        self._unindexed = True
        with self._store.server.translating():
            objects = [new_object(each, vector, self._generation) for each, vector in last.values()]
            self._store.insert(self._name, objects)  # before the marks: a kill leaves too much, never too little
            if not self.rebuilt:
                concurrently(lambda some: self._remove(some, replaced=True), _parts(list(last)))

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Removes passages, 500 at once; unknown ids are ignored."""
        self._writable()
        with self._store.server.translating():
            concurrently(lambda some: self._remove(some, replaced=False), _parts(list(dict.fromkeys(chunk_ids))))

    def publish(self) -> str:
        """Waits for the vector index, checks that nobody else wrote, and replaces what is published."""
        self._writable()
        with self._store.server.translating():
            self._settle()
            self._check()
            self._ledger.publish(state := self._next())
        self._done = True
        self._index.tidy(state, rounds=1, former=self._state)
        return state.current.name

    # -------------------------------------------------------------------------------------------------- the parts

    def _start(self) -> None:
        self._state, claim, whole = self._index.begin()
        self.rebuilt = self._state is None or not whole or self._state.schema != self.schema
        self._base = 0 if self._state is None or self.rebuilt else self._state.current.generation
        self._generation = claim.generation
        if self._state is not None and not self.rebuilt:
            self._name = self._state.current.collection
        else:
            self._name = self._store.name(self.schema, claim.generation)
            claim = Claim(claim.generation, claim.token, building=self._name)
            self._ledger.write(claim)  # first: whoever comes after a kill drops what the claim names
            self._store.create(self._name, self.schema)
        self._claim = claim

    def _collection(self, *, searchable: bool = False) -> Any:
        if not self._open:
            raise EngineError("The candidate is closed", expected="use inside `with index.candidate(schema) as ...`")
        if searchable:
            self._settle()
        return self._store.collection(self._name)

    def _settle(self) -> None:
        if self._unindexed:
            self._store.wait_until_indexed(self._name)
            self._unindexed = False

    def _writable(self) -> None:
        if not self._open or self._done:
            raise EngineError(
                "The candidate is already published" if self._open else "The candidate is closed",
                expected="changes inside `with index.candidate(schema) as ...`, before publish()",
                next_step="open another candidate",
            )

    def _remove(self, chunk_ids: list[str], *, replaced: bool) -> None:
        """Marks the objects of earlier generations; deletes this candidate's own, unless they are the replacement."""
        with self._store.server.translating():
            seen = self._base if replaced else self._generation
            where = rows.live(self._generation) & rows.live(seen) & rows.among("chunk_id", chunk_ids)
            wanted, own, others = set(chunk_ids), [], []
            for page in rows.pages(self._collection(), where, rows.ALL_FIELDS, rows.IDS + 1, vectors=True):
                for each in page:
                    if each.properties["chunk_id"] in wanted:  # a FIELD token is trimmed
                        (own if each.properties["added_in"] == self._generation else others).append(each)
            self._store.insert(self._name, [remade_object(each, self._generation) for each in others])
            if own:
                self._store.delete(self._name, rows.with_ids([each.uuid for each in own]))

    def _discard(self) -> None:
        if self.rebuilt:
            self._store.drop(self._name)
        else:
            undo(self._store, self._name, self._base)

    def _check(self) -> None:
        """Refuses to publish what somebody else had a hand in: another machine, a late write of a killed writer."""
        self._ledger.check(self._claim, self._state)
        if not self._store.is_whole(self._name):
            raise EngineError(
                f"The collection {self._name} at {self._store.place} was deleted while it was written",
                expected="that only Twohands writes there",
                next_step="run again: it is rebuilt, and vectors come from the cache",
            )
        if self.rebuilt:
            return
        ask = self._collection().aggregate
        late = rows.between(self._base, self._generation)
        if strangers := ask.over_all(total_count=True, filters=late).total_count:
            raise EngineBusy(
                f"{strangers} objects in {self._name} were written late by a writer that was stopped",
                next_step="run again: the next candidate removes them",
            )

    def _next(self) -> State:
        at = now()
        name = f"{self._generation}-{uuid.uuid4().hex[:12]}"
        current = Version(name, self._name, self._generation, at)
        former = self._state.versions if self._state else ()
        return self._index.kept(State(self.schema, (current, *former)), at)


def undo(store: Store, name: str, generation: int) -> int:
    """Makes a collection equal to one generation again; returns how many objects were removed or restored."""
    undone = store.delete(name, rows.unpublished(generation))
    for page in rows.pages(store.collection(name), rows.marked(generation), rows.ALL_FIELDS, rows.IDS, vectors=True):
        store.insert(name, [remade_object(each, None) for each in page])
        undone += len(page)
    return undone


def _parts(values: list[str]) -> list[list[str]]:
    return [values[start : start + rows.IDS] for start in range(0, len(values), rows.IDS)]
