"""The commands for whoever looks after the slow hand's data: quarantined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import click

from orchestration.cli_behavior import Days, json_flag

if TYPE_CHECKING:
    from orchestration.cli import Context


@click.command()
@click.option(
    "--days", "days_", type=Days(), metavar="A..B", help="Only lines that were put aside on these days (UTC)."
)
@click.option("--file", "pattern", metavar="GLOB", help="Only lines of these landed files.")
@click.option("--reason", metavar="REASON", help="Only lines that were refused for this reason.")
@click.option("--limit", default=1_000, show_default=True, type=click.IntRange(1), help="Lines to show.")
@json_flag
@click.pass_obj
def quarantined(
    context: Context, days_: tuple[date, date] | None, pattern: str | None, reason: str | None, limit: int
) -> None:
    """Lines of landed files that broke the contract: file, line, reason, and when they were put aside.

    What a line says is not kept. Mend the file in place and it is read again (docs/interactions.md).
    """
    rows = [_shown(row) for row in context.behavior.quarantined()]
    first, last = (day.isoformat() for day in days_ or (date.min, date.max))
    rows = [
        row
        for row in rows
        if (pattern is None or fnmatchcase(row["file"], pattern))
        and (reason is None or row["reason"] == reason)
        and first <= row["quarantined_at"][:10] <= last
    ]
    value = {
        "total": len(rows),
        "reasons": _counts(row["reason"] for row in rows),
        "files": _counts(row["file"] for row in rows),
        "days": dict(sorted(Counter(row["quarantined_at"][:10] for row in rows).items())),
        "quarantined": rows[:limit],
    }
    context.show(value, lambda: _text(value))


COMMANDS: Sequence[click.Command] = (quarantined,)


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    at = datetime.fromtimestamp(row["at"], UTC).isoformat(timespec="seconds")
    return {name: row[name] for name in ("file", "line", "reason", "detail")} | {"quarantined_at": at}


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _text(value: Mapping[str, Any]) -> str:
    """Totals, and a line for each quarantined one; line 0 is the whole file."""
    rows, total = value["quarantined"], value["total"]
    if not total:
        return "no line is quarantined"
    reasons = ", ".join(f"{count} {name}" for name, count in value["reasons"].items())
    lines = [f"{total} lines of {len(value['files'])} files: {reasons}"]
    for row in rows:
        place = f"{row['file']}:{row['line']}" if row["line"] else row["file"]
        lines.append(f"{row['quarantined_at'][:19]}Z  {place}: {row['reason']}: {row['detail']}")
    if len(rows) < total:
        lines.append(f"... and {total - len(rows)} more (--limit)")
    return "\n".join(lines)
