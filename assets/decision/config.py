"""What the sequential test is told: its error rate, what it looks for, and how its evidence is shared out.

Every number is part of the identity of a verdict (`ShiftConfig.digest`): evidence is a function of an as-of snapshot, a
contract and this.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from assets.errors import ConfigError
from assets.fingerprints import digest

VERSION = "1"  # of the statistic: a change of formula is another test
ONE = "one"  # exactly one topic moved


@dataclass(frozen=True, slots=True)
class EventTest:
    """How one event is tested: its share of the evidence, and the sizes of shift (logit) that it looks for.

    `all_weights` share the evidence among sizes where all topics move together, `few_weights` where a few do.
    """

    weight: float
    sizes: tuple[float, ...]
    all_weights: tuple[float, ...]
    few_weights: tuple[float, ...]


def _test(weight: float, sizes: tuple[float, ...], weights: tuple[float, ...], few: tuple[float, ...]) -> EventTest:
    return EventTest(weight, sizes, weights, few)


_UP = (0.4, 0.8, 1.6)
_EVENTS: Mapping[str, EventTest] = {
    "fail": _test(0.45, (0.3, 0.5, 0.8, 1.3), (0.65, 0.2, 0.1, 0.05), (0.1, 0.2, 0.3, 0.4)),
    "schema_bad": _test(0.15, _UP, (0.5, 0.3, 0.2), (0.2, 0.4, 0.4)),
    "style": _test(0.15, (-1.0, -0.4, 0.4, 1.0), (0.2, 0.3, 0.3, 0.2), (0.25, 0.25, 0.25, 0.25)),
    "edit": _test(0.07, _UP, (0.5, 0.3, 0.2), (0.2, 0.4, 0.4)),
    "format": _test(0.07, _UP, (0.4, 0.3, 0.3), (0.2, 0.4, 0.4)),
    "refusal": _test(0.05, _UP, (0.4, 0.3, 0.3), (0.2, 0.4, 0.4)),
}
LABEL_WATCH = _test(1.0, (-0.6, -0.25, 0.25, 0.6), (0.2, 0.3, 0.3, 0.2), (0.25, 0.25, 0.25, 0.25))
LABELED_EVENTS = frozenset({"fail", "edit", "format", "refusal"})  # they see labelled rows only: the watch guards them


@dataclass(frozen=True, slots=True)
class ShiftConfig:
    """Settings of the test; the defaults are those that benchmarks/shift reports on.

    `alpha` is the probability of any false trigger within `horizon_days` of one contract. `spread` shares the evidence
    among beliefs on how many topics move: a number q means that each topic moves with probability q (1 = all of them),
    0 stands for q = 1/topics, and "one" for exactly one topic. `leak` is the largest share of knowledge failures that
    may be booked as behavior, `dead_zone` the rise of their rate that is ignored; `sudden` sees rises within days, too
    (shift.py, "Leak"). `selection` guards against labels that follow the outcome (shift.py, "Labels").
    """

    alpha: float = 0.05
    horizon_days: int = 365
    reference_days: int = 28
    pseudo: float = 4.0  # rows that a topic's baseline borrows from all topics
    nodes: int = 21  # over which a baseline's uncertainty is integrated, -3 to 3 standard errors
    weekday_sd: float = 0.3  # prior of weekday offsets (logit)
    step: int = 2  # days between possible starts
    block: int = 28  # days after which the belief in day effects is updated
    ceiling: float = 0.35  # failure rate that a topic without a baseline may have
    min_variance: float = 0.004  # no stream is assumed steadier than this (logit^2 day)
    min_rows: int = 5  # of the reference, for a topic to have a baseline
    leak: float = 0.15
    dead_zone: float = 0.03
    sudden: bool = True
    selection: bool = True
    new_task: float = 0.06
    spread: tuple[tuple[float | str, float], ...] = ((1.0, 0.6), (0.25, 0.15), (ONE, 0.25))
    events: Mapping[str, EventTest] = field(default_factory=lambda: _EVENTS)

    def __post_init__(self) -> None:
        """ConfigError when the shares of evidence do not sum to one: the error rate would not be alpha."""
        total = self.new_task + sum(test.weight for test in self.events.values())
        sums = {"weights of events and new_task": total, "weights of spread": sum(w for _, w in self.spread)}
        for name, test in self.events.items():
            sums[f"all_weights of {name}"] = sum(test.all_weights)
            sums[f"few_weights of {name}"] = sum(test.few_weights)
        for name, value in sums.items():
            if abs(value - 1) > 1e-9:
                raise ConfigError(f"decision: the {name} sum to {value:g}", expected="1, so that alpha holds")
        if not 0 < self.alpha < 1 or self.horizon_days < 1 or self.reference_days < 7:
            raise ConfigError(
                f"decision: alpha {self.alpha:g}, horizon_days {self.horizon_days}, reference_days "
                f"{self.reference_days}",
                expected="0 < alpha < 1, at least one day of horizon and seven of reference",
            )

    @property
    def threshold(self) -> float:
        """c: the test fires when its evidence reaches horizon/alpha (Ville's inequality; shift.py)."""
        return self.horizon_days / self.alpha

    @property
    def digest(self) -> str:
        """Identity of the test: settings and version of the formulas."""
        return digest([VERSION, json.dumps(asdict(self), sort_keys=True)])


def restated(threshold: float, restatements: int) -> float:
    """Threshold of the r-th restatement of history by corrections: c (r+1)(r+2), and c for the first statement.

    All restatements together may add alpha/2 to the probability of a false trigger: sum over r >= 1 of 1/((r+1)(r+2)).
    """
    return threshold * _raised(restatements)


def unrevised(threshold: float, restatements: int) -> float:
    """c, from the threshold of the r-th restatement."""
    return threshold / _raised(restatements)


def _raised(restatements: int) -> int:
    return (restatements + 1) * (restatements + 2) if restatements else 1
