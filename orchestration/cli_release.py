"""The commands of serving: releases, promote, rollback; the same as `release show|history|promote|rollback`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from orchestration.cli_behavior import json_flag
from orchestration.cli_decision import chosen, person, variant_option

if TYPE_CHECKING:
    from assets.serving.candidates import Candidate
    from assets.serving.release import Move
    from assets.serving.releases import Releases
    from orchestration.cli import Context

_why = click.option("--why", default="", metavar="TEXT", help="The reason, which the history keeps.")


def _shown(context: Context, variant: str, limit: int) -> None:
    from assets.serving import candidates

    found: Releases = context.releases
    history = list(islice(found.moves.back(variant), limit))
    served = found.served(variant)
    evaluated = candidates.all_of(found.lake, variant)[:limit]
    value = {
        "variant": variant,
        "release": history[0].id if history else "base",
        "served": served.id,
        "since": history[0].since if history else None,
        "pointer": history[0].pointer if history else None,
        "problems": list(served.problems),
        "history": [move_json(move) for move in history],
        "candidates": [candidate_json(one) for one in evaluated],
    }
    context.show(value, lambda: _text(value))


@click.command()
@variant_option
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="Newest moves shown.")
@json_flag
@click.pass_obj
def releases(context: Context, variant: str, limit: int) -> None:
    """What answers are served from, since when, where the pointer was before, and what was evaluated."""
    _shown(context, chosen(context, variant), limit)


@click.command()
@click.argument("id")
@variant_option
@_why
@click.option("--force", is_flag=True, help="Although the gate refused it; needs --why. The history keeps that.")
@json_flag
@click.pass_obj
def promote(context: Context, id: str, variant: str, why: str, force: bool) -> None:
    """Serve a candidate that the gate passed, or a release of the past. Exit code 3 where the gate refused it."""
    name = chosen(context, variant)
    if force and not why.strip():
        raise click.UsageError("--force needs --why TEXT: the history keeps who overrode the gate, and why.")
    move = context.releases.promote(name, id, why=why, by=person(), force=force)
    context.show({"variant": name, **move_json(move)}, lambda: f"{name}: {move.id} answers from now on")


@click.command()
@variant_option
@_why
@click.option("--to", default="", metavar="ID", help="A release of the past, or `base`; default: the one before.")
@json_flag
@click.pass_obj
def rollback(context: Context, variant: str, why: str, to: str) -> None:
    """Serve the release before the one in force, as it was."""
    name = chosen(context, variant)
    move = context.releases.rollback(name, why=why, by=person(), to=to)
    context.show({"variant": name, **move_json(move)}, lambda: f"{name}: {move.id} answers again")


@click.group()
def release() -> None:
    """What answers are served from: show, history, promote, rollback."""


@release.command()
@variant_option
@json_flag
@click.pass_obj
def show(context: Context, variant: str) -> None:
    """The release in force."""
    _shown(context, chosen(context, variant), 1)


release.add_command(releases, "history")
release.add_command(promote)
release.add_command(rollback)

COMMANDS: Sequence[click.Command] = (release, releases, promote, rollback)


def move_json(move: Move) -> dict[str, Any]:
    """One move as it is printed."""
    return {
        "number": move.number,
        "action": move.action,
        "release": move.id,
        **move.pointer,
        "by": move.by,
        "gate": move.gate or None,
        "forced": move.forced,
    }


def candidate_json(one: Candidate) -> dict[str, Any]:
    """One candidate as it is printed."""
    return {
        "release": one.id,
        "adapter": one.release.adapter,
        "passed": one.promoted,
        "gate": one.sentence,
        "against": one.against,
        "evaluated": one.evaluated,
    }


def _text(value: dict[str, Any]) -> str:
    lines = [f"{value['variant']}: {value['release']} {'has been in force' if value['problems'] else 'answers'}"]
    if value["since"]:
        lines[0] += f" since {value['since'][:10]}"
    if value["problems"]:
        lines.append(f"served from {value['served']} meanwhile:")
        lines += [f"  {problem}" for problem in value["problems"]]
    for name, held in (value["pointer"] or {}).items():
        lines.append(f"  {name:<8} {held or '-'}")
    if value["history"]:
        lines.append("history, newest first:")
        lines += [
            f"  {m['number']:>4}  {m['created'][:19]}  {m['action']:<8}  {m['release']:<16}  {m['by']}: "
            f"{m['why'] or '-'}{' (forced)' if m['forced'] else ''}"
            for m in value["history"]
        ]
    if value["candidates"]:
        lines.append("evaluated, newest first:")
        lines += [
            f"  {c['evaluated'][:19]}  {c['release']}  {'passed' if c['passed'] else 'refused'}  {c['gate']}"
            for c in value["candidates"]
        ]
    return "\n".join(lines)
