"""The command line. Everything the UI can start, this can too: in process, without a daemon.

Results go to stdout, all else to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage (or a question that
cannot be asked) or configuration, 3 gate refused.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from assets.errors import ConfigError, GateRefused, NothingPublished, TwohandsError
from orchestration import (
    cli_alert,
    cli_ask,
    cli_behavior,
    cli_decision,
    cli_export,
    cli_finetune,
    cli_ledger,
    cli_release,
    cli_replay,
    cli_serve,
    cli_taint,
    cli_upkeep,
)
from orchestration import cli_views as views
from orchestration.cli_behavior import json_flag
from orchestration.cli_errors import FAILED, REFUSED, Commands, guarded
from orchestration.config import load
from orchestration.progress import shown
from orchestration.settings import Settings


class Context:
    """What every command shares: the options of the group, and the fast hand made from them when it is first used."""

    def __init__(self, config: str | None, home: str | None, as_json: bool) -> None:
        self._config, self._home, self.as_json = config, home, as_json
        self._settings: Settings | None = None
        self._hand: Any = None
        self._behavior: Any = None
        self._decision: Any = None
        self._releases: Any = None

    @property
    def settings(self) -> Settings:
        """The checked settings."""
        self._settings = self._settings or load(self._config, self._home)
        return self._settings

    @property
    def hand(self) -> Any:
        """The fast hand."""
        if self._hand is None:
            from orchestration.assembly import fast_hand

            self._hand = fast_hand(self.settings)
        return self._hand

    @property
    def behavior(self) -> Any:
        """The data side of the slow hand."""
        if self._behavior is None:
            from orchestration.assembly_behavior import behavior_data

            self._behavior = behavior_data(self.settings)
        return self._behavior

    @property
    def decision(self) -> Any:
        """What stands between the hands."""
        if self._decision is None:
            from orchestration.assembly_decision import decision

            self._decision = decision(self.settings, self.behavior)
        return self._decision

    @property
    def releases(self) -> Any:
        """What answers are served from."""
        if self._releases is None:
            from orchestration.assembly import open_the_lake
            from orchestration.assembly_serving import releases

            self._releases = releases(self.settings, open_the_lake(self.settings))
        return self._releases

    def slices(self, chosen: str | None) -> list[str]:
        """The chosen slice, or all; a source's name stands for all of its shards."""
        specs = self.settings.slices()
        if chosen is None:
            return [spec.name for spec in specs]
        found = [spec.name for spec in specs if chosen in (spec.name, spec.source)]
        if not found:
            names = ", ".join(spec.name for spec in specs[:20])
            raise click.BadParameter(f"received {chosen!r}. Valid slices are: {names}", param_hint="--slice")
        return found

    def show(self, value: dict[str, Any], text: Callable[[], str]) -> None:
        """One JSON object, or the same for a person."""
        click.echo(json.dumps(value, ensure_ascii=False) if self.as_json else text())


_SLICE = click.option("--slice", "slice_", metavar="S", help="Only this slice, or all shards of this source.")
_pass = click.make_pass_decorator(Context)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", metavar="FILE", help="twohands.toml to read (or TWOHANDS_CONFIG).")
@click.option("--home", metavar="DIR", help="Folder of all state (or TWOHANDS_HOME).")
@click.option("--json", "as_json", is_flag=True, help="Print one machine-readable object on stdout.")
@click.version_option(package_name="twohands")
@click.pass_context
def cli(context: click.Context, config: str | None, home: str | None, as_json: bool) -> None:
    """Twohands: retrieval changes what a model sees, fine-tuning changes what it is."""
    context.obj = Context(config, home, as_json)


@cli.command()
@_SLICE
@json_flag
@_pass
def plan(context: Context, slice_: str | None) -> None:
    """What a sync would add, move, delete and embed, without doing it."""
    with shown(context.as_json) as progress:
        reports = [context.hand.plan(name, progress=progress) for name in context.slices(slice_)]
    context.show(views.plan_json(reports), lambda: views.plan_text(reports))


@cli.command()
@_SLICE
@click.option("--full", is_flag=True, help="Read every file again and compare every passage.")
@json_flag
@_pass
def sync(context: Context, slice_: str | None, full: bool) -> None:
    """Bring the published index up to the sources, paying for what changed."""
    reports, errors = [], {}
    with shown(context.as_json) as progress:
        for name in context.slices(slice_):
            try:
                reports.append(context.hand.sync(name, full=full, progress=progress))
            except ConfigError:
                raise  # it concerns every slice
            except TwohandsError as error:
                errors[name] = error  # one slice that fails keeps no other from being served
    context.show(views.sync_json(reports, errors), lambda: views.sync_text(reports))
    for name, error in errors.items():
        click.echo(f"{name}: {error}", err=True)
    if errors:
        sys.exit(REFUSED if all(isinstance(error, GateRefused) for error in errors.values()) else FAILED)


@cli.command()
@_SLICE
@json_flag
@_pass
def chunks(context: Context, slice_: str | None) -> None:
    """Every published passage, as JSON lines."""
    published = context.hand.vector_index.published()
    for name in context.slices(slice_):
        for passage in published.passages(name) if published else ():
            click.echo(json.dumps(views.passage_json(passage), ensure_ascii=False))


@cli.command()
@click.argument("query", required=False)
@click.option("--queries", type=click.Path(exists=True, dir_okay=False), help='JSON lines: {"query": "..."} each.')
@click.option("--k", default=5, show_default=True, type=click.IntRange(1, 1000), help="Passages for each query.")
@click.option("--where", multiple=True, metavar="KEY=VALUE", help="Only passages with this slice, title or metadata.")
@json_flag
@_pass
def search(context: Context, query: str | None, queries: str | None, k: int, where: tuple[str, ...]) -> None:
    """The best passages for a query: vector and full-text search, fused."""
    if (query is None) == (queries is None):
        raise click.UsageError("Give either QUERY or --queries FILE.")
    wanted = dict(_pair(text) for text in where)
    asked = [query] if query is not None else list(_queries(Path(queries or "")))
    if context.hand.vector_index.published() is None:
        raise NothingPublished(
            "there is no index to search: nothing is published yet, or it was deleted",
            expected="a published index",
            next_step="run `twohands sync`, or materialize knowledge/index",
        )
    found = context.hand.search(asked, k=k, where=wanted)
    if queries is not None:
        for hits in found:
            click.echo(json.dumps(views.hits_json(hits), ensure_ascii=False))
        return
    context.show(views.hits_json(found[0]), lambda: views.hits_text(found[0]))


@cli.command()
@_SLICE
@json_flag
@_pass
def rejected(context: Context, slice_: str | None) -> None:
    """Files that were refused, and why."""
    rows = context.hand.rejected(context.slices(slice_))
    context.show({"rejected": rows}, lambda: views.rejected_text(rows))


@cli.command()
@json_flag
@_pass
def status(context: Context) -> None:
    """What is published and how fresh it is; which days are built; evidence, verdicts and the month's spend."""
    from orchestration import overview_status

    facts = overview_status.facts(context.settings, lambda: context.hand, context.behavior, context.decision)
    context.show(facts, lambda: overview_status.text(facts))


@cli.command()
@json_flag
@_pass
def doctor(context: Context) -> None:
    """Checks configuration, sources, models, engines, disk, serving, landed logs, warehouse, decision, alerts."""
    from orchestration import overview, overview_behavior, overview_serving
    from orchestration.assembly_alerts import sinks

    more = overview_serving.checks(context.settings, lambda: context.hand)
    more += overview_behavior.checks(context.settings, lambda: context.behavior, lambda: context.decision)
    more += [(f"alerts {sink.name}", sink.check) for sink in sinks(context.settings)]
    checks = overview.examine(context.settings, lambda: context.hand, more)
    context.show({"ok": all(row["ok"] for row in checks), "checks": checks}, lambda: views.doctor_text(checks))
    if not all(row["ok"] for row in checks):
        sys.exit(FAILED)


MODULES = (
    cli_ask, cli_behavior, cli_upkeep, cli_decision, cli_finetune, cli_release, cli_export, cli_replay, cli_ledger,
    cli_taint, cli_serve, cli_alert,
)  # fmt: skip
for command in (one for module in MODULES for one in module.COMMANDS):
    cli.add_command(command)


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise click.BadParameter(f"received {text!r}. Expected KEY=VALUE", param_hint="--where")
    return key, value


def _queries(file: Path) -> Iterator[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"{file.name} is not UTF-8 ({error})", param_hint="--queries") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            text = row if isinstance(row, str) else row.get("query") or row["question"]
        except (ValueError, KeyError, AttributeError) as error:
            raise click.BadParameter(
                f'line {number} of {file.name} is not a query: {line[:80]!r}. Expected {{"query": "..."}}',
                param_hint="--queries",
            ) from error
        yield str(text)


@guarded
def main() -> None:
    """Entry point of `twohands`."""
    cli(prog_name="twohands")
