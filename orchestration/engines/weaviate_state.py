"""What is published and who writes: two objects of a small collection beside the passages.

The object `published` is replaced as a whole, and that is the publish: until then readers ask for the former
generation, afterwards for the new one. The object `writer` is the claim of whoever opened a candidate last.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from assets.errors import EngineBusy, EngineError
from assets.ports import IndexSchema
from orchestration.engines import weaviate_rows as rows

if TYPE_CHECKING:
    from orchestration.engines.weaviate_store import Store

PUBLISHED, WRITER = uuid.uuid5(rows.NAMESPACE, "published"), uuid.uuid5(rows.NAMESPACE, "writer")


@dataclass(frozen=True, slots=True)
class Version:
    """One published version: a generation of a collection, published at unix time `at`."""

    name: str
    collection: str
    generation: int
    at: float


@dataclass(frozen=True, slots=True)
class State:
    """The published versions, newest first: the one that readers open, and those whose passages are still kept."""

    schema: IndexSchema
    versions: tuple[Version, ...]

    @property
    def current(self) -> Version:
        """The version that readers open."""
        return self.versions[0]

    def kept(self, keep: int, grace: float, now: float) -> tuple[Version, ...]:
        """The newest `keep` versions, and those that were replaced less than `grace` seconds ago."""
        replaced = [now, *(version.at for version in self.versions)]
        return tuple(
            version for place, version in enumerate(self.versions) if place < keep or now - replaced[place] < grace
        )

    def floor(self) -> int:
        """The oldest kept generation of the current collection: what went in it or before can be deleted."""
        return min(each.generation for each in self.versions if each.collection == self.current.collection)

    def collections(self) -> set[str]:
        """All collections that a kept version reads."""
        return {version.collection for version in self.versions}


@dataclass(frozen=True, slots=True)
class Claim:
    """A writer's claim. No two have the same generation, so that late writes of a killed one can be told apart.

    `building` is the collection that it fills; the next writer drops it where it was never published.
    """

    generation: int
    token: str
    building: str = ""


class Ledger:
    """Reads and replaces State and Claim."""

    def __init__(self, store: Store) -> None:
        self._store, self._name = store, f"{store.base}State"

    def state(self) -> State | None:
        """What is published, whether or not its collection still exists."""
        found = self._read(PUBLISHED)
        if found is None:
            return None
        try:
            value = json.loads(found)
            if value["format"] != rows.FORMAT:
                raise ValueError(f"format {value['format']}")
            schema = IndexSchema(value["encoder"], value["dimension"])
            return State(schema, tuple(Version(**each) for each in value["versions"]))
        except (ValueError, KeyError, TypeError) as error:
            raise EngineError(
                f"What {self._name} at {self._store.place} says is published cannot be read: {error}",
                expected=f"the object that Twohands wrote there, in format {rows.FORMAT}",
                next_step=f"delete the collection {self._name} and materialize knowledge/index",
            ) from error

    def publish(self, state: State) -> None:
        """Replaces what is published, at once for every reader. The plain fields are for readers of the alias."""
        versions = [asdict(version) for version in state.versions]
        schema = {"encoder": state.schema.encoder, "dimension": state.schema.dimension}
        value = json.dumps({"format": rows.FORMAT, **schema, "versions": versions})
        current = state.current
        fields = {"version": current.name, "collection": current.collection, "generation": current.generation}
        self._store.put(self._name, PUBLISHED, {"state": value, **fields})

    def claim(self, state: State | None) -> Claim:
        """Claims the next generation. Its `building` is still what the claim before it was building."""
        if not self._store.exists(self._name):
            self._store.create_state(self._name)
        before = self._claim()
        last = max(before.generation if before else 0, state.current.generation if state else 0)
        claim = Claim(last + 1, uuid.uuid4().hex, before.building if before else "")
        self.write(claim)
        return claim

    def write(self, claim: Claim) -> None:
        """Replaces the claim."""
        self._store.put(self._name, WRITER, {"state": json.dumps(asdict(claim)), "generation": claim.generation})

    def check(self, claim: Claim, state: State | None) -> None:
        """EngineBusy where another writer claimed, or published, since: the lock holds on one machine only."""
        if self._claim() != claim or self.state() != state:
            raise EngineBusy(
                f"The index at {self._store.place} is being written by another machine",
                expected="one writer at a time",
                next_step="limit the pool of knowledge/index to 1, then run again",
            )

    def _claim(self) -> Claim | None:
        found = self._read(WRITER)
        return None if found is None else Claim(**json.loads(found))

    def _read(self, key: uuid.UUID) -> str | None:
        if not self._store.exists(self._name):  # over REST, which fails at once where the server is down
            return None
        found = self._store.collection(self._name).query.fetch_object_by_id(key, return_properties=["state"])
        return None if found is None else str(found.properties["state"])


def now() -> float:
    """Unix time."""
    return time.time()
