"""The command of taint: what datasets and adapters were made of, and does not stand any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from orchestration.cli_behavior import json_flag
from orchestration.cli_decision import chosen

if TYPE_CHECKING:
    from orchestration.cli import Context


@click.command()
@click.option("--variant", metavar="V", help="Only this manner; default: all.")
@json_flag
@click.pass_obj
def taint(context: Context, variant: str | None) -> None:
    """Which datasets and adapters were made of interactions that were corrected, deleted or erased since.

    Rows, the share of them that was touched, and the first interaction ids of each reason. Days that wait to be rebuilt
    count as they were built last. Above decision.max_tainted_share the verdict proposes a fine-tune.
    """
    from assets.behavior.taint import preview
    from orchestration.assembly import open_the_lake
    from orchestration.assembly_taint import limits, taints

    names = list(context.settings.variants) if variant is None else [chosen(context, variant)]
    found, most = taints(context.settings, open_the_lake(context.settings)), limits(context.settings)
    reports = [found.look(name) for name in names]
    value = {"variants": [preview.as_json(report, most[report.variant]) for report in reports]}
    context.show(value, lambda: "\n".join(preview.as_text(report, most[report.variant]) for report in reports))


COMMANDS: Sequence[click.Command] = (taint,)
