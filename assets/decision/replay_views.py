"""A replay as people see it: a table of runs of days, a figure of the evidence and of what was said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import groupby

import numpy as np

from assets.decision.policy import Action
from assets.decision.replay import Day
from assets.decision.whatif import columns
from assets.rendering import legend, png

COLORS = {
    Action.WAIT: "0.8",
    Action.PROPOSE: "tab:orange",
    Action.FINETUNE: "tab:red",
    Action.ROLLBACK: "tab:purple",
    Action.FIX_CORPUS: "tab:blue",
    Action.BLOCKED: "tab:brown",
}
_FLOOR, _ABOVE = -1.0, 2.5  # log10 M; multiples of the threshold's height


def text(days: Sequence[Day]) -> str:
    """A line for each run of days on which the same was said, with the last day's reason."""
    rows = [("days", "n", "highest M", "of threshold", "fired", "verdict", "reason on the last day")]
    for (verdict, fired, _), group in groupby(days, key=_said):
        run = list(group)
        highest = max(day.evidence for day in run)
        span = f"{run[0].day}..{run[-1].day}" if len(run) > 1 else str(run[0].day)
        ratio = highest / run[-1].threshold
        rows.append(
            (
                span,
                str(len(run)),
                f"{highest:.3g}",
                f"{ratio:.0%}" if ratio <= 10 else f"{ratio:.2g} x",
                str(fired or "-"),
                str(verdict),
                run[-1].verdict.sentence,
            )
        )
    return columns(rows)


def _said(day: Day) -> tuple[Action, date | None, bool]:
    """What makes a run of days; the third is whether the reference was still being learnt."""
    return day.verdict.action, day.fired, _monitored(day)


def _monitored(day: Day) -> bool:
    return day.verdict.reasons[0].passed


def figure(days: Sequence[Day], title: str) -> bytes:
    """PNG: log10 M against the threshold, with the days on which it was crossed and the estimated changes.

    Reference days are gray. The strip below shows each day's verdict, red lines show fine-tunes.
    """
    dates = [day.day for day in days]
    limit = np.log10(days[0].threshold)
    top = max(limit, 1.0) * _ABOVE
    logs = np.log10(np.maximum([day.evidence for day in days], 1e-300))
    height = np.clip(logs, _FLOOR, top)

    def draw(axes) -> None:  # noqa: ANN001 - matplotlib's
        monitored = np.array([day.evidence > 0 for day in days])
        axes.plot(dates, np.where(monitored, height, np.nan), color="black", linewidth=1, label="evidence M")
        axes.axhline(limit, color="black", linewidth=0.8, linestyle="--", label=f"c = {days[0].threshold:,.0f}")
        for known, group in groupby(days, key=_monitored):
            run = list(group)
            if not known:
                axes.axvspan(run[0].day, run[-1].day, color="0.93", linewidth=0, label="reference days")
        for fired, changed in _crossings(days):
            axes.axvline(fired, color="black", linewidth=0.8, linestyle=":", label="crossed")
            if changed:
                axes.axvline(changed, color="tab:green", linewidth=1, linestyle=":", label="change, estimated")
        for action, color in COLORS.items():
            said = [day.day for day in days if day.verdict.action is action]
            if said:
                axes.plot(said, [_FLOOR - 0.4] * len(said), "s", color=color, markersize=3, label=str(action))
        for day in days:
            if day.verdict.action is Action.FINETUNE:
                axes.axvline(day.day, color=COLORS[Action.FINETUNE], linewidth=1)
        axes.set_ylim(_FLOOR - 0.8, max(float(height.max()), limit) + 0.5)
        axes.set_ylabel(f"log10 M, cut at {top:.1f}" if logs.max() > top else "log10 M", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.tick_params(axis="x", rotation=30)
        legend(axes)

    return png(title, draw, (8, 3.2))


def _crossings(days: Sequence[Day]) -> Iterator[tuple[date, date | None]]:
    """Each first day of evidence beyond the threshold, with the last estimate of when the change was."""
    for fired, group in groupby(days, key=lambda day: day.fired):
        if fired:
            yield fired, list(group)[-1].changed
