"""The commands of the slow hand's data: ingest, backfill, daily, gaps."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assets.rendering import counted
from orchestration.progress import shown

if TYPE_CHECKING:
    from assets.behavior.landing.folder import IngestReport
    from assets.behavior.pipeline import BackfillReport, BehaviorData
    from orchestration.cli import Context

MAX_DAYS = 3_660  # in one backfill: a typing error in a year must not rebuild a century


class Days(click.ParamType):
    """A day, or a range of days A..B with both ends."""

    name = "DAYS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[date, date]:
        """("2026-11-01", "2026-11-03") of "2026-11-01..2026-11-03"."""
        if isinstance(value, tuple):
            return value
        first, separator, last = str(value).partition("..")
        try:
            found = date.fromisoformat(first), date.fromisoformat(last if separator else first)
        except ValueError:
            self.fail(
                f"received {value!r}. Expected a day or a range of days, as in 2026-11-01..2026-11-03", param, ctx
            )
        if found[0] > found[1]:
            self.fail(f"received {value!r}. Expected the earlier day first", param, ctx)
        if (found[1] - found[0]).days >= MAX_DAYS:
            self.fail(f"received {value!r}. Expected at most {MAX_DAYS} days", param, ctx)
        return found


def json_flag(command: Any) -> Any:
    """The --json option of a command."""

    def remember(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            context.obj.as_json = True

    return click.option(
        "--json", is_flag=True, expose_value=False, callback=remember, help="Print one machine-readable object."
    )(command)


@click.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--format",
    "format_",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "interactions", "openai", "langfuse"]),
    help="What the files hold.",
)
@click.option(
    "--replace", "replacing", is_flag=True, help="Withdraw what was given under the same names before, all versions."
)
@click.option("--all-days", is_flag=True, help="Look at every day of the warehouse's logs, not at the newest alone.")
@click.option(
    "--recover", is_flag=True, help="Make the lost or damaged ledger of the landing folder again, then read it anew."
)
@json_flag
@click.pass_obj
def ingest(
    context: Context, files: tuple[Path, ...], format_: str, replacing: bool, all_days: bool, recover: bool
) -> None:
    """Read interactions from FILES (.jsonl, .gz, .parquet), or without any from the landing folder and the warehouse.

    Prints the days that are dirty now; the sensor rebuilds them, or `twohands backfill --days A..B`. Exit code 1 where
    one of FILES holds refused lines alone, or an origin cannot be looked at; all others are read.
    """
    if replacing:
        _check_names(files)
    if all_days and (files or not context.settings.warehouse.logs):
        raise click.UsageError("--all-days is for logs in the warehouse: without FILES, and with [warehouse.logs] set.")
    if recover and files:
        raise click.UsageError("--recover is without FILES: give them once the ledger is there again.")
    data, days = context.behavior, None if all_days else ()
    found = data.landing.recover() if recover else None
    with shown(context.as_json) as progress:
        reports = [_given(data, file, format_, replacing) for file in files] if files else [data.ingest(progress, days)]
    dirty = [day.isoformat() for day in data.dirty_inputs()]
    refused = {path: why for report in reports for path, why in report.left_out().items()}
    total = {
        name: sum(getattr(report, name) for report in reports)
        for name in ("accepted", "corrected", "deleted", "quarantined")
    }
    more: dict[str, Any] = {"refused": refused} if refused else {}
    if found is not None:
        more["recovered"] = {"files": found.files, "events": found.events, "lost": list(found.lost)}
    if replacing:
        more["replaced"] = sum(report.earlier for report in reports)
    context.show({**total, "days": dirty, **more}, lambda: _ingested(total, dirty))
    for name in found.lost if found else ():
        click.echo(f"lost: {name}; its events are there again where its file was still in the landing folder", err=True)
    for path, detail in refused.items():
        click.echo(f"{path} was not read: {detail}", err=True)
    for reason, count in sorted(Counter(_reasons(reports)).items()):
        click.echo(f"{counted(count, 'line')} quarantined: {reason} (docs/interactions.md)", err=True)
    for file, report in zip(files, reports, strict=False):
        if report.fruitless:
            click.echo(_fruitless(file.name, report, format_), err=True)
    if any(report.problems or report.fruitless for report in reports):
        raise SystemExit(1)  # the rest was read


@click.command()
@click.option(
    "--days", "days_", type=Days(), required=True, metavar="A..B", help="A day or a range, both ends included."
)
@json_flag
@click.pass_obj
def backfill(context: Context, days_: tuple[date, date]) -> None:
    """Rebuild days from the landed interactions to the marts."""
    from assets.behavior.pipeline import span

    first, last = max(days_[0], context.settings.behavior.first_day), min(days_[1], datetime.now(UTC).date())
    if first > last:
        raise click.BadParameter(
            f"received {days_[0]}..{days_[1]}. Expected days from {context.settings.behavior.first_day} "
            "(behavior.first_day) to today",
            param_hint="--days",
        )
    with shown(context.as_json) as progress:
        report = context.behavior.backfill(span(first, last), progress)
    context.show(_backfill_json(report), lambda: _backfill_text(report))


@click.command()
@click.option("--days", "days_", type=Days(), metavar="A..B", help="Only these days.")
@click.pass_obj
def daily(context: Context, days_: tuple[date, date] | None) -> None:
    """Daily counts, as JSON lines: how many interactions were eligible for an event (n) and had it (S)."""
    for row in context.behavior.daily(*(days_ or (None, None))):
        click.echo(json.dumps(row, ensure_ascii=False))


@click.command()
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="Rows to show.")
@json_flag
@click.pass_obj
def gaps(context: Context, limit: int) -> None:
    """What to write or mend in the corpus: documents behind knowledge failures, worst first."""
    from assets.behavior.gaps import as_json, markdown

    found = context.behavior.gaps(limit, refresh=True)
    context.show({"gaps": as_json(found)}, lambda: markdown(found))


COMMANDS: Sequence[click.Command] = (ingest, backfill, daily, gaps)


def _check_names(files: Sequence[Path]) -> None:
    if not files:
        raise click.UsageError("--replace needs FILES: a file of the landing folder is replaced by changing it there.")
    twice = [name for name, count in Counter(file.name for file in files).items() if count > 1]
    if twice:
        raise click.UsageError(f"--replace: two files are named {twice[0]}, and the second would replace the first.")


def _given(data: BehaviorData, file: Path, format_: str, replacing: bool) -> IngestReport:
    """Reads one file by hand; says so where other content stands under its name."""
    report = data.landing.ingest(file.name, file.read_bytes(), format_, replacing=replacing)
    if report.earlier and not replacing:
        click.echo(
            f"{file.name}: other content was given under this name before ({report.earlier} versions) and still "
            f"counts; `twohands ingest --replace {file.name}` withdraws what this file lacks",
            err=True,
        )
    return report


def _fruitless(name: str, report: IngestReport, format_: str) -> str:
    said = f"{name}: nothing of it was accepted; `twohands quarantined --file '*-{name}'` says why, line by line"
    unknown = format_ == "auto" and set(report.reasons) == {"missing_field"}
    return f"{said}; if this is an export, name its format (--format)" if unknown else said


def _ingested(total: Mapping[str, int], dirty: Sequence[str]) -> str:
    from assets.behavior.pipeline import ranges

    counts = ", ".join(f"{count} {name}" for name, count in total.items())
    if not dirty:
        return f"{counts}; no day changed"
    found = ranges(date.fromisoformat(day) for day in dirty)
    lines = [f"  twohands backfill --days {first}..{last}" for first, last in found]
    return "\n".join([f"{counts}; {counted(len(dirty), 'day')} to rebuild:", *lines])


def _reasons(reports: Sequence[IngestReport]) -> Iterable[str]:
    return (reason for report in reports for reason, count in report.reasons.items() for _ in range(count))


def _backfill_json(report: BackfillReport) -> dict[str, Any]:
    return {
        "days": [day.isoformat() for day in report.days],
        "interactions": report.interactions,
        "failures": dict(report.verdicts),
        "daily_rows": report.daily_rows,
        "seconds": round(report.seconds, 3),
    }


def _backfill_text(report: BackfillReport) -> str:
    verdicts = ", ".join(_counted(report.verdicts.items())) or "none"
    return (
        f"{counted(len(report.days), 'day')} rebuilt: {report.interactions:,} interactions, failures: {verdicts}; "
        f"{report.daily_rows:,} rows of behavior_daily in {report.seconds:.1f} s"
    )


def _counted(items: Iterable[tuple[str, int]]) -> list[str]:
    return [f"{count} {name}" for name, count in sorted(items)]
