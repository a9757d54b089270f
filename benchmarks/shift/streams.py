"""Streams of daily counts whose law is known: what the sequential test, its peers and the oracle are run on.

A stream has the form of `behavior_daily`: for each event two arrays n, S of shape [days, topics]. The first 28 days are
the reference; weekday = day index % 7; the change comes on a monitored day. The law of one interaction:

* interactions of a day ~ Poisson(per_day), topics by fixed weights proportional to (rank + 1)^-0.5 (of 8: .23 to .08);
* 30% are labelled. Of the labelled, a behavior failure has rate about .18 and, where there is none, a knowledge failure
  about .08; topics differ by normal offsets on the logit scale (sd .4). Of the failures half are edited, and of those
  .4 heavily (`edit`), .03 change the refusal, .05 the format; .5 of all answers are long (`style`, topics' sd .1), .05
  break their schema (sd .4);
* attribution books a share `leak` of knowledge failures as behavior and a share `miss` of behavior failures as
  knowledge, from the first day on.

`KINDS` says what each kind adds to that. Sizes are on the logit scale; a day effect is one number for all topics, and
its sd is the stationary one.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
REFERENCE = 28
MONITORED = 365
CHANGE = 60  # monitored day on which the change comes
EVENTS = ("know", "labelled", "fail", "schema_bad", "style", "edit", "refusal", "format")
BASE = {"fail": 0.18, "know": 0.08, "schema_bad": 0.05, "style": 0.5, "edit": 0.4, "refusal": 0.03, "format": 0.05}
TOPIC_SD = {"fail": 0.4, "know": 0.4, "schema_bad": 0.4, "style": 0.1, "edit": 0.2, "refusal": 0.2, "format": 0.2}
EDITED = 0.5  # of failures
WEEKDAY_SD = 0.3
AR_SD, AR_PHI = 0.15, 0.6
NEW_TOPIC = 0.4  # of the traffic
OUTAGE = 0.97  # knowledge failures among what did not fail otherwise, while the index is away


class Counts(NamedTuple):
    """Eligible interactions and those with the event, each [days, topics]."""

    n: Array
    S: Array


class Law(NamedTuple):
    """Rates [days, topics] of an event without the change, with all of it, and as they are.

    They hold weekdays and the course of knowledge failures, and not the day effects, which nobody can know.
    """

    before: Array
    after: Array
    now: Array


@dataclass(frozen=True)
class Kind:
    """What a kind of stream adds to the law of none. `effects`: event -> size on the logit scale, once it changed."""

    effects: Mapping[str, float] = field(default_factory=dict)
    moved: int | None = None  # how many topics the effects reach; all where it is None
    ramp: int = 0  # days until the whole size is there
    leak: float = 0.0
    miss: float = 0.0
    weekdays: tuple[str, ...] = ()  # events and "traffic" that have weekday offsets
    ar: tuple[str, ...] = ()  # events with AR(1) day effects
    mix: bool = False
    new_topic: bool = False
    stale: bool = False
    outage: bool = False
    label_rate: bool = False
    selection: float = 1.0  # how much likelier a failure is to be labelled than a success

    @property
    def shifts(self) -> bool:
        """Whether behavior changes."""
        return bool(self.effects)


_ALL = ("fail", "know", "labelled", "schema_bad", "style", "edit")
_WEEKDAYS = ("fail", "labelled", "traffic")
_LEAK, _MISS = 0.10, 0.05
KINDS: dict[str, Kind] = {
    # no change of behavior
    "none": Kind(),
    "topic_mix": Kind(mix=True),
    "new_topic": Kind(new_topic=True),
    "stale_documents": Kind(stale=True, leak=_LEAK, miss=_MISS),
    "index_outage": Kind(outage=True),
    "index_outage_leak": Kind(outage=True, leak=_LEAK, miss=_MISS),
    "seasonality": Kind(weekdays=_WEEKDAYS),
    "ar1": Kind(weekdays=("fail",), ar=("fail",)),
    "ar1_all": Kind(weekdays=_WEEKDAYS, ar=_ALL),
    "label_rate": Kind(label_rate=True),
    "label_selection": Kind(selection=1.5),
    # a change of behavior
    "fail_0.3": Kind({"fail": 0.3}),
    "fail_0.6": Kind({"fail": 0.6}),
    "fail_1.2": Kind({"fail": 1.2}),
    "style": Kind({"style": 0.4}),
    "schema": Kind({"schema_bad": 1.0}),
    "one_topic": Kind({"fail": 1.2}, moved=1),
    "two_topics": Kind({"fail": 1.2}, moved=2),
    "ramp": Kind({"fail": 0.8}, ramp=30),
    "all": Kind({"fail": 0.6, "style": 0.4, "schema_bad": 0.6}),
    "both": Kind({"fail": 0.6}, stale=True, leak=_LEAK, miss=_MISS),
    "ar1_all_fail_0.6": Kind({"fail": 0.6}, weekdays=_WEEKDAYS, ar=_ALL),
}
QUIET = tuple(name for name, kind in KINDS.items() if not kind.shifts)
SHIFTS = tuple(name for name, kind in KINDS.items() if kind.shifts)


@dataclass(frozen=True, eq=False)
class Stream:
    """Counts by event, and the truth. `change` is the monitored day of the change of behavior, None without one."""

    kind: str
    seed: int
    counts: dict[str, Counts]
    change: int | None
    law: dict[str, Law] = field(default_factory=dict)
    per_day: float = 0.0
    reference: int = REFERENCE

    @property
    def days(self) -> int:
        """Monitored days."""
        return len(self.counts["fail"].n) - self.reference

    def since(self, day: int) -> Stream:
        """What is left from a day on (the reference's days count): its first 28 days are the reference anew."""
        cut = {event: Counts(n[day:], S[day:]) for event, (n, S) in self.counts.items()}
        law = {event: Law(*(rates[day:] for rates in one)) for event, one in self.law.items()}
        change = None if self.change is None else self.change - day
        return Stream(self.kind, self.seed, cut, change, law, self.per_day, self.reference)


def make(
    kind: str,
    seed: int,
    *,
    per_day: float = 100,
    days: int = REFERENCE + MONITORED,
    change_day: int = CHANGE,
    topics: int = 8,
    labelled: float = 0.30,
    shifted: bool = True,
    spec: Kind | None = None,
) -> Stream:
    """One stream. `shifted=False` gives the twin to which everything happens but the change of behavior.

    `spec` replaces what KINDS says of the kind. The same arguments give the same stream.
    """
    what = spec or KINDS[kind]
    world = _World(what, np.random.default_rng([seed, zlib.crc32(kind.encode())]), days, topics, REFERENCE + change_day)
    traffic, rates, law = world.rates(labelled, shifted)
    counts = _draw(world.rng, per_day * traffic, rates, what)
    change = change_day if what.shifts and shifted else None
    return Stream(kind, seed, counts, change, law, per_day)


class _World:
    """The rates of every day and topic. `change` is a day index, the reference included."""

    def __init__(self, what: Kind, rng: np.random.Generator, days: int, topics: int, change: int) -> None:
        self.what, self.rng, self.days, self.change = what, rng, days, change
        self.known, self.topics = topics, topics + what.new_topic
        self.weekday = np.arange(days) % 7
        self.moved = np.ones(self.topics)  # 1 where the effects reach
        if what.moved is not None:
            self.moved[:] = 0
            self.moved[rng.choice(self.known, what.moved, replace=False)] = 1

    def rates(self, labelled: float, shifted: bool) -> tuple[Array, dict[str, Array], dict[str, Law]]:
        """Expected share of traffic, true rates by event, and the law of the booked counts, all [days, topics]."""
        base = {
            event: np.log(rate / (1 - rate)) + self.rng.normal(0, TOPIC_SD[event], self.topics)
            for event, rate in BASE.items()
        }
        rate = labelled * (self.rng.choice([0.5, 2.0]) if self.what.label_rate else 1.0)
        label = np.where(np.arange(self.days) < self.change, labelled, min(rate, 0.95))[:, None]
        base["labelled"] = np.log(label / (1 - label))
        plain = {event: value + self._weekdays(event) for event, value in base.items()}
        know = self._knowledge(_sigmoid(plain["know"]))
        size, full = self._effects(shifted), self._effects(True, whole=True)
        noise = {event: self._day_effects(event) for event in base}
        rates = {event: _sigmoid(value + size.get(event, 0.0) + noise[event]) for event, value in plain.items()}
        rates["know"] = _sigmoid(np.log(know / (1 - know)) + noise["know"])
        likelier = np.where(np.arange(self.days) < self.change, 1.0, self.what.selection)[:, None]
        rates["failed_labelled"] = np.minimum(rates["labelled"] * likelier, 1.0)
        law = {
            event: Law(*(self._booked(event, plain[event] + more, know) for more in (0.0, value, size[event])))
            for event, value in full.items()
        }
        return self._traffic(), rates, law

    def _booked(self, event: str, logit: Array, know: Array) -> Array:
        rate = _sigmoid(logit)
        if event != "fail":
            return rate
        return rate * (1 - self.what.miss) + (1 - rate) * know * self.what.leak

    def _weekdays(self, event: str) -> Array:
        offsets = self.rng.normal(0, WEEKDAY_SD, 7) if event in self.what.weekdays else np.zeros(7)
        return (offsets - offsets.mean())[self.weekday][:, None]

    def _day_effects(self, event: str) -> Array:
        if event not in self.what.ar:
            return np.zeros((self.days, 1))
        steps = self.rng.normal(0, 1, self.days)
        for day in range(1, self.days):
            steps[day] = AR_PHI * steps[day - 1] + np.sqrt(1 - AR_PHI**2) * steps[day]
        return AR_SD * steps[:, None]

    def _effects(self, shifted: bool, whole: bool = False) -> dict[str, Array]:
        """event -> what the change adds, [days, topics]; with `whole` all of it on every day."""
        since = np.arange(self.days) - self.change
        grown = np.clip((since + 1) / max(self.what.ramp, 1), 0, 1) * shifted
        course = np.ones(self.days) if whole else grown
        return {event: size * course[:, None] * self.moved for event, size in self.what.effects.items()}

    def _knowledge(self, rate: Array) -> Array:
        """The rate of knowledge failures: weeks of stale documents again and again, days without an index."""
        rate = np.array(np.broadcast_to(rate, (self.days, self.topics)))
        day = self.change
        while day < self.days and (self.what.stale or self.what.outage):
            if self.what.outage:
                end, gap = day + self.rng.integers(1, 4), self.rng.integers(30, 91)
                rate[day:end] = OUTAGE
            else:
                end, gap = day + self.rng.integers(14, 43), self.rng.integers(14, 43)
                reached = self.rng.random(self.topics) < 0.6
                risen = np.log(rate[day:end] / (1 - rate[day:end])) + self.rng.uniform(1.0, 2.5)
                rate[day:end] = np.where(reached, _sigmoid(risen), rate[day:end])
            day = int(end + gap)
        return rate

    def _traffic(self) -> Array:
        """Expected share of a day's mean traffic, [days, topics]."""
        mix = np.tile(topic_weights(self.known), (self.days, 1))
        if self.what.mix:  # a jump at the change, then from one mix to the next within 30 days, for ever
            stops = self.rng.dirichlet(np.full(self.known, 1.0), self.days // 30 + 2)
            at = (np.arange(self.change, self.days) - self.change) / 30
            low, part = at.astype(int), (at % 1)[:, None]
            mix[self.change :] = stops[low] * (1 - part) + stops[low + 1] * part
        if self.what.new_topic:
            mix = np.hstack([mix, np.zeros((self.days, 1))])
            mix[self.change :, :-1] *= 1 - NEW_TOPIC
            mix[self.change :, -1] = NEW_TOPIC
        return mix * np.exp(self._weekdays("traffic"))


def topic_weights(topics: int) -> Array:
    """The fixed, uneven share of each topic."""
    weights = np.arange(1, topics + 1) ** -0.5
    return weights / weights.sum()


def _draw(rng: np.random.Generator, traffic: Array, rates: dict[str, Array], what: Kind) -> dict[str, Counts]:
    """Counts of one stream: outcomes first, then who labels them, then what attribution books."""
    every = rng.poisson(traffic)
    behavior = rng.binomial(every, rates["fail"])
    knowledge = rng.binomial(every - behavior, rates["know"])
    fine = rng.binomial(every - behavior - knowledge, rates["labelled"])
    behavior = rng.binomial(behavior, rates["failed_labelled"])
    knowledge = rng.binomial(knowledge, rates["failed_labelled"])
    failed, labelled = behavior + knowledge, behavior + knowledge + fine
    leaked, missed = rng.binomial(knowledge, what.leak), rng.binomial(behavior, what.miss)
    edited = rng.binomial(failed, EDITED)
    found = {
        "know": (labelled, knowledge - leaked + missed),
        "labelled": (every, labelled),
        "fail": (labelled, behavior - missed + leaked),
    }
    for event, n in (
        ("schema_bad", every),
        ("style", every),
        ("edit", edited),
        ("refusal", edited),
        ("format", edited),
    ):
        found[event] = (n, rng.binomial(n, rates[event]))
    return {event: Counts(n.astype(float), S.astype(float)) for event, (n, S) in found.items()}


def _sigmoid(logit: Array) -> Array:
    return 1 / (1 + np.exp(-logit))
