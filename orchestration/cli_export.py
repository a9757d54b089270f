"""The command `export`: an adapter for others to serve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assets.errors import ModelError
from orchestration.cli_behavior import json_flag

if TYPE_CHECKING:
    from assets.behavior.adapter.store import Adapter, Adapters
    from assets.prompting import Template
    from orchestration.cli import Context

QUESTIONS = (  # whose logits are compared
    ("What does a locker cost?", "Lockers", "Lockers can be rented for 4 euros a month, or 40 euros a year."),
    ("When is the bakery open?", "Hours > Winter", "From November on the bakery opens at seven, and closes at noon."),
    ("Who approves a leave of two weeks?", "Leave", "The lead of your team approves it, and tells the others."),
    ("Where do broken bikes go?", "Workshop", "Tickets are sold at the desk."),
)


@click.command()
@click.argument("id")
@click.option("--to", "to", required=True, type=click.Path(path_type=Path), metavar="DIR", help="A folder that is new.")
@click.option("--merged", is_flag=True, help="The whole model, base and adapter in one (fp32), instead of the adapter.")
@click.option("--base", default="", metavar="NAME", help="The base that the adapter's configuration names.")
@json_flag
@click.pass_obj
def export(context: Context, id: str, to: Path, merged: bool, base: str) -> None:
    """Write an adapter (its id, or that of a release) as a PEFT folder, ready for vLLM's --lora-modules."""
    from assets.serving import export as exporting
    from orchestration.assembly_adapter import adapters

    if base and merged:
        raise click.UsageError("--base names the base of an adapter; a merged model has none.")
    found = adapters(context.settings)
    adapter = _adapter(context, found, id)
    found.verify(adapter)
    value: dict[str, Any] = {"adapter": adapter.id, "to": str(to), "merged": merged}
    with exporting.written(to) as folder:
        if merged:
            value["difference"] = _merged(context, found, adapter, folder)
            value["tolerance"] = exporting.TOLERANCE
        else:
            value["base"] = base or _base_name(context)
            exporting.plain(found.folder_of(adapter.id), folder, value["base"])
        value["files"] = sorted(path.name for path in folder.iterdir())
    context.show(value, lambda: f"{to}: {', '.join(value['files'])}")


def _merged(context: Context, found: Adapters, adapter: Adapter, folder: Path) -> float:
    from assets.prompting import TEMPLATES
    from orchestration.assembly_adapter import base
    from orchestration.engines.export import merge

    configured = base(context.settings)
    if configured.files != adapter.base_files:
        raise ModelError(
            f"the adapter {adapter.id} was made for the base {adapter.base}, and another one is configured",
            expected="the files that it was trained on",
            next_step="set base.model (and base.revision) to that base, and export again",
        )
    chats = _chats(TEMPLATES[context.settings.base.template])
    return merge(configured.folder, found.folder_of(adapter.id), folder, chats)


def _chats(template: Template) -> list[Any]:
    from assets.prompting import Evidence, Passage

    if template.shows == "evidence":
        return [template.messages(asked, [Evidence(1, head, text, "strong", 0.8)]) for asked, head, text in QUESTIONS]
    return [template.messages(asked, [Passage(1, head, text)]) for asked, head, text in QUESTIONS]


def _adapter(context: Context, found: Adapters, id: str) -> Adapter:
    """The adapter of this id, or of the release of this id, whatever its variant."""
    from assets.serving import candidates

    adapter = found.get(id)
    if adapter is not None:
        return adapter
    releases, known = context.releases, []
    for variant in context.settings.variants:
        moves = [move.release for move in releases.moves.back(variant) if move.release]
        proposed = [one.release for one in candidates.all_of(releases.lake, variant)]
        match = next((one for one in (*moves, *proposed) if one.id == id and one.adapter), None)
        adapter = found.get(match.adapter) if match else None
        if adapter is not None:
            return adapter
        known += [one.id for one in found.all_of(variant)[-3:]]
    raise ModelError(
        f"there is no adapter and no release {id!r}",
        expected=f"one of {', '.join(known)}" if known else "an adapter that was trained; there is none yet",
        next_step="`twohands releases` lists what was evaluated",
    )


def _base_name(context: Context) -> str:
    """The hub id, or the last part of the folder: where it lies is of this machine only."""
    said = context.settings.base
    return said.model if said.revision else Path(said.model).name


COMMANDS: Sequence[click.Command] = (export,)
