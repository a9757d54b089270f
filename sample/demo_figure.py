"""The figure of both hands over time: what the fast hand did at each event, and what the slow hand saw day by day."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from demo_story import Event

from assets.decision.store import Record

SIZE, DOTS = (8.0, 5.2), 100
ABOVE = 2.5  # the lower panel ends at this multiple of the threshold's height
NAMES = {
    "index": "index\nbuilt", "edit": "document\nedited", "wait": "ordinary\ndays", "shift": "shift,\nfine-tune",
    "manner": "asked\nagain", "correct": "day\ncorrected", "back": "rollback",
}  # fmt: skip


def figure(events: Sequence[Event], records: Sequence[Record], marks: dict[str, date]) -> bytes:
    """PNG: index versions and embedded passages for each event; log10 M by day, with release and rollback."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=SIZE, dpi=DOTS, layout="constrained")
    upper, lower = drawn.subplots(2, 1)
    _fast(upper, events)
    _slow(lower, records, marks)
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _fast(axes: Any, events: Sequence[Event]) -> None:
    places = range(len(events))
    bars = axes.bar(places, [event.embedded for event in events], color="tab:blue", width=0.5)
    axes.bar_label(bars, fontsize=8)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0, max([event.embedded for event in events] or [1]) * 6 + 1)
    axes.set_ylabel("passages embedded", fontsize=8, color="tab:blue")
    axes.set_xticks(list(places), [NAMES.get(event.name, event.name) for event in events], fontsize=8)
    axes.tick_params(axis="y", labelsize=7)
    versions = axes.twinx()
    numbers = [event.version for event in events]
    versions.step(places, numbers, where="mid", color="tab:orange", marker="o", markersize=3)
    versions.set_ylim(0, max(numbers or [1]) + 2)
    versions.set_yticks(range(max(numbers or [1]) + 2))
    versions.set_ylabel("index version", fontsize=8, color="tab:orange")
    versions.tick_params(labelsize=7)
    axes.set_title("the fast hand: documents move the index, behavior does not", fontsize=9)


def _slow(axes: Any, records: Sequence[Record], marks: dict[str, date]) -> None:
    axes.set_title("the slow hand: evidence of a shift, by day", fontsize=9)
    axes.set_ylabel("log10 M", fontsize=8)
    axes.tick_params(labelsize=7)
    watched = [record for record in records if record.total]
    if not watched:
        axes.text(0.5, 0.5, "no day was monitored", ha="center", transform=axes.transAxes)
        return
    top = max(math.log10(record.threshold) for record in watched) * ABOVE
    last = {record.since: record for record in watched}  # the newest reading of each watch
    for record in last.values():
        days = [record.since + timedelta(days=number) for number in range(len(record.total))]
        height = [min(max(math.log10(max(value, 1e-9)), -1.0), top) for value in record.total]
        axes.plot(days, height, color="tab:red", linewidth=1.5, label="evidence")
        axes.axhline(math.log10(record.threshold), color="black", linewidth=0.8, linestyle="--", label="threshold")
    fired = next((record.fired for record in watched if record.fired), None)
    lines = {
        "threshold crossed": (fired, "tab:gray", ":"),
        "fine-tune and release, of the evidence up to here": (marks.get("release"), "tab:green", "-"),
        "rollback, on the day of the demo": (marks.get("rollback"), "tab:purple", "-."),
    }
    for name, (day, color, style) in lines.items():
        if day is not None:
            axes.axvline(day, color=color, linestyle=style, linewidth=1.5, label=name)
    axes.set_ylim(-1.2, top + 0.4)
    if max(max(record.total) for record in watched) > 10**top:
        highest = max(max(record.total) for record in watched)
        axes.text(0.99, 0.9, f"up to M = {highest:.0e}", ha="right", fontsize=7, transform=axes.transAxes)
    handles, names = axes.get_legend_handles_labels()
    once = dict(zip(names, handles, strict=True))
    axes.legend(once.values(), once.keys(), fontsize=7, loc="upper left")
