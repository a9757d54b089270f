"""What a person sees of releases in the UI."""

from __future__ import annotations

from collections.abc import Sequence

from assets.rendering import Markdown, Metadata, bullets, code, table
from assets.serving.candidates import Candidate
from assets.serving.release import Move
from assets.serving.releases import Served

SHOWN = 30  # moves and candidates in a table
_MOVED = {"promote": "promote", "rollback": "rollback to"}


def of_release(current: Move | None, served: Served, history: Sequence[Move], found: Sequence[Candidate]) -> Metadata:
    """The pointer, where it pointed before (newest first), what was evaluated, and what is wrong with the files."""
    metadata: Metadata = {
        "release": current.id if current else "base",
        "served": served.id,
        "moves": current.number if current else 0,
    }
    if current is not None:
        pointer = current.pointer | {"encoder": current.pointer["encoder"][:16]}
        rows = [(name, value or "-") for name, value in pointer.items()]
        metadata["pointer"] = table(("", ""), rows, len(rows))
        metadata["history"] = history_table(history)
    if found:
        passed = {True: "passed", False: "refused"}
        rows = [(one.id, _minute(one.evaluated), passed[one.promoted], one.sentence) for one in found]
        metadata["candidates"] = table(("release", "evaluated (UTC)", "gate", "what it said"), rows, SHOWN)
    if served.problems:
        said = Markdown(f"**served from {code(served.id)} meanwhile**\n\n{bullets(served.problems)}")
        metadata["problems"] = said
    return metadata


def history_table(history: Sequence[Move]) -> Markdown:
    """Moves, newest first: what, when, who, why, and whether a person overrode the gate. As narrow as the page: the
    gate's words stand behind those of who moved it, where they are others."""
    rows = [
        (
            str(move.number),
            f"{_MOVED[move.action]} {move.id}" + (" (forced)" if move.forced else ""),
            _minute(move.created),
            move.by,
            move.why + (f" (gate: {move.gate})" if move.gate not in ("", move.why) else ""),
        )
        for move in history
    ]
    return table(("", "what", "when (UTC)", "by", "why"), rows, SHOWN)


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")
