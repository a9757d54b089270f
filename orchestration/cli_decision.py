"""The commands of the decision: shift and approve."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestration.cli_behavior import json_flag
from orchestration.cli_replay import drawable

if TYPE_CHECKING:
    from assets.decision.pipeline import Decision, Made
    from orchestration.cli import Context

BARS = 40  # characters of the evidence's bar
DRAWN = 60  # newest readings that a figure looks through


def variant_option(command: Any) -> Any:
    """The --variant option: which manner."""
    return click.option("--variant", default="main", show_default=True, metavar="V", help="The manner that is meant.")(
        command
    )


def chosen(context: Context, variant: str) -> str:
    """A variant of twohands.toml; a wrong one is wrong usage, and the valid ones are named."""
    known = list(context.settings.variants)
    if variant not in known:
        raise click.BadParameter(
            f"received {variant!r}. Valid variants are: {', '.join(known)}", param_hint="--variant"
        )
    return variant


@click.command()
@variant_option
@click.option("--freeze", is_flag=True, help="Freeze the newest closed days as what is usual; needs --why.")
@click.option("--why", default="", help="The reason, which the ledger keeps.")
@click.option(
    "--figure",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=drawable,
    metavar="PNG",
    help="Draw the evidence too.",
)
@json_flag
@click.pass_obj
def shift(context: Context, variant: str, freeze: bool, why: str, figure: Path | None) -> None:
    """Has behavior shifted? The evidence on the closed days, and the verdict with every gate."""
    check_why("--freeze", freeze, why, "it forgets what was usual before.")
    decision, name = context.decision, chosen(context, variant)
    if freeze:
        contract = decision.refreeze(name, why, person())
        click.echo(f"frozen: {contract.first_day} to {contract.last_day} are what is usual now", err=True)
    warn_if_dirty(context, decision)
    made = decision.judge(name)
    if figure is not None:
        _draw(decision, made, figure)
    context.show(verdict_json(name, made), lambda: verdict_text(name, made))


def _draw(decision: Decision, made: Made, file: Path) -> None:
    """Writes the evidence's figure, or says why there is none."""
    from assets.decision import preview

    kept = decision.store.records(made.record.variant, DRAWN) if made.record else []
    image = preview.figure(made.record, kept) if made.record else b""
    if image:
        file.write_bytes(image)
    else:
        click.echo(f"{file} was not drawn: no day is monitored yet", err=True)


def check_why(flag: str, given: bool, why: str, because: str) -> None:
    """A reason belongs to an override, and an override needs one."""
    if given and not why.strip():
        raise click.UsageError(f"{flag} needs --why TEXT: {because}")
    if why and not given:
        raise click.UsageError(f"--why is the reason for {flag}, which was not given.")


@click.command()
@variant_option
@click.option("--deny", is_flag=True, help="Say no instead.")
@click.option("--why", default="", help="The reason, which the ledger keeps.")
@json_flag
@click.pass_obj
def approve(context: Context, variant: str, deny: bool, why: str) -> None:
    """Answer the newest verdict `propose`: yes, or no with --deny. The sensor (or `twohands finetune`) acts on it."""
    name = chosen(context, variant)
    answered = context.decision.finetunes.approve(name, person(), why, granted=not deny)
    made = context.decision.judge(name)
    said = {"answered": answered, "granted": not deny}
    context.show({**said, **verdict_json(name, made)}, lambda: verdict_text(name, made))


COMMANDS: Sequence[click.Command] = (shift, approve)


def verdict_json(variant: str, made: Made) -> dict[str, Any]:
    """What `twohands shift --json` prints."""
    verdict, record = made.verdict, made.record
    evidence = dict(verdict.evidence)
    return {
        "variant": variant,
        "day": record.day.isoformat() if record else None,
        "M": evidence.pop("M"),
        "threshold": evidence.pop("threshold"),
        "fired": evidence.pop("fired"),
        "verdict": str(verdict.action),
        "reason": verdict.sentence,
        **evidence,
        "event": record.event if record else None,
        "topics": dict(record.topics) if record else {},
        "label_watch": record.labels[-1] if record and record.labels else None,
        "gates": {
            gate.name: {"passed": gate.passed, "measured": gate.measured, "required": gate.required}
            for gate in verdict.reasons
        },
        "cost": dict(verdict.cost),
        "release": record.release if record else None,
        "snapshot": record.snapshot if record else None,
        "contract": record.contract if record else None,
        "config": record.config if record else None,
        "retracted": made.retracted or None,
        "id": made.id,
    }


def verdict_text(variant: str, made: Made) -> str:
    """The same for a person: one sentence, the evidence as a bar, the gates."""
    verdict, record = made.verdict, made.record
    lines = [f"{variant}: {verdict.action}", verdict.sentence]
    if record is not None:
        lines.append(_bar(record.highest, record.threshold))
        shares = sorted(record.shares.items(), key=lambda item: -item[1])
        told = ", ".join(f"{event} {share:.0%}" for event, share in shares if share >= 0.01)
        days = f"{record.since} to {record.day}" if record.since <= record.day else f"none since {record.since}"
        lines.append(f"from {told or 'nothing'}; closed days: {days}; release {record.release}")
    width = max(len(gate.name) for gate in verdict.reasons)
    lines += [
        f"  {'ok ' if gate.passed else 'no '} {gate.name:<{width}}  {gate.measured}  ({gate.required})"
        for gate in verdict.reasons
    ]
    if made.retracted:
        lines.append(f"retracted: {made.retracted}")
    return "\n".join(lines)


def _bar(evidence: float, threshold: float) -> str:
    """log M against the threshold."""
    from math import log10

    share = min(max(log10(max(evidence, 1e-9)) / log10(threshold), 0.0), 1.0)
    full = round(share * BARS)
    return f"highest M {evidence:.3g} [{'#' * full}{'.' * (BARS - full)}] {threshold:,.0f} (log scale)"


def warn_if_dirty(context: Context, decision: Decision) -> None:
    """Says where closed days are not built as they would be now."""
    dirty = [day for day in context.behavior.dirty_inputs() if day <= decision.closed()]
    if dirty:
        span = f"{dirty[0]}..{dirty[-1]}"
        click.echo(
            f"Closed days are not built as they would be now ({len(dirty)}): this reads what was built. "
            f"Next: twohands backfill --days {span}",
            err=True,
        )


def person() -> str:
    """Who runs this, for the ledger and the history."""
    try:
        return f"{getpass.getuser()} (command line)"
    except (KeyError, OSError):
        return "command line"
