"""What may be released: each evaluated release with what the gate said of it, by its id."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from assets.errors import CorruptState
from assets.ports import Lake
from assets.serving.release import Release

FOLDER = "serving/candidates"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A release that was evaluated. `against` is the id of what it was compared with, and served then; `evaluation`
    names the report."""

    release: Release
    promoted: bool
    sentence: str
    against: str
    evaluated: str  # ISO 8601, UTC
    evaluation: str = ""

    @property
    def id(self) -> str:
        """The release's id."""
        return self.release.id


def save(lake: Lake, variant: str, candidate: Candidate) -> None:
    """Stores a candidate; the same one evaluated again replaces what was said before."""
    lake.write_text(_name(variant, candidate.id), json.dumps(asdict(candidate), sort_keys=True, ensure_ascii=False))


def load(lake: Lake, variant: str, id: str) -> Candidate | None:
    """A candidate by its id; CorruptState where its file holds another one."""
    text = lake.read_text(_name(variant, id))
    if text is None:
        return None
    try:
        row: dict[str, Any] = json.loads(text)
        found = Candidate(**{**row, "release": Release(**row["release"])})
        if found.id == id:
            return found
        problem = f"it describes the release {found.id}"
    except (ValueError, TypeError, KeyError) as error:
        problem = f"{type(error).__name__}: {error}"
    raise CorruptState(
        f"{_name(variant, id)} in the lake is damaged ({problem})",
        expected="the candidate that was written there",
        next_step="delete that file, and evaluate its adapter again",
    )


def all_of(lake: Lake, variant: str) -> list[Candidate]:
    """Every candidate of a variant, the newest evaluation first."""
    ids = [name.rsplit("/", 1)[1].removesuffix(".json") for name in lake.names(f"{FOLDER}/{variant}")]
    found = [one for id in ids if (one := load(lake, variant, id))]
    return sorted(found, key=lambda one: (one.evaluated, one.id), reverse=True)


def _name(variant: str, id: str) -> str:
    return f"{FOLDER}/{variant}/{id}.json"
