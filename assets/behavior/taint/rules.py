"""When a row was made of what does not stand any more. Pure.

Of each interaction that a row was made of, by what the lake says of it now:

    interaction    question, answer, passages    could it teach now (eligibility.py)    touched
    -------------  ----------------------------  -------------------------------------  ---------
    not there      -                             -                                      deleted
    there          others than then              -                                      corrected
    there          the same                      no                                     attributed
    there          the same, or not known        yes                                    no

A row of several interactions counts once, for the first reason in this order. Rows that an erasure took out of a
dataset are not there to be looked at: they count as `erased`, by what the manifest says.

A correction of another kind (of style, not of format) is no touch: the row teaches what it taught.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from assets.behavior.dataset import eligibility


class Touch(StrEnum):
    """What became of an interaction since, the gravest first."""

    ERASED = "erased"
    DELETED = "deleted"
    CORRECTED = "corrected"
    ATTRIBUTED = "attributed"


SAID = {
    Touch.ERASED: "taken out: somebody asked to be forgotten",
    Touch.DELETED: "deleted, or moved to another day",
    Touch.CORRECTED: "another question, answer or passages",
    Touch.ATTRIBUTED: "attributed otherwise: it would not teach now",
}
_ORDER = {touch: place for place, touch in enumerate(Touch)}


class Now(NamedTuple):
    """What the lake says of an interaction: `origin` as origins.origin, the verdict and the schema's as the mart's."""

    origin: str
    verdict: str | None
    schema_ok: bool | None


def touched(source: str, origin: str, now: Now | None) -> Touch | None:
    """The table above for one interaction. `source` is correction or accepted, `origin` empty where it is not known."""
    if now is None:
        return Touch.DELETED
    if origin and now.origin != origin:
        return Touch.CORRECTED
    refused = eligibility.refused(source, there=True, verdict=now.verdict, schema_ok=now.schema_ok)
    return Touch.ATTRIBUTED if refused else None


def gravest(found: Iterable[Touch | None]) -> Touch | None:
    """The one that a row of several interactions counts for."""
    return min(filter(None, found), key=_ORDER.__getitem__, default=None)


@dataclass(frozen=True, slots=True)
class Share:
    """Rows that something was made of, and how many of them were touched, by reason."""

    rows: int = 0
    by: Mapping[Touch, int] = field(default_factory=dict)

    @property
    def touched(self) -> int:
        """Rows that do not stand any more."""
        return sum(self.by.values())

    @property
    def share(self) -> float:
        """Of all rows; 0 where there are none."""
        return self.touched / self.rows if self.rows else 0.0

    def words(self) -> str:
        """The reasons with their numbers."""
        return ", ".join(f"{count} {touch}" for touch, count in self.by.items()) or "none"


@dataclass(frozen=True, slots=True)
class OfDataset:
    """A dataset: all of its rows; the first interaction ids of each reason (erased ones are not known any more)."""

    variant: str
    digest: str
    number: int
    whole: Share
    ids: Mapping[Touch, tuple[str, ...]]
    adapters: tuple[str, ...] = ()
    released: bool = False  # one of its adapters answers


@dataclass(frozen=True, slots=True)
class OfAdapter:
    """An adapter: the rows that it was trained on. `known` is false where its dataset is not in this lake.

    `first_day` is the first day of the candidates that its dataset was made of.
    """

    id: str
    dataset: str
    trained: Share
    released: bool = False
    known: bool = True
    first_day: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The taint of a variant, oldest first."""

    variant: str
    datasets: tuple[OfDataset, ...] = ()
    adapters: tuple[OfAdapter, ...] = ()

    @property
    def released(self) -> OfAdapter | None:
        """The adapter that answers."""
        return next((one for one in self.adapters if one.released), None)
