"""What a person sees of releases in the UI."""

from __future__ import annotations

from collections.abc import Sequence

from assets.rendering import Markdown, Metadata, bullets, code, table
from assets.serving.candidates import Candidate
from assets.serving.release import Move
from assets.serving.releases import Served

SHOWN = 30  # moves and candidates in a table


def of_release(current: Move | None, served: Served, history: Sequence[Move], found: Sequence[Candidate]) -> Metadata:
    """The pointer, where it pointed before (newest first), what was evaluated, and what is wrong with the files."""
    metadata: Metadata = {
        "release": current.id if current else "base",
        "served": served.id,
        "moves": current.number if current else 0,
    }
    if current is not None:
        rows = [(name, value or "-") for name, value in current.pointer.items()]
        metadata["pointer"] = table(("", ""), rows, len(rows))
        metadata["history"] = history_table(history)
    if found:
        rows = [(one.id, one.evaluated, "passed" if one.promoted else "refused", one.sentence) for one in found]
        metadata["candidates"] = table(("release", "evaluated", "gate", "what it said"), rows, SHOWN)
    if served.problems:
        said = Markdown(f"**served from {code(served.id)} meanwhile**\n\n{bullets(served.problems)}")
        metadata["problems"] = said
    return metadata


def history_table(history: Sequence[Move]) -> Markdown:
    """Moves, newest first: what, when, who, why, and whether a person overrode the gate."""
    rows = [
        (
            str(move.number),
            move.created,
            move.action + (" (forced)" if move.forced else ""),
            move.id,
            move.release.adapter if move.release else "-",
            move.by,
            move.why,
            move.gate or "-",
        )
        for move in history
    ]
    return table(("", "when", "what", "release", "adapter", "by", "why", "gate"), rows, SHOWN)
