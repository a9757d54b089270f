"""The history of index versions: what each published version holds, slice by slice, and how the gate judged it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from assets.errors import CorruptState
from assets.knowledge.gate import Outcome
from assets.knowledge.vectors import folder_of
from assets.ports import IndexSchema, Lake

FOLDER = "knowledge/versions"
RECENT = "knowledge/recent.json"
KEPT = 50  # recent versions, for plots


@dataclass(frozen=True, slots=True)
class IndexVersion:
    """One published version. `slices` names the passages of each slice by their digest; `at` is unix seconds."""

    version: str
    at: float
    schema: IndexSchema
    slices: Mapping[str, str]
    passages: int
    why: str = ""
    golden: str = ""
    outcome: Outcome = field(default_factory=Outcome)


@dataclass(frozen=True, slots=True)
class Point:
    """A version in a plot; `recall` is None where nothing was asked."""

    version: str
    at: float
    passages: int
    recall: float | None


def save(lake: Lake, version: IndexVersion) -> None:
    """Stores the facts of a version under its name, and adds it to the recent ones."""
    lake.write_text(_name(version.version), json.dumps(asdict(version), sort_keys=True))
    asked = bool(version.outcome.ranks)
    point = Point(version.version, version.at, version.passages, version.outcome.recall if asked else None)
    earlier = [row for row in recent(lake) if row.version != version.version]
    lake.write_text(RECENT, json.dumps([asdict(row) for row in [*earlier, point][-KEPT:]]))


def load(lake: Lake, version: str) -> IndexVersion | None:
    """The facts of a version; None where they were never stored (a kill between publish and save)."""
    text = lake.read_text(_name(version))
    if text is None:
        return None
    try:
        row = json.loads(text)
        schema, outcome = IndexSchema(**row.pop("schema")), row.pop("outcome")
        return IndexVersion(**row, schema=schema, outcome=Outcome(outcome["ranks"], tuple(outcome["absent"])))
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptState(
            f"{_name(version)} in the lake is damaged: {error}",
            expected="what Twohands wrote there",
            next_step="delete that file; the next sync compares the whole index and writes it again",
        ) from error


def recent(lake: Lake) -> list[Point]:
    """The last versions, oldest first, for plots."""
    return [Point(**row) for row in json.loads(lake.read_text(RECENT) or "[]")]


def encoders_since(lake: Lake, since: float) -> set[str]:
    """Cache folders of the encoders of versions that were served at `since` (unix seconds) or later."""
    names = (name.rsplit("/", 1)[1].removesuffix(".json") for name in lake.names(FOLDER))
    versions = sorted((found for name in names if (found := load(lake, name))), key=lambda version: version.at)
    ends = [*(version.at for version in versions[1:]), float("inf")]  # a version serves until the next one does
    pairs = zip(versions, ends, strict=True) if versions else ()
    return {folder_of(version.schema.encoder) for version, end in pairs if end >= since}


def save_marks(lake: Lake, slice: str, digest: str, documents: Mapping[str, str]) -> None:
    """Remembers which passages of each document a slice's published state (named by its digest) holds."""
    lake.write_text(f"knowledge/{slice}/published.json", json.dumps({"digest": digest, "documents": dict(documents)}))


def load_marks(lake: Lake, slice: str, digest: str) -> dict[str, str] | None:
    """doc_id -> digest of its passages as published; None unless that is the state named `digest`."""
    row = json.loads(lake.read_text(f"knowledge/{slice}/published.json") or "{}")
    return row["documents"] if row.get("digest") == digest else None


def save_embedded(lake: Lake, slice: str, encoder: str, documents: Mapping[str, str]) -> None:
    """Remembers whose passages (doc_id -> their digest) have vectors of this encoder."""
    lake.write_text(f"knowledge/{slice}/embedded.json", json.dumps({"encoder": encoder, "documents": dict(documents)}))


def load_embedded(lake: Lake, slice: str, encoder: str) -> dict[str, str]:
    """doc_id -> digest of the passages that this encoder has embedded; empty for another encoder."""
    row = json.loads(lake.read_text(f"knowledge/{slice}/embedded.json") or "{}")
    return row["documents"] if row.get("encoder") == encoder else {}


def save_look(lake: Lake, slice: str, at: float) -> None:
    """Remembers that the slice's source was listed and read then (unix seconds), whatever had changed."""
    lake.write_text(f"knowledge/{slice}/looked.json", json.dumps(at))


def load_look(lake: Lake, slice: str) -> float | None:
    """When the slice's source was last listed and read."""
    return json.loads(lake.read_text(f"knowledge/{slice}/looked.json") or "null")


def save_synced(lake: Lake, slice: str, at: float) -> None:
    """Remembers that what a look of then (unix seconds) found is published, also where it found nothing to do."""
    lake.write_text(f"knowledge/{slice}/synced.json", json.dumps(at))


def load_synced(lake: Lake, slice: str) -> float | None:
    """The last look that what is published comes from; None before the first, and before this was noted."""
    return json.loads(lake.read_text(f"knowledge/{slice}/synced.json") or "null")


def _name(version: str) -> str:
    return f"{FOLDER}/{version}.json"
