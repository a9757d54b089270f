"""The gate: may the candidate be released? Pure; it can only refuse.

Everything is a change from the released model to the candidate on the same items, with its 95% bounds (paired.py). The
first row that fits decides; a dash means that it does not matter.

clean   told    manner better    facts hold        earlier manners hold   refusals hold   action
no      -       -                -                 -                      -               refuse: leaked
yes     no      -                -                 -                      -               refuse: not enough items
yes     yes     no               -                 -                      -               refuse: not better
yes     yes     yes              no                -                      -               refuse: less right
yes     yes     yes              yes               no                     -               refuse: forgets
yes     yes     yes              yes               yes                    no              refuse: refusals
yes     yes     yes              yes               yes                    yes             promote

    clean           no held-out item is among what the candidate was trained on
    told            there are items of every kind that the gate must read: behavior, grounded, refusal
    manner better   the lower end of the 95% interval of the gain is above 0
    facts hold      the one-sided 95% lower bound of the change in grounded correctness is above -`facts` (2 points)
    earlier hold    the same of each earlier set, above -`earlier`
    refusals hold   right refusals fell, and false ones rose, by less than `refusals`: one-sided 95% bounds again

A bound of few items is wide, so too few items refuse by themselves. A candidate that is refused is kept, marked, and
not served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from assets.behavior.evaluation.paired import Interval, smallest


class Action(StrEnum):
    """What becomes of the candidate."""

    PROMOTE = "promote"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Margins:
    """How much may be lost, in shares (0.02 = 2 points): of grounded correctness, on each earlier set, of refusals."""

    facts: float = 0.02
    earlier: float = 0.05
    refusals: float = 0.05


@dataclass(frozen=True, slots=True)
class Compared:
    """All that the gate reads. None where there were no such items. `leaks` says what of the held-out items was
    trained on; `earlier` has the manner on each earlier set that still counts."""

    manner: Interval | None
    grounded: Interval | None
    right_refusals: Interval | None
    false_refusals: Interval | None
    earlier: Mapping[str, Interval] = field(default_factory=dict)
    leaks: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Gate:
    """One row of the verdict: what was measured, and what was required. `value` is the bound that decides, and None
    where nothing could be measured."""

    name: str
    passed: bool
    measured: str
    required: str
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to promote, why in one sentence, and every gate's number."""

    action: Action
    sentence: str
    reasons: tuple[Gate, ...]

    @property
    def promoted(self) -> bool:
        """Whether every gate holds."""
        return self.action is Action.PROMOTE


def judge(compared: Compared, margins: Margins | None = None) -> Verdict:
    """The verdict; see the table above."""
    margins = margins or Margins()
    gates = (
        _clean(compared),
        _told(compared),
        _better(compared.manner),
        _holds("facts", "grounded correctness", compared.grounded, margins.facts),
        *(_holds(f"earlier: {name}", "the manner", one, margins.earlier) for name, one in _sorted(compared.earlier)),
        _holds("right refusals", "right refusals", compared.right_refusals, margins.refusals),
        _falls("false refusals", "false refusals", compared.false_refusals, margins.refusals),
    )
    failed = next((gate for gate in gates if not gate.passed), None)
    if failed is None:
        gain = compared.manner.mean if compared.manner else 0.0
        return Verdict(Action.PROMOTE, f"Promote: the manner is {_points(gain)} better, and nothing is lost.", gates)
    why = f"{_WHY[failed.name.partition(':')[0]]}: {failed.measured} ({failed.required})"
    return Verdict(Action.REFUSE, f"Refuse: {why}.", gates)


_WHY = {
    "clean": "held-out items were trained on, so nothing can be said",
    "told": "there are not enough items to tell",
    "manner": "the manner is not shown to be better",
    "facts": "the answers may be less right",
    "earlier": "an earlier manner may be forgotten",
    "right refusals": "it may answer what the passages do not say",
    "false refusals": "it may refuse what the passages say",
}


def _sorted(earlier: Mapping[str, Interval]) -> list[tuple[str, Interval]]:
    return sorted(earlier.items())


def _clean(compared: Compared) -> Gate:
    count = len(compared.leaks)
    some = "; ".join(compared.leaks[:3])
    measured = f"{count} leaked: {some}" if count else "none leaked"
    return Gate("clean", not count, measured, "no held-out item in the training data", float(count))


def _told(compared: Compared) -> Gate:
    kinds = {
        "behavior": compared.manner,
        "grounded": compared.grounded,
        "refusal": compared.right_refusals,
    }
    missing = [name for name, one in kinds.items() if one is None]
    counts = ", ".join(f"{one.items} {name}" for name, one in kinds.items() if one is not None) or "no"
    measured = f"{counts} items" + (f"; none of {', '.join(missing)}" if missing else "")
    return Gate("told", not missing, measured, "items of every kind", float(len(missing)))


def _better(one: Interval | None) -> Gate:
    required = "lower end of the 95% interval above 0"
    if one is None:
        return Gate("manner", False, "not measured", required)
    return Gate("manner", one.low > 0, f"{_points(one.mean)} {_range(one.low, one.high)}", required, one.low)


def _holds(name: str, what: str, one: Interval | None, margin: float) -> Gate:
    required = f"95% lower bound of the change in {what} above {_points(-margin)}"
    if one is None:
        return Gate(name, False, "not measured", required)
    measured = f"{_points(one.mean)}, at worst {_points(one.lower)}" + _too_few(one, margin)
    return Gate(name, one.lower > -margin, measured, required, one.lower)


def _falls(name: str, what: str, one: Interval | None, margin: float) -> Gate:
    required = f"95% upper bound of the change in {what} below {_points(margin)}"
    if one is None:
        return Gate(name, False, "not measured", required)
    measured = f"{_points(one.mean)}, at worst {_points(one.upper)}" + _too_few(one, margin)
    return Gate(name, one.upper < margin, measured, required, one.upper)


def _too_few(one: Interval, margin: float) -> str:
    """What to do about a bound that no candidate could pass."""
    needed = smallest(margin)
    return f" ({one.groups} groups; at least {needed} can tell)" if one.groups < needed else ""


def _points(share: float) -> str:
    return f"{100 * share:+.1f} points"


def _range(low: float, high: float) -> str:
    return f"({100 * low:+.1f} to {100 * high:+.1f})"
