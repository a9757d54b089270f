"""Streams made of real texts: what happens is drawn, what is counted comes out of our own attribution and form code.

For each source of `real_texts.py` there are three: `NAME` (people come to want the other form), `NAME twin` (the same
without that change) and `NAME content` (knowledge failures rise instead, for good). Topics have the shares that they
have in the data. Of the labelled answers .15 are corrected for their manner (topics differ, sd .4 on the logit scale)
and .08 for what they say; the change raises the first by .8 on the logit scale, or the second to .25. Of the failures
.7 come with the correction, the others with a thumb alone, which tells attribution nothing. Texts are drawn with
replacement from some hundred of each source. Thresholds of style and edit are those of the reference days, by the rules
of `assets.behavior.reference`. Attribution's errors are in the counts, the reference's too.
"""

from __future__ import annotations

import os
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from assets.behavior.reference import MIN_ROWS
from benchmarks.shift.real_texts import CHANGED, CONTENT, FILES, MANNER, Pool, Source, load
from benchmarks.shift.streams import CHANGE, MONITORED, REFERENCE, Array, Counts, Law, Stream

RATES = {MANNER: 0.15, CONTENT: 0.08}
TOPIC_SD, SIZE, CONTENT_AFTER = 0.4, 0.8, 0.25
CORRECTED = 0.7  # of failures
LABELLED = 0.30
SMALLEST = 4  # texts of each type, for a topic to be used
TWIN, FACTS = " twin", " content"
NAMES = tuple(source + ending for source in FILES for ending in ("", TWIN, FACTS))
PREFIX = "real "  # of a stream's kind


def data() -> Path:
    """The folder of the shared data."""
    return Path(os.environ.get("TWOHANDS_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def available() -> tuple[list[str], list[str]]:
    """Sources whose data is here, and why others are left out."""
    found = {name: data() / "behaviour" / f"{file}.jsonl.gz" for name, file in FILES.items()}
    missing = [f"{name}: {path.name} is not in {data().name}/" for name, path in found.items() if not path.exists()]
    return [name for name, path in found.items() if path.exists()], missing


def make(name: str, seed: int, *, per_day: float = 100, shifted: bool = True) -> Stream:
    """One stream; the same arguments give the same one. `shifted=False` gives the twin."""
    kind = "" if name in FILES else TWIN if name.endswith(TWIN) else FACTS
    source = _source(name.removesuffix(kind))
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return _Made(name, seed, per_day, source, rng, kind == "" and shifted, kind == FACTS).stream(kind == "")


def leaks() -> dict[str, float]:
    """Share of each source's knowledge failures with a correction that attribution takes for behavior."""
    return {name: float(_source(name).pools[CONTENT].behavior.mean()) for name in available()[0]}


@lru_cache(maxsize=8)
def _source(name: str) -> Source:
    return load(name, data())


class _Made:
    """One stream in the making: an array entry per interaction, then counts."""

    def __init__(
        self, name: str, seed: int, per_day: float, source: Source, rng: np.random.Generator, moves: bool, facts: bool
    ) -> None:
        self.name, self.seed, self.per_day, self.source, self.rng = name, seed, per_day, source, rng
        sizes = np.array([len(length) for length in source.length])
        few = np.min([np.bincount(pool.topic, minlength=len(sizes)) for pool in source.pools.values()], axis=0)
        self.kept = np.flatnonzero(few >= SMALLEST)
        self.days, self.start = REFERENCE + MONITORED, REFERENCE + CHANGE
        offsets = rng.normal(0, TOPIC_SD, len(self.kept))
        manner = _sigmoid(_logit(RATES[MANNER]) + offsets)
        self.rates = {MANNER: manner, CHANGED: _sigmoid(_logit(RATES[MANNER]) + offsets + SIZE) - manner}
        self.moves = np.arange(self.days) >= self.start if moves else np.zeros(self.days, bool)
        self.content = np.where((np.arange(self.days) >= self.start) & facts, CONTENT_AFTER, RATES[CONTENT])
        self.day = np.repeat(np.arange(self.days), rng.poisson(per_day, self.days))
        self.topic = rng.choice(len(self.kept), len(self.day), p=sizes[self.kept] / sizes[self.kept].sum())

    def stream(self, shift: bool) -> Stream:
        """The counts and, where people's wishes may change, the law."""
        labelled = self.rng.random(len(self.day)) < LABELLED
        types = self._types() * labelled
        corrected = (types > 0) & (self.rng.random(len(self.day)) < CORRECTED)
        seen = {part: np.zeros(len(self.day)) for part in Pool.__annotations__ if part != "topic"}
        for number, pool in enumerate(self._pools(), start=1):
            rows = np.flatnonzero(corrected & (types == number))
            at = self._drawn(pool.topic, self.kept[self.topic[rows]])
            for part, values in seen.items():
                values[rows] = getattr(pool, part)[at]
        long, measured = self._style()
        heavy, known = self._heavy(seen["edit"], corrected)
        counts = {
            "know": (labelled, seen["knowledge"] > 0),
            "labelled": (np.ones(len(self.day), bool), labelled),
            "fail": (labelled, seen["behavior"] > 0),
            "style": (measured, long),
            "edit": (corrected & known, heavy),
            "refusal": (corrected, seen["refusal"] > 0),
            "format": (corrected, seen["format"] > 0),
        }
        tables = {event: Counts(self._table(n), self._table(n & s)) for event, (n, s) in counts.items()}
        change = CHANGE if self.moves.any() else None
        return Stream(PREFIX + self.name, self.seed, tables, change, self._law() if shift else {}, self.per_day)

    def _pools(self) -> list[Pool]:
        return [self.source.pools[kind] for kind in (MANNER, CHANGED, CONTENT)]

    def _types(self) -> np.ndarray:
        """1, 2, 3 for failures of manner, those that came with the change, and of knowledge; 0 for none."""
        drawn = self.rng.random(len(self.day))
        manner = self.rates[MANNER][self.topic]
        changed = manner + self.rates[CHANGED][self.topic] * self.moves[self.day]
        content = changed + (1 - changed) * self.content[self.day]
        return np.select([drawn < manner, drawn < changed, drawn < content], [1, 2, 3], 0)

    def _drawn(self, among: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """For each wanted topic a random place with that topic."""
        order = np.argsort(among, kind="stable")
        ordered = among[order]
        first, last = np.searchsorted(ordered, wanted, "left"), np.searchsorted(ordered, wanted, "right")
        return order[first + (self.rng.random(len(wanted)) * (last - first)).astype(int)]

    def _style(self) -> tuple[np.ndarray, np.ndarray]:
        """(longer than the reference's median, whether there is one)."""
        of, length = (
            np.concatenate([np.full(len(x), z) for z, x in enumerate(self.source.length)]),
            np.concatenate(self.source.length),
        )
        drawn = length[self._drawn(of, self.kept[self.topic])].astype(float)
        limit = self._limits(drawn, np.ones(len(drawn), bool), 0.5)
        return drawn > limit[self.topic], np.isfinite(limit)[self.topic]

    def _heavy(self, edits: Array, corrected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.limit = self._limits(edits, corrected, 0.6)
        return edits > self.limit[self.topic], np.isfinite(self.limit)[self.topic]

    def _limits(self, values: Array, eligible: np.ndarray, q: float) -> Array:
        """Quantile of the reference by topic; infinite where it has too few rows."""
        early = eligible & (self.day < REFERENCE)
        parts = [values[early & (self.topic == place)] for place in range(len(self.kept))]
        return np.array([np.quantile(part, q) if len(part) >= MIN_ROWS else np.inf for part in parts])

    def _table(self, which: np.ndarray) -> Array:
        width = len(self.kept)
        cell = self.day[which] * width + self.topic[which]
        return np.bincount(cell, minlength=self.days * width).reshape(self.days, width).astype(float)

    def _law(self) -> dict[str, Law]:
        """Rates of the booked events: the mixture of failures times what attribution and forms make of each."""
        parts = {"fail": "behavior", "format": "format", "refusal": "refusal", "edit": "edit"}
        return {event: self._one_law(event, part) for event, part in parts.items()}

    def _one_law(self, event: str, part: str) -> Law:
        mean = np.array([[self._mean(pool, part, z) for z in range(len(self.kept))] for pool in self._pools()])
        found = []
        for moved in (np.zeros(self.days), np.ones(self.days), self.moves.astype(float)):
            manner = np.broadcast_to(self.rates[MANNER], (self.days, len(self.kept)))
            changed = self.rates[CHANGED] * moved[:, None]
            content = (1 - manner - changed) * self.content[:, None]
            share = np.stack([manner, changed, content])
            rate = (share * mean[:, None, :]).sum(0) * (CORRECTED if event == "fail" else 1 / share.sum(0))
            found.append(np.clip(rate, 1e-4, 1 - 1e-4))
        return Law(*found)

    def _mean(self, pool: Pool, part: str, place: int) -> float:
        values = getattr(pool, part)[pool.topic == self.kept[place]]
        return float(np.mean(values > self.limit[place]) if part == "edit" else np.mean(values))


def _sigmoid(logit: Array) -> Array:
    return 1 / (1 + np.exp(-logit))


def _logit(rate: float) -> float:
    return float(np.log(rate / (1 - rate)))
