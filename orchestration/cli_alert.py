"""The command that tries the alerts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from orchestration.cli_behavior import json_flag

if TYPE_CHECKING:
    from orchestration.cli import Context


@click.command()
@click.option("--test", "really", is_flag=True, help="Send a test alert; without it, what is configured is looked at.")
@json_flag
@click.pass_obj
def alert(context: Context, really: bool) -> None:
    """Who is told when a run fails, and whether they can be. Exit code 1 when one of them cannot."""
    from orchestration import overview
    from orchestration.alerts import probe, tell
    from orchestration.assembly_alerts import sinks

    found = sinks(context.settings)
    if really:
        wrong = tell(probe(context.settings.alerts.ui_url), found)
        rows = [{"name": name, "ok": not why, "detail": why or "was told"} for name, why in wrong.items()]
    else:
        rows = [overview.tried(sink.name, sink.check) for sink in found]
    value = {"ok": all(row["ok"] for row in rows), "sent": really, "sinks": rows}
    lines = [f"{'ok  ' if row['ok'] else 'FAIL'} {row['name']}: {row['detail']}" for row in rows]
    context.show(value, lambda: "\n".join(lines) or "nobody is told: [alerts] of twohands.toml")
    if not value["ok"]:
        raise SystemExit(1)


COMMANDS: Sequence[click.Command] = (alert,)
