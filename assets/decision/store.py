"""What the decision keeps: contracts and evidence records, by variant. They are added and never changed.

decision/contracts/<variant>/<number>-<digest>.json    the newest is in force
decision/evidence/<variant>/<number>-<day>-<key>.json  every reading of a snapshot, in the order they were made
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from assets.decision import baselines
from assets.decision.baselines import Contract
from assets.decision.config import unrevised
from assets.decision.shift import Evidence, Reading
from assets.errors import CorruptState
from assets.fingerprints import sha256_text
from assets.ports import Lake

CONTRACTS, EVIDENCE = "decision/contracts", "decision/evidence"
_DIGITS = 10  # significant ones that are kept: more would differ between processors


@dataclass(frozen=True, slots=True)
class Record:
    """One reading. `key` identifies what it was made of: snapshot, contract, settings and first monitored day.

    `total`, `by_event` and `labels` have one value a day from `since` to `day`; `days` maps every day that was read to
    the digest of its counts, which is how a correction is seen. `threshold` is that of this restatement.
    """

    key: str
    variant: str
    release: str
    day: date
    since: date
    snapshot: str
    contract: str
    config: str
    restatements: int
    threshold: float
    total: tuple[float, ...]
    by_event: Mapping[str, tuple[float, ...]]
    labels: tuple[float, ...]
    shares: Mapping[str, float]
    topics: Mapping[str, float]  # log10 Bayes factors, the strongest first
    changed: date | None
    event: str | None
    size: float
    days: Mapping[str, str]
    probation: bool = False  # a new release, seen through the contract of the former one
    corrected: tuple[str, ...] = field(default=())  # closed days that differ from the record before

    @property
    def evidence(self) -> float:
        """M of the newest day."""
        return self.total[-1] if self.total else 0.0

    @property
    def highest(self) -> float:
        """The most that M has been."""
        return max(self.total, default=0.0)

    @property
    def fired(self) -> date | None:
        """The first day on which M reached the threshold."""
        return self._crossed(self.total, self.threshold)

    @property
    def labels_moved(self) -> date | None:
        """The first day on which the watch of the labelled share reached the threshold of an unrevised history.
        It can only suppress: corrections raise the threshold of M, and make the watch no blinder."""
        return self._crossed(self.labels, unrevised(self.threshold, self.restatements))

    def as_evidence(self) -> Evidence:
        """The trajectory as the test gave it, as far as it is kept."""
        parts = {event: np.array(values) for event, values in self.by_event.items()}
        return Evidence(self.since, np.array(self.total), parts, np.array(self.labels), self.threshold)

    def as_reading(self) -> Reading:
        """What the newest day says beyond M."""
        return Reading(self.shares, self.changed, self.event, self.size, self.topics)

    def _crossed(self, series: tuple[float, ...], threshold: float) -> date | None:
        reached = (n for n, value in enumerate(series) if value >= threshold)
        number = next(reached, None)
        return None if number is None else date.fromordinal(self.since.toordinal() + number)


def rounded(value: float) -> float:
    """A number as records keep it."""
    return float(f"{value:.{_DIGITS}g}")


class Store:
    """The records in a lake."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    def contract(self, variant: str) -> Contract | None:
        """The contract in force; None before the first. CorruptState where it is damaged or of another schema."""
        names = self.lake.names(f"{CONTRACTS}/{variant}")
        return baselines.from_json(self._text(names[-1]), names[-1]) if names else None

    def add_contract(self, contract: Contract) -> None:
        """Puts a contract in force; adding the one that is in force changes nothing."""
        folder = f"{CONTRACTS}/{contract.variant}"
        names = self.lake.names(folder)
        tail = f"-{contract.digest[:16]}.json"
        if not names or not names[-1].endswith(tail):
            self.lake.write_text(f"{folder}/{_next(names):06d}{tail}", contract.to_json())

    def records(self, variant: str, newest: int | None = None) -> list[Record]:
        """Records in the order in which they were made, or only the newest of them."""
        names = self.lake.names(f"{EVIDENCE}/{variant}")
        return [_record(self._text(name), name) for name in (names[-newest:] if newest else names)]

    def latest(self, variant: str) -> Record | None:
        """The newest record."""
        return next(iter(self.records(variant, 1)), None)

    def add(self, record: Record) -> None:
        """Adds a record, unless the newest one was made of the same."""
        folder = f"{EVIDENCE}/{record.variant}"
        names = self.lake.names(folder)
        tail = f"-{record.day}-{record.key[:16]}.json"
        if not names or not names[-1].endswith(tail):
            self.lake.write_text(f"{folder}/{_next(names):06d}{tail}", _text(record))

    def _text(self, name: str) -> str:
        text = self.lake.read_text(name)
        if text is None:
            raise CorruptState(f"{name} has vanished from the lake", next_step="run it again")
        return text


def _next(names: list[str]) -> int:
    return int(names[-1].rsplit("/", 1)[1].split("-")[0]) + 1 if names else 1


def _text(record: Record) -> str:
    row: dict[str, Any] = {name: getattr(record, name) for name in Record.__dataclass_fields__}
    for name in ("day", "since", "changed"):
        row[name] = row[name].isoformat() if row[name] else None
    body = json.dumps(row, sort_keys=True)
    return json.dumps({"check": sha256_text(body), "record": row}, sort_keys=True)


def _record(text: str, name: str) -> Record:
    try:
        whole = json.loads(text)
        row = whole["record"]
        if whole["check"] != sha256_text(json.dumps(row, sort_keys=True)):
            raise ValueError("its checksum is another")
        for key in ("day", "since", "changed"):
            row[key] = date.fromisoformat(row[key]) if row[key] else None
        for key in ("total", "labels", "corrected"):
            row[key] = tuple(row[key])
        row["by_event"] = {event: tuple(values) for event, values in row["by_event"].items()}
        return Record(**row)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptState(
            f"{name} is damaged ({type(error).__name__}: {error!s:.120})",
            expected="an evidence record as it was written, which is never changed",
            next_step="restore it from a backup, or move it out of the lake: the next run makes a new one",
        ) from None
