"""What may be released: each evaluated release with what the gate said of it, by its id.

A file has a checksum: a verdict that was edited by hand promotes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from assets.errors import CorruptState
from assets.fingerprints import sha256_text
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
    said = asdict(candidate)
    lake.write_text(_name(variant, candidate.id), _text({**said, "check": _check(said)}))


def load(lake: Lake, variant: str, id: str) -> Candidate | None:
    """A candidate by its id; CorruptState where its file is not what was written, or holds another one."""
    text = lake.read_text(_name(variant, id))
    if text is None:
        return None
    try:
        row: dict[str, Any] = json.loads(text)
        check = row.pop("check")
        found = Candidate(**{**row, "release": Release(**row["release"])})
        if found.id == id and check == _check(row):
            return found
        problem = f"it describes the release {found.id}" if found.id != id else "its checksum is another"
    except (ValueError, TypeError, KeyError, AttributeError) as error:
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


def _check(said: Mapping[str, Any]) -> str:
    return sha256_text(_text(said))


def _text(said: Mapping[str, Any]) -> str:
    return json.dumps(said, sort_keys=True, ensure_ascii=False)


def _name(variant: str, id: str) -> str:
    return f"{FOLDER}/{variant}/{id}.json"
