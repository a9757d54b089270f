"""What other policies would have done on the same history: when they would have fine-tuned, and what that costs.

Tests with other settings are replayed (replay.py); schedules look at nothing: every so many days, every so many
corrected examples, from the end of the reference on. Nobody's approval is waited for, or no policy that needs it could
be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np

from assets.decision.config import ShiftConfig
from assets.decision.counts import DailyCounts
from assets.decision.policy import Action, Rules
from assets.decision.replay import History
from assets.rendering import legend, png

WEEK = 7


@dataclass(frozen=True, slots=True)
class Alternatives:
    """What is tried beside the settings as they are: error rates, days of cool-down, examples that a fine-tune needs,
    and schedules of one fine-tune every so many examples."""

    alphas: Sequence[float] = (0.01, 0.2)
    cool_downs: Sequence[int] = (60,)
    min_examples: Sequence[int] = (50, 500)
    every: Sequence[int] = (1000,)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one policy would have done. `triggers` are the days on which it asked (evidence reached its threshold, or
    the schedule said so), `finetunes` those on which it fine-tuned, `early` how many of these came before the change.
    Delays are days from the change to the first of each on or after it, None for never."""

    policy: str
    triggers: tuple[date, ...]
    finetunes: tuple[date, ...]
    gpu_hours: float
    money: float
    early: int
    delay: int | None
    finetune_delay: int | None
    avoided: float  # money that the weekly schedule would have cost more


@dataclass(frozen=True, slots=True)
class Comparison:
    """All policies on one history; the settings as they are come first. `changed` is the day that delays count from;
    `given` says whether a person named it, or it is the estimate of the first policy."""

    first_day: date
    last_day: date
    changed: date | None
    given: bool
    currency: str
    outcomes: tuple[Outcome, ...]

    def rows(self) -> Iterator[dict[str, Any]]:
        """As `twohands replay --what-if` prints it: a policy a row."""
        for one in self.outcomes:
            yield {
                "policy": one.policy,
                "triggers": [day.isoformat() for day in one.triggers],
                "finetunes": [day.isoformat() for day in one.finetunes],
                "gpu_hours": one.gpu_hours,
                "money": one.money,
                "currency": self.currency,
                "changed": self.changed.isoformat() if self.changed else None,
                "changed_is": "given" if self.given else "estimated",
                "finetunes_before_change": one.early,
                "delay_days": one.delay,
                "finetune_delay_days": one.finetune_delay,
                "avoided_against_weekly": one.avoided,
            }


@dataclass(frozen=True, slots=True)
class _Course:
    policy: str
    triggers: tuple[date, ...]
    finetunes: tuple[date, ...]
    changed: date | None = None


def compare(
    counts: DailyCounts,
    config: ShiftConfig,
    rules: Rules,
    alternatives: Alternatives = Alternatives(),
    changed: date | None = None,
) -> Comparison:
    """Every alternative on these counts."""
    free = replace(rules, require_approval=False)
    history = History(counts, config)
    first = _tested(f"as set (alpha {config.alpha:g})", history, free)
    courses = [first, *_others(history, free, alternatives)]
    origin = changed or first.changed
    weekly = next(course for course in courses if course.policy == "weekly")
    outcomes = tuple(_outcome(course, rules, origin, weekly) for course in courses)
    return Comparison(counts.first_day, counts.last_day, origin, changed is not None, rules.currency, outcomes)


def _others(history: History, rules: Rules, tried: Alternatives) -> Iterator[_Course]:
    horizon = history.config.horizon_days
    for alpha in tried.alphas:
        if alpha != history.config.alpha:
            yield _tested(f"alpha {alpha:g}", history, rules, horizon / alpha)
    for days in tried.cool_downs:
        if days != rules.cool_down_days:
            yield _tested(f"cool-down {days} days", history, replace(rules, cool_down_days=days))
    for least in tried.min_examples:
        if least != rules.min_examples:
            yield _tested(f"at least {least:,} examples", history, replace(rules, min_examples=least))
    monitored = range(history.config.reference_days, history.counts.days)
    yield _scheduled("weekly", history, monitored[WEEK - 1 :: WEEK])
    for step in tried.every:
        got = np.cumsum(history.examples[monitored.start :]) // step
        full = np.flatnonzero(np.diff(got, prepend=0) > 0) + monitored.start
        yield _scheduled(f"every {step:,} examples", history, full.tolist())


def _tested(policy: str, history: History, rules: Rules, threshold: float | None = None) -> _Course:
    triggers, finetunes, changed = list[date](), list[date](), None
    for day in history.days(rules, threshold):
        if day.fired and (not triggers or day.fired > triggers[-1]):
            triggers.append(day.fired)
            changed = changed or day.changed
        if day.verdict.action is Action.FINETUNE:
            finetunes.append(day.day)
    return _Course(policy, tuple(triggers), tuple(finetunes), changed)


def _scheduled(policy: str, history: History, numbers: Sequence[int]) -> _Course:
    days = tuple(history.day(number) for number in numbers)
    return _Course(policy, days, days)


def _outcome(course: _Course, rules: Rules, changed: date | None, weekly: _Course) -> Outcome:
    count = len(course.finetunes)
    return Outcome(
        policy=course.policy,
        triggers=course.triggers,
        finetunes=course.finetunes,
        gpu_hours=float(count * rules.finetune_hours),
        money=float(count * rules.cost),
        early=sum(1 for day in course.finetunes if changed and day < changed),
        delay=_delay(course.triggers, changed),
        finetune_delay=_delay(course.finetunes, changed),
        avoided=float((len(weekly.finetunes) - count) * rules.cost),
    )


def _delay(days: Sequence[date], changed: date | None) -> int | None:
    return next(((day - changed).days for day in days if day >= changed), None) if changed else None


def text(found: Comparison) -> str:
    """A table for a terminal."""
    head = (
        "policy",
        "triggers",
        "fine-tunes",
        "before the change",
        "days to trigger",
        "to fine-tune",
        "GPU h",
        found.currency,
        "avoided",
    )
    lines = [
        (
            one.policy,
            str(len(one.triggers)),
            str(len(one.finetunes)),
            str(one.early),
            "-" if one.delay is None else str(one.delay),
            "-" if one.finetune_delay is None else str(one.finetune_delay),
            f"{one.gpu_hours:g}",
            f"{one.money:.2f}",
            f"{one.avoided:.2f}",
        )
        for one in found.outcomes
    ]
    how = "as given" if found.given else "as the first policy estimates it"
    change = f"The change: {found.changed}, {how}" if found.changed else "No change of behavior is known"
    return f"{columns([head, *lines])}\n{change}. Avoided: {found.currency} against the weekly schedule."


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Texts in aligned columns; the last one is not padded."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    padded = (
        "  ".join(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)) + "  " + row[-1]
        for row in rows
    )
    return "\n".join(line.rstrip() for line in padded)


def figure(found: Comparison) -> bytes:
    """PNG: a line a policy and what it spends; ticks where it asks for a fine-tune, dots where it has one."""

    def draw(axes) -> None:  # noqa: ANN001 - matplotlib's
        for place, one in enumerate(found.outcomes):
            axes.plot(one.triggers, [place] * len(one.triggers), "|", color="tab:gray", markersize=9, label="asks")
            axes.plot(
                one.finetunes, [place] * len(one.finetunes), "o", color="tab:red", markersize=5, label="fine-tunes"
            )
        if found.changed:
            how = "given" if found.given else "estimated"
            axes.axvline(found.changed, color="black", linewidth=1, linestyle=":", label=f"change, {how}")
        axes.set_yticks(range(len(found.outcomes)), [f"{one.policy}  {one.money:g}" for one in found.outcomes])
        axes.set_ylim(len(found.outcomes) - 0.5, -0.5)
        axes.set_xlim(found.first_day, found.last_day + timedelta(days=1))
        axes.tick_params(labelsize=7)
        axes.tick_params(axis="x", rotation=30)
        axes.grid(axis="y", linewidth=0.3)
        legend(axes)

    title = f"fine-tunes by policy, and {found.currency} spent"
    return png(title, draw, (8, 1.2 + 0.32 * len(found.outcomes)))
