"""`twohands replay`: what the decision would have said on each day of a history, and what other policies would have."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assets.fingerprints import sha256_text
from assets.rendering import counted
from orchestration.progress import shown

if TYPE_CHECKING:
    from assets.decision.config import ShiftConfig
    from assets.decision.counts import DailyCounts
    from assets.decision.whatif import Alternatives
    from orchestration.cli import Context
    from orchestration.decision_files import History
    from orchestration.settings import DecisionSettings

_LIST = "May be repeated."
NAMED = 40  # characters of a variant's name that a figure and its file show


class Day(click.ParamType):
    """A day."""

    name = "DAY"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """date(2026, 11, 3) of "2026-11-03"."""
        try:
            return value if isinstance(value, date) else date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"received {value!r}. Expected a day, as in 2026-11-03", param, ctx)


def drawable(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Refuses a figure that could not be written, before minutes of work."""
    if value is not None and value.suffix.lower() != ".png":
        raise click.BadParameter(f"received {str(value)!r}. Expected a file that ends in .png", ctx, param)
    if value is not None and not value.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {str(value.parent)!r}: make it first", ctx, param)
    return value


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked of each variant."""

    table: bool
    figure: Path | None
    alternatives: Alternatives | None  # None for no comparison
    changed: date | None
    alpha: float | None


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option(
    "--interactions",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Raw interactions in place of FILE: landed, attributed and counted in a temporary home.",
)
@click.option("--variant", metavar="V", help="Only this variant; its keys in twohands.toml hold.")
@click.option("--table", is_flag=True, help="A table for people, in place of JSON lines.")
@click.option(
    "--figure",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=drawable,
    metavar="PNG",
    help="Draw it too; of several variants each has its own file, NAME-VARIANT.png.",
)
@click.option("--what-if", is_flag=True, help="Compare policies on this history.")
@click.option("--changed", type=Day(), metavar="DAY", help="With --what-if: the day that delays count from.")
@click.option(
    "--alpha",
    multiple=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help=f"In place of decision.alpha; with --what-if: one to compare. {_LIST}",
)
@click.option("--cool-down", multiple=True, type=click.IntRange(0), help=f"With --what-if: days. {_LIST}")
@click.option("--min-examples", multiple=True, type=click.IntRange(1), help=f"With --what-if. {_LIST}")
@click.option("--every", multiple=True, type=click.IntRange(1), help=f"With --what-if: every so many examples. {_LIST}")
@click.pass_obj
def replay(
    context: Context,
    file: Path | None,
    interactions: Path | None,
    variant: str | None,
    table: bool,
    figure: Path | None,
    what_if: bool,
    changed: date | None,
    alpha: tuple[float, ...],
    cool_down: tuple[int, ...],
    min_examples: tuple[int, ...],
    every: tuple[int, ...],
) -> None:
    """Run the decision over the history of daily counts in FILE (or - for stdin), day by day.

    FILE is CSV, JSON (lines or an array) or Parquet with columns day, topic, event, n, S and perhaps variant, as
    `twohands daily` prints them. Prints a JSON line a day, or with --what-if one a policy.
    """
    if (file is None) == (interactions is None):
        raise click.UsageError("Give either FILE or --interactions DIR.")
    if not what_if and (changed or cool_down or min_examples or every or len(alpha) > 1):
        raise click.UsageError(
            "--changed, --cool-down, --min-examples, --every and a second --alpha compare policies: add --what-if."
        )
    history = _read(file) if file is not None else _landed(context, interactions or Path())
    chosen = _chosen(history, variant, context.settings.variants)
    _check_change(changed, chosen)
    wanted = _Wanted(
        table and not context.as_json,
        figure,
        _alternatives(alpha, cool_down, min_examples, every) if what_if else None,
        changed,
        alpha[0] if alpha and not what_if else None,
    )
    for name, counts in chosen.items():
        settings = context.settings.variants.get(name, context.settings.decision)
        _show(name if len(chosen) > 1 else None, counts, settings, wanted)


COMMANDS: Sequence[click.Command] = (replay,)


def _read(file: Path) -> History:
    from orchestration.decision_files import read

    if str(file) == "-":
        return read(sys.stdin.buffer.read(), "stdin")
    return read(file.read_bytes(), file.name)


def _landed(context: Context, folder: Path) -> History:
    from orchestration.raw_history import read

    with shown(context.as_json) as progress:
        found = read(context.settings, folder, progress)
    failures = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(found.failures.items())) or "none"
    click.echo(f"{counted(found.interactions, 'interaction')}; failures: {failures}", err=True)
    if not found.documents:
        click.echo(
            "no documents were synced, and without them failures stay unclear: run `twohands sync` first",
            err=True,
        )
    for reason, count in sorted(found.quarantined.items()):
        click.echo(f"{counted(count, 'line')} quarantined: {reason} (docs/interactions.md)", err=True)
    for path, why in found.left_out.items():
        click.echo(f"{path} was not read: {why}", err=True)
    return found.history


def _chosen(history: History, variant: str | None, known: Mapping[str, Any]) -> dict[str, DailyCounts]:
    """The variants to replay, and what is said of them on stderr."""
    if variant is not None and not history.named and variant in known:
        found = {variant: next(iter(history.variants.values()))}  # rows that name none, under that variant's settings
    elif variant is None or variant in history.variants:
        found = {name: counts for name, counts in history.variants.items() if variant in (None, name)}
    else:
        raise click.BadParameter(
            f"received {variant!r}. The history has: {', '.join(history.variants)}", param_hint="--variant"
        )
    for name, counts in found.items():
        empty = sum(1 for day in range(counts.days) if not any(table[day].any() for table in counts.n.values()))
        without = f", {empty} of them without interactions (zeros)" if empty else ""
        span = f"{counted(counts.days, 'day')}, {counts.first_day} to {counts.last_day}{without}"
        click.echo(f"{name}: {span}; {counted(len(counts.topics), 'topic')}", err=True)
    return found


def _check_change(changed: date | None, chosen: Mapping[str, DailyCounts]) -> None:
    first = min(counts.first_day for counts in chosen.values())
    last = max(counts.last_day for counts in chosen.values())
    if changed and not first <= changed <= last:
        raise click.BadParameter(
            f"received {changed}. Expected a day of the history: {first} to {last}", param_hint="--changed"
        )


def _alternatives(
    alpha: Sequence[float], cool_down: Sequence[int], min_examples: Sequence[int], every: Sequence[int]
) -> Alternatives:
    from assets.decision.whatif import Alternatives

    usual = Alternatives()
    return Alternatives(
        alpha or usual.alphas, cool_down or usual.cool_downs, min_examples or usual.min_examples, every or usual.every
    )


def _show(name: str | None, counts: DailyCounts, settings: DecisionSettings, wanted: _Wanted) -> None:
    """Prints and draws one variant; `name` is given where there are several."""
    from orchestration.assembly_decision import rules, shift_config

    if wanted.alpha is not None:
        settings = settings.model_copy(update={"alpha": wanted.alpha})
    config = shift_config(settings)
    if counts.days <= config.reference_days:
        click.echo(
            f"no day after the {config.reference_days} days of the reference (decision.reference_days)", err=True
        )
    show = _days if wanted.alternatives is None else _compared
    show(name, counts, config, rules(settings), wanted)


def _days(name: str | None, counts: DailyCounts, config: ShiftConfig, rules: Any, wanted: _Wanted) -> None:
    from assets.decision import replay_views as views
    from assets.decision.replay import replay as walk

    days = []
    for day in walk(counts, config, rules):
        if not wanted.table:
            click.echo(_line(name, day.row()))
        days.append(day)
    if wanted.table:
        click.echo("\n".join([*([name] if name else []), views.text(days)]))
    if wanted.figure and days:
        _file(wanted.figure, name).write_bytes(
            views.figure(days, f"evidence and verdicts{f': {name[:NAMED]}' if name else ''}")
        )


def _compared(name: str | None, counts: DailyCounts, config: ShiftConfig, rules: Any, wanted: _Wanted) -> None:
    from assets.decision import whatif

    found = whatif.compare(counts, config, rules, wanted.alternatives or whatif.Alternatives(), wanted.changed)
    if wanted.table:
        click.echo("\n".join([*([name] if name else []), whatif.text(found)]))
    else:
        for row in found.rows():
            click.echo(_line(name, row))
    if wanted.figure:
        _file(wanted.figure, name).write_bytes(whatif.figure(found))


def _line(name: str | None, row: Mapping[str, Any]) -> str:
    return json.dumps({**row, **({"variant": name} if name else {})}, ensure_ascii=False)


def _file(figure: Path, name: str | None) -> Path:
    """Where a variant is drawn: each has a file of its own, also where its name cannot be a file's."""
    if name is None:
        return figure
    plain = re.sub(r"[^\w.-]", "_", name)[:NAMED]
    return figure.with_stem(f"{figure.stem}-{plain}{'' if plain == name else f'-{sha256_text(name)[:8]}'}")
