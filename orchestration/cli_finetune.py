"""The commands of a fine-tune: finetune (the whole chain, in this process) and evaluate."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from assets.errors import EngineBusy, GateRefused
from assets.fingerprints import sha256_text
from orchestration.cli_behavior import json_flag
from orchestration.cli_decision import check_why, chosen, person, variant_option, warn_if_dirty
from orchestration.cli_errors import REFUSED
from orchestration.progress import shown

if TYPE_CHECKING:
    from assets.behavior.evaluation.trials import Trial, Trials
    from assets.decision.acting import Claim
    from orchestration.cli import Context

STEPS = ("candidates", "dataset", "adapter", "evaluation", "release")
MINE = "cli-"  # how the runs of this command are named
QUIET = 5.0  # seconds between two lines of a training


@click.command()
@variant_option
@click.option("--force", is_flag=True, help="Although no verdict asks for it; needs --why. Recorded as an override.")
@click.option("--why", default="", help="The reason, which the ledger keeps.")
@click.option(
    "--until",
    type=click.Choice(STEPS),
    default=STEPS[-1],
    show_default=True,
    help="The last step to take; `twohands finetune` goes on from there.",
)
@json_flag
@click.pass_obj
def finetune(context: Context, variant: str, force: bool, why: str, until: str) -> None:
    """Act on a verdict that asks for a fine-tune: candidates, dataset, adapter, evaluation, release.

    Exit code 3 where no verdict asks for one, too few rows are clean, or the gate refuses the adapter.
    """
    from assets.decision.ending import end

    check_why("--force", force, why, "the ledger keeps who spent money on no evidence, and why.")
    name = chosen(context, variant)
    with _alone(context, name):
        claim, run, overridden = _forced(context, name, why) if force else _asked(context, name)
        value = {"variant": name, "request": claim.request, "cause": claim.cause, "overridden": overridden}
        ledger = context.decision.ledger
        try:
            for step, found in _steps(context, claim, run):
                value |= found
                _tell(f"{step}: {_line(step, value)}")
                if step == until:
                    break
        except GateRefused as error:
            value |= {"outcome": "refused", "refused": str(error)}
            end(ledger, name, run, str(error), request=claim.request)
        except BaseException as error:
            end(ledger, name, run, f"{type(error).__name__}: {error}", outcome="failed", request=claim.request)
            raise
        else:
            value["outcome"] = _outcome(value, until)
            if value["outcome"] in ("released", "refused", "not released"):
                released = value["outcome"] == "released"
                end(ledger, name, run, value["evaluation"]["sentence"], released=released, request=claim.request)
    context.show(value, lambda: _text(value))
    if value["outcome"] == "refused":
        if "refused" in value:
            click.echo(value["refused"], err=True)
        sys.exit(REFUSED)


@contextmanager
def _alone(context: Context, variant: str) -> Iterator[None]:
    """One of these for a variant on this machine; GateRefused where another is under way."""
    lock = context.behavior.lake.lock(f"finetune-{variant}", 0)
    try:
        lock.__enter__()
    except EngineBusy as error:
        raise GateRefused(
            f"a fine-tune of variant {variant!r} is under way in another process ({error.problem})",
            expected="one fine-tune of a variant at a time",
            next_step="wait for its end",
        ) from error
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _asked(context: Context, variant: str) -> tuple[Claim, str, list[str]]:
    """The claim of what the newest verdict asks for, or of what was begun and did not end."""
    decision = context.decision
    warn_if_dirty(context, decision)
    made = decision.judge(variant)
    pending = decision.finetunes.resumable(variant, MINE)
    if pending is None and made.verdict.action != "finetune":
        raise GateRefused(
            f"no fine-tune of variant {variant!r}: {made.verdict.sentence}",
            expected="a verdict `finetune`",
            next_step="wait, answer it (`twohands approve`), or override it (--force --why TEXT)",
        )
    cause = pending or made.id
    run = f"{MINE}{sha256_text(cause)[:16]}"
    claim = decision.finetunes.begin(variant, cause, run, person())
    return claim, run, []


def _forced(context: Context, variant: str, why: str) -> tuple[Claim, str, list[str]]:
    """The claim of a person who says why, and which conditions of the policy do not hold."""
    from assets.decision.ending import end, open_claim

    decision = context.decision
    counts = decision.snapshot(variant)
    run = f"{MINE}{sha256_text(f'{variant} {why} {counts.digest()}')[:16]}"
    overridden = []
    if counts.days:
        verdict = decision.judge(variant).verdict
        overridden = [f"{gate.name}: {gate.measured} ({gate.required})" for gate in verdict.reasons if not gate.passed]
        for said in overridden:
            _tell(f"overridden: {said}")
    before = open_claim(decision.ledger, variant)
    if before is not None and before.run_key != run and before.run_key.startswith(MINE):
        end(decision.ledger, variant, before.run_key, "its process ended without a word", outcome="failed")
    return decision.force(variant, why, person(), run), run, overridden


# ---------------------------------------------------------------------------------------------------------- the steps


def _steps(context: Context, claim: Claim, run: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each step, done when it is asked for, with what is printed of it."""
    from orchestration.assembly_adapter import fitting
    from orchestration.assembly_dataset import datasets

    data, variant = context.behavior, claim.variant
    found = data.freeze(variant, claim.first, claim.last, claim.request)
    yield (
        "candidates",
        {
            "rows": found.rows,
            "sources": dict(found.sources),
            "days": [found.first.isoformat(), found.last.isoformat()],
            "stored_as": found.name,
        },
    )
    with shown(context.as_json) as progress:
        manifest, _ = datasets(context.settings, data).make(variant, found.name, claim.request, progress)
    yield "dataset", {"dataset": {"digest": manifest.digest, "rows": dict(manifest.rows), "stored_as": manifest.name}}
    made = fitting(context.settings, data).make(variant, run, _told(), manifest.name)
    metrics = {name: made.adapter.metrics.get(name) for name in ("steps", "seconds", "loss", "validation_loss", "cost")}
    yield "adapter", {"adapter": {"id": made.adapter.id, "found": made.found, **metrics}}
    with shown(context.as_json) as progress:
        trial = trials(context).run(variant, made.adapter.id, progress=progress)
    yield "evaluation", {"evaluation": trial_json(context, trial)}
    if trial.promoted:
        now = context.releases.follow(variant, why="", by=person())
        id = now.id if now else "base"
        yield "release", {"release": {"id": id, "released": id == trial.candidate.id}}
    else:
        yield "release", {"release": {"id": trial.candidate.against, "released": False}}


def trials(context: Context) -> Trials:
    """Trials over the configured base."""
    from orchestration import assembly_evaluation

    return assembly_evaluation.trials(context.settings, context.behavior, lambda: context.hand, context.releases)


def trial_json(context: Context, trial: Trial) -> dict[str, Any]:
    """A trial as it is printed."""
    row, lake = trial.row, context.behavior.lake
    return {
        "adapter": trial.adapter.id,
        "release": trial.candidate.id,
        "against": row["released"],
        "promoted": trial.promoted,
        "sentence": row["sentence"],
        "gates": {
            gate["name"]: {name: gate[name] for name in ("passed", "measured", "required")} for gate in row["gates"]
        },
        "judge": row.get("judge"),
        "items": row["items"],
        "sets": dict(row["sets"]),
        "found": trial.found,
        "page": f"{getattr(lake, 'root', 'lake')}/{trial.candidate.evaluation}.html",
    }


def _told() -> Any:
    last = [0.0]

    def report(step: Any) -> None:
        now = time.monotonic()
        if now - last[0] >= QUIET:
            last[0] = now
            _tell(f"update {step.step} of {step.steps}: loss {step.loss:.4f}, {step.left:,.0f} s left")

    return report


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _outcome(value: dict[str, Any], until: str) -> str:
    if "release" not in value:
        return f"stopped after {until}"
    if value["release"]["released"]:
        return "released"
    return "not released" if value["evaluation"]["promoted"] else "refused"


def _line(step: str, value: dict[str, Any]) -> str:
    if step == "candidates":
        return f"{value['rows']} candidates of {value['days'][0]} to {value['days'][1]} frozen as {value['stored_as']}"
    if step == "dataset":
        return ", ".join(f"{count} {split}" for split, count in value["dataset"]["rows"].items())
    if step == "adapter":
        return value["adapter"]["id"] + (" (there already)" if value["adapter"]["found"] else "")
    return value["evaluation"]["sentence"] if step == "evaluation" else f"{value['release']['id']} answers"


def _text(value: dict[str, Any]) -> str:
    """The end of it: the steps were told one by one."""
    return f"{value['variant']}: {value['outcome']}"


# ----------------------------------------------------------------------------------------------------------- evaluate


@click.command()
@variant_option
@click.option("--adapter", default="", metavar="ID", help="Another adapter than the newest.")
@click.option("--again", is_flag=True, help="Generate again what was generated before.")
@json_flag
@click.pass_obj
def evaluate(context: Context, variant: str, adapter: str, again: bool) -> None:
    """The newest adapter against what answers now, on frozen held-out sets. Exit code 3 where the gate refuses it."""
    with shown(context.as_json) as progress:
        trial = trials(context).run(chosen(context, variant), adapter, again=again, progress=progress)
    value = {"variant": variant, **trial_json(context, trial)}
    context.show(value, lambda: trial_text(value))
    if not trial.promoted:
        sys.exit(REFUSED)


def trial_text(value: dict[str, Any]) -> str:
    """A trial for a person: the verdict, every gate, what a judge said, and where the page is."""
    width = max(len(name) for name in value["gates"])
    lines = [f"{value['variant']}: {value['sentence']}", f"{value['adapter']} against {value['against']}"]
    lines += [
        f"  {'ok ' if gate['passed'] else 'no '} {name:<{width}}  {gate['measured']}  ({gate['required']})"
        for name, gate in value["gates"].items()
    ]
    if judge := value["judge"]:
        lines.append(f"  judge: {judge['outcome']}: {judge['sentence']}")
    return "\n".join([*lines, value["page"]])


COMMANDS: Sequence[click.Command] = (finetune, evaluate)
