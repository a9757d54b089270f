"""The commands for whoever looks after the slow hand's data: quarantined, erase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import click

from assets.rendering import counted
from orchestration.cli_behavior import Days, json_flag
from orchestration.progress import shown

if TYPE_CHECKING:
    from assets.behavior.erasure import Plan
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


@click.command()
@click.argument("ids", nargs=-1, metavar="ID...")
@click.option("--user", "users", multiple=True, metavar="USER", help="All interactions of this user; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Say what would be erased, and change nothing.")
@click.option("--purge-runs", is_flag=True, help="Delete the runs whose entries in Dagster's event log may quote them.")
@json_flag
@click.pass_obj
def erase(context: Context, ids: tuple[str, ...], users: tuple[str, ...], dry_run: bool, purge_runs: bool) -> None:
    """Forget interactions: by ID, or all of a user. Exit code 1 when an ID is not known.

    Tombstones are landed, their days and the corpus report rebuilt, and their texts leave lake and warehouse. Take the
    lines out of your own landing files first: those that still hold some are named (docs/runbook.md).
    """
    from assets.behavior import erasure

    if not ids and not users:
        raise click.UsageError("Give the IDs of interactions, or --user USER.")
    data = context.behavior
    with shown(context.as_json) as progress:
        if not dry_run:
            data.ingest(progress).check()  # what was landed a moment ago is to be forgotten too
        chosen = erasure.plan(data.lake, ids, users)
        runs = _quoting(context, chosen, purge=purge_runs and not dry_run)
        done = erasure.Erased() if dry_run else erasure.erase(data, chosen, progress)
    value = {
        "erased": [] if dry_run else list(chosen.ids),
        "found": list(chosen.ids),
        "unknown": list(chosen.unknown),
        "days": [day.isoformat() for day in chosen.days],
        "tombstones": done.tombstones,
        "rows_scrubbed": done.rows,
        "candidates_removed": done.candidates,
        "datasets": dict(done.datasets),
        "files": list(chosen.files),
        "runs": runs,
        "runs_purged": purge_runs and not dry_run,
    }
    context.show(value, lambda: _erased_text(value))
    if chosen.unknown:
        raise SystemExit(1)


def _quoting(context: Context, chosen: Plan, *, purge: bool) -> list[str]:
    """Runs of Dagster whose metadata may quote them; deletes these where that is wanted."""
    from orchestration import event_log

    home = event_log.folder(context.settings.home)
    if home is None:
        return []
    import dagster as dg

    with dg.DagsterInstance.from_config(str(home)) as instance:
        runs = event_log.quoting_runs(instance, chosen.days, chosen.prompts)
        if purge:
            event_log.purge(instance, runs, home)
    return runs


def _erased_text(value: Mapping[str, Any]) -> str:
    done = value["erased"] or not value["found"]
    days = ", ".join(value["days"]) or "none"
    lines = [
        f"{counted(len(value['found']), 'interaction')} {'forgotten' if done else 'would be forgotten'}, "
        f"{counted(len(value['days']), 'day')} {'rebuilt' if done else 'to rebuild'}: {days}"
    ]
    if value["unknown"]:
        lines.append(f"not known: {', '.join(value['unknown'])}")
    if value["datasets"]:
        lost = ", ".join(f"{name[:16]} ({rows} rows)" for name, rows in value["datasets"].items())
        lines.append(f"taken out of datasets: {lost}; adapters that learned from these know them (`twohands taint`)")
    if value["files"]:
        lines.append(f"take their lines out of: {', '.join(value['files'])}")
    if value["runs"]:
        what = "deleted" if value["runs_purged"] else "may quote them; --purge-runs deletes these"
        lines.append(f"{len(value['runs'])} runs in Dagster's event log {what}: {', '.join(value['runs'])}")
    return "\n".join(lines)


COMMANDS: Sequence[click.Command] = (quarantined, erase)


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
