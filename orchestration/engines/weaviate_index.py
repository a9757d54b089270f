"""The retrieval index in Weaviate: one server or a cluster, for what one machine cannot hold.

A collection holds several generations of passages; one small object beside it says which of them is published, and
replacing that object is the publish. See docs/decisions/0004-weaviate-versions.md.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from assets.errors import ConfigError, EngineBusy, TwohandsError
from assets.ports import IndexSchema
from orchestration.engines import weaviate_rows as rows
from orchestration.engines.lake import file_lock
from orchestration.engines.weaviate_candidate import WeaviateCandidate, undo
from orchestration.engines.weaviate_connection import Server, address
from orchestration.engines.weaviate_search import WeaviatePublished
from orchestration.engines.weaviate_state import Claim, Ledger, State, now
from orchestration.engines.weaviate_store import Store

LEVELS = ("ONE", "QUORUM", "ALL")

log = logging.getLogger(__name__)


class WeaviateIndex:
    """`VectorIndex` over a Weaviate server, 1.33 or newer.

    * `connection`, `url`, `grpc_host`, `grpc_port`: where it is (see weaviate_connection.address).
    * `api_key_env`: the name of the environment variable that holds the API key.
    * `collection`: base name. Passages are in `BASE_HASH_N`, the published state in `BASEState`, and the alias `BASE`
      points to the published collection.
    * `replication`, `consistency`: copies of each object, and how many of them (ONE, QUORUM, ALL) answer a call.
    * `version`, `data_path`: of the embedded server, which only `connection="embedded"` starts.
    * `keep_versions`, `grace_seconds`: a version that was replaced stays readable while it is one of the newest, and
      for so long at least.
    * `timeout_seconds`: for one query; an insert may take three times as long.

    One writer at a time: a file lock on this machine; a pool of the orchestrator has to keep other machines from
    writing, and a writer that finds another one's claim does not publish.
    """

    def __init__(
        self,
        *,
        connection: str | None = None,
        url: str | None = None,
        grpc_host: str | None = None,
        grpc_port: int = 50_051,
        api_key_env: str | None = None,
        collection: str = "Twohands",
        replication: int = 1,
        consistency: str = "QUORUM",
        version: str | None = None,
        data_path: Path | None = None,
        keep_versions: int = 3,
        grace_seconds: float = 60,
        lock_path: Path | None = None,
        lock_timeout: float = 600,
        timeout_seconds: float = 60,
    ) -> None:
        if consistency not in LEVELS:
            raise ConfigError(f"index.consistency: {consistency!r}", expected=", ".join(LEVELS))
        at = address(connection, url, grpc_host, grpc_port)
        self._server = Server(
            at, api_key_env=api_key_env, version=version, data_path=data_path, timeout=timeout_seconds
        )
        self.store = Store(self._server, collection, replication=replication, consistency=consistency)
        self._ledger = Ledger(self.store)
        self._keep, self._grace = max(1, keep_versions), grace_seconds
        self._lock_path = lock_path or _lock_path(f"{at.host}:{at.port}/{collection}")
        self._lock_timeout = lock_timeout

    def published(self) -> WeaviatePublished | None:
        """The published version, or None where nothing was published yet, or its collection was deleted."""
        with self._server.translating():
            state = self._ledger.state()
            if state is None or not self.store.is_whole(state.current.collection):
                return None
        current = state.current
        return WeaviatePublished(self.store, current.collection, current.generation, state.schema, current.name)

    def candidate(self, schema: IndexSchema) -> WeaviateCandidate:
        """The next version; its lock is taken when the context is entered (EngineBusy after `lock_timeout`)."""
        return WeaviateCandidate(self, schema)

    def maintain(self) -> dict[str, int]:
        """Deletes the passages and collections of versions that are no longer kept, and what killed writers left.

        Weaviate compacts by itself. Returns rows, rows_removed, collections_dropped and versions_removed.
        """
        counts = {"rows": 0, "rows_removed": 0, "collections_dropped": 0, "versions_removed": 0}
        with self.writing(), self._server.translating():
            if not self.store.exists(f"{self.store.base}State"):
                return counts
            state, _, whole = self.begin()
            if state is None or not whole:
                return counts
            kept = self.kept(state, now())
            if kept != state:
                self._ledger.publish(kept)
            removed, dropped = self._tidy(kept, rounds=None, stale=set(self.store.ours()))
            counts |= {"versions_removed": len(state.versions) - len(kept.versions), "collections_dropped": dropped}
            collection = self.store.collection(kept.current.collection)
            rows_left = collection.aggregate.over_all(total_count=True).total_count
            return counts | {"rows": rows_left, "rows_removed": removed}

    def describe(self) -> dict[str, str]:
        """Engine, client version, place, and the server's version or why it cannot be told."""
        from importlib.metadata import version

        try:
            server = self._server.server_version()
        except TwohandsError as error:
            server = error.problem
        return {
            "engine": "weaviate",
            "version": version("weaviate-client"),
            "place": self._server.at.url,
            "collection": self.store.base,
            "server": server,
        }

    def close(self) -> None:
        """Closes the connection; the next call opens it again. An embedded server that was started here stops."""
        self._server.close()

    # ------------------------------------------------------------------------------------- for candidates only

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Holds the writer's lock of this machine. It is the kernel's, so a killed holder does not leave it behind."""
        with ExitStack() as stack:
            try:
                stack.enter_context(file_lock(self._lock_path, self._lock_timeout))
            except EngineBusy as error:
                raise EngineBusy(
                    f"The index at {self.store.place} is being written by another process: {error.problem}",
                    expected=f"a free lock within {self._lock_timeout:g} s",
                    next_step="wait for it to finish, then run again",
                ) from error
            yield

    def begin(self) -> tuple[State | None, Claim, bool]:
        """A writer's first step: claims a generation and undoes what a killed writer left.

        Returns what is published, the claim, and whether the published collection is whole.
        """
        self.store.check_alias()
        state = self._ledger.state()
        whole = state is not None and self.store.is_whole(state.current.collection)
        claim = self._ledger.claim(state)
        unfinished = {claim.building} - {""} if whole else set(self.store.ours())
        for name in unfinished - (state.collections() if state else set()):
            self.store.drop(name)
        if state is not None and whole:
            undo(self.store, state.current.collection, state.current.generation)
            self.store.point_alias(state.current.collection)
        return state, claim, whole

    def kept(self, state: State, at: float) -> State:
        """The state without the versions that are no longer kept."""
        return replace(state, versions=state.kept(self._keep, self._grace, at))

    def tidy(self, state: State, *, rounds: int | None, former: State | None) -> None:
        """What a publish leaves to do. It is published already: what fails here is done by the next writer."""
        try:
            with self._server.translating():
                self.store.point_alias(state.current.collection)
                self._tidy(state, rounds=rounds, stale=former.collections() if former else set())
        except TwohandsError as error:
            log.warning("published %s, but not tidied up: %s", state.current.name, error)

    def _tidy(self, state: State, *, rounds: int | None, stale: set[str]) -> tuple[int, int]:
        removed = self.store.delete(state.current.collection, rows.superseded(state.floor()), rounds=rounds)
        gone = stale - state.collections()
        for name in gone:
            self.store.drop(name)
        return removed, len(gone)


def _lock_path(place: str) -> Path:
    name = hashlib.sha256(place.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir(), f"twohands-weaviate-{name}.lock")
