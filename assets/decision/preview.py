"""What a person sees of the decision in the UI: the evidence against its threshold, and a verdict gate by gate."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

from assets.decision.config import unrevised
from assets.decision.policy import Verdict
from assets.decision.shift import NEW_TASK, Evidence, Reading
from assets.decision.store import Record
from assets.rendering import CHARACTERS, Markdown, Metadata, bullets, code, legend, picture, png, table

SHOWN_FORMER = 5  # readings before a correction, drawn in gray; fine-tunes of the past
_FLOOR = -1.0  # log10 M below which nothing is drawn: a tenth of the evidence of a single start
_ABOVE = 2.5  # the plot ends at this multiple of the threshold's height, or the threshold could not be seen any more
_COLORS = {
    "fail": "tab:red",
    "schema_bad": "tab:purple",
    "style": "tab:blue",
    "edit": "tab:orange",
    "format": "tab:green",
    "refusal": "tab:brown",
    NEW_TASK: "tab:cyan",
}


def of_learning() -> Metadata:
    """Before there is evidence; the same numbers as later, so that they are plotted from the first day on."""
    return {
        "state": "learning: the reference days of the release are not all closed",
        "M": 0.0,
        "days_monitored": 0,
    }


def of_evidence(
    evidence: Evidence,
    *,
    threshold: float,
    restatements: int,
    reading: Reading | None = None,
    former: Sequence[Evidence] = (),
    acted: Sequence[Evidence] = (),
) -> Metadata:
    """M of the newest day against `threshold`, the one in force after `restatements` corrections, and the label watch
    against that of an unrevised history; shares of events; the likeliest day of change; a plot. `former` holds what was
    said before those corrections, `acted` the evidence that fine-tunes have consumed."""
    newest = float(evidence.total[-1]) if len(evidence.total) else 0.0
    highest = float(evidence.total.max()) if len(evidence.total) else 0.0
    watch = float(evidence.label_watch[-1]) if len(evidence.label_watch) else 0.0
    metadata: Metadata = {
        "M": newest,
        "threshold": float(threshold),
        "M_of_threshold": newest / threshold,
        "highest_M": highest,
        "label_watch": watch,
        "label_watch_of_threshold": watch / unrevised(threshold, restatements),
        "restatements": restatements,
        "days_monitored": len(evidence.total),
    }
    if len(evidence.total):
        metadata["log10_M_of_threshold"] = _log10(newest) - _log10(threshold)
    metadata |= {f"share_{event}": round(share, 6) for event, share in shares(evidence).items()}
    fired = evidence.fired(threshold)
    metadata["fired"] = fired.isoformat() if fired else "no"
    if reading and reading.changed:
        metadata["changed"] = reading.changed.isoformat()
    if reading and reading.topics:
        strongest = sorted(reading.topics.items(), key=lambda item: (-item[1], item[0]))
        head = ("topic", f"log10 Bayes factor of {reading.event} {reading.size:+g} logit")
        metadata["topics"] = table(head, [(topic, f"{value:+.2f}") for topic, value in strongest])
    if len(evidence.total) or acted:
        metadata["plot"] = plot(evidence, threshold=threshold, reading=reading, former=former, acted=acted)
    return metadata


def of_verdict(verdict: Verdict, former_sentences: Sequence[str] = ()) -> Metadata:
    """The action, its sentence, what every gate measured, the cost; what was said before, newest first."""
    rows = [(gate.name, gate.measured, gate.required, "yes" if gate.passed else "no") for gate in verdict.reasons]
    sentence = " ".join(code(part) for part in textwrap.wrap(verdict.sentence, CHARACTERS))
    gates = table(("gate", "measured", "required", "holds"), rows, len(rows))
    metadata: Metadata = {
        "action": str(verdict.action),
        "sentence": verdict.sentence,
        "gates": Markdown(f"**{verdict.action}** {sentence}\n\n{gates}"),
    }
    metadata |= {f"cost_{name}": float(value) for name, value in verdict.cost.items()}
    if former_sentences:
        metadata["said_before"] = bullets(former_sentences)
    return metadata


def shares(evidence: Evidence) -> Mapping[str, float]:
    """Each event's share of the newest day's M; all zero where nothing is monitored."""
    total = float(evidence.total[-1]) if len(evidence.total) else 0.0
    return {event: float(part[-1]) / total if total else 0.0 for event, part in evidence.by_event.items()}


def around(record: Record, kept: Sequence[Record]) -> tuple[list[Evidence], list[Evidence]]:
    """What is drawn beside a record, out of those that are kept: `former` and `acted` of `of_evidence`, the newest."""
    same = [one for one in kept if one.contract == record.contract]
    former = [one for one in same if one.since == record.since and one.restatements < record.restatements]
    last = {one.since: one for one in same if one.since < record.since}  # of each watch that a fine-tune has ended
    drawn = former[-SHOWN_FORMER:], [last[since] for since in sorted(last)][-SHOWN_FORMER:]
    return [one.as_evidence() for one in drawn[0]], [one.as_evidence() for one in drawn[1]]


def figure(record: Record, kept: Sequence[Record]) -> bytes:
    """PNG: what `plot` draws of a record; b"" where no day was monitored yet, nor consumed."""
    former, acted = around(record, kept)
    if not record.total and not acted:
        return b""
    draw = _drawing(record.as_evidence(), record.threshold, record.as_reading(), former, acted)
    return png(f"evidence of a shift: {record.variant}, up to {record.day}", draw, (9, 4.2))


def plot(
    evidence: Evidence,
    *,
    threshold: float,
    reading: Reading | None = None,
    former: Sequence[Evidence] = (),
    acted: Sequence[Evidence] = (),
) -> Markdown:
    """log10 M by day; the colors divide its height by the shares of events. Gray: what was said before corrections.
    Each of `acted` ends with the fine-tune that consumed it; M counts anew from there."""
    return picture("evidence of a shift", _drawing(evidence, threshold, reading, former, acted))


def _drawing(
    evidence: Evidence,
    threshold: float,
    reading: Reading | None,
    former: Sequence[Evidence],
    acted: Sequence[Evidence],
) -> Callable[[Any], None]:
    top = max(_log10(threshold), 1.0) * _ABOVE
    trajectories = [one for one in (*acted, evidence) if len(one.total)]

    def draw(axes) -> None:  # noqa: ANN001 - matplotlib's
        for one in former:
            axes.plot(_days(one), _height(one.total, top), color="0.65", linewidth=0.8)
        for one in trajectories:
            _stack(axes, one, top)
        for one in acted:
            axes.axvline(one.last_day, color="tab:green", linewidth=1.2, label="fine-tune")
        axes.axhline(_log10(threshold), color="black", linewidth=0.8, linestyle="--", label=f"c = {threshold:,.0f}")
        if reading and reading.changed:
            axes.axvline(reading.changed, color="tab:gray", linewidth=1, linestyle=":", label="change")
        crossed = [*(one.fired() for one in acted), evidence.fired(threshold)]
        for first in filter(None, crossed):
            axes.axvline(first, color="tab:red", linewidth=1, label="crossed")
        highest = max(float(_height(one.total, top).max()) for one in trajectories)
        axes.set_ylim(_FLOOR, max(highest, _log10(threshold)) + 0.5)
        axes.set_ylabel("log10 M", fontsize=7)
        axes.tick_params(labelsize=6)
        axes.tick_params(axis="x", rotation=30)
        legend(axes, fontsize=5, loc="upper left", ncols=3)

    return draw


def _stack(axes, one: Evidence, top: float) -> None:  # noqa: ANN001 - matplotlib's
    """The height of one trajectory, divided by the shares of events."""
    days, floor = _days(one), np.full(len(one.total), _FLOOR)
    height, total = _height(one.total, top) - _FLOOR, np.where(one.total > 0, one.total, 1.0)
    for event, part in one.by_event.items():
        upper = floor + height * part / total
        axes.fill_between(days, floor, upper, color=_COLORS.get(event, "0.8"), alpha=0.6, linewidth=0, label=event)
        floor = upper
    axes.plot(days, _height(one.total, top), color="black", linewidth=1)


def _days(evidence: Evidence) -> list[date]:
    return [evidence.first_day + timedelta(days=day) for day in range(len(evidence.total))]


def _height(total: np.ndarray, top: float) -> np.ndarray:
    return np.clip(np.log10(np.maximum(total, 1e-300)), _FLOOR, top)


def _log10(value: float) -> float:
    return float(np.log10(max(value, 1e-300)))
