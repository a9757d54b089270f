"""Jobs: what a sensor, a schedule or a person starts."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from assets.behavior.assets import GROUP as BEHAVIOR
from assets.behavior.assets import LANDING
from assets.behavior.taint.assets import TAINT
from assets.decision.assets import EVIDENCE, FINETUNE, VERDICT
from assets.decision.pipeline import Decision
from assets.decision.spending.assets import LEDGER
from assets.deployment.assets import OVERVIEW
from assets.knowledge.assets import GROUP
from assets.knowledge.pipeline import FastHand
from assets.serving.assets import RELEASE

_KNOWLEDGE = dg.AssetSelection.groups(GROUP)
_FULL = {"ops": {f"{GROUP}__{asset}": {"config": {"full": True}} for asset in ("documents", "index")}}


def sync() -> Any:
    """Brings slices up to their sources. In one process: a re-index is short, and a process costs seconds."""
    return dg.define_asset_job(
        "sync_slices",
        _KNOWLEDGE,
        description="Documents to published index, for each selected slice; reads only what changed.",
        executor_def=dg.in_process_executor,
        tags={"twohands/hand": "fast"},
    )


def reconcile() -> Any:
    """The same with every file read again and every passage compared: the job to backfill slices with."""
    return dg.define_asset_job(
        "reconcile_slices",
        _KNOWLEDGE,
        description="As sync_slices, but every file is read again and every passage compared. Choose the slices to "
        "backfill when you launch it.",
        config=_FULL,
        executor_def=dg.in_process_executor,
        tags={"twohands/hand": "fast"},
    )


def ingest() -> Any:
    """Reads landed files; the marts follow when the sensor sees which days are dirty."""
    return dg.define_asset_job(
        "ingest_interactions",
        dg.AssetSelection.assets(LANDING),
        description="Reads new, grown and replaced files of the landing folder, and days of the warehouse's logs.",
        executor_def=dg.in_process_executor,
        tags={"twohands/hand": "slow"},
    )


def rebuild() -> Any:
    """Rebuilds days from interactions to marts. In one process: dbt is one of its own, and all else is short."""
    return dg.define_asset_job(
        "rebuild_days",
        dg.AssetSelection.groups(BEHAVIOR),
        description="Interactions to marts, for the selected days; a range of days is one run.",
        executor_def=dg.in_process_executor,
        tags={"twohands/hand": "slow"},
    )


def report(keys: Sequence[dg.AssetKey]) -> Any:
    """The models over all days and the corpus report, from the days that are built."""
    return dg.define_asset_job(
        "rebuild_report",
        dg.AssetSelection.assets(*keys),
        description="The models over all days and the corpus report, from the days as they are; rebuilds no day. "
        "Requested when a run ended before it came to them.",
        executor_def=dg.in_process_executor,
        tags={"twohands/hand": "slow"},
    )


def decide(stands: Sequence[dg.AssetCheckKey] = ()) -> Any:
    """Evidence, verdict and taint of a variant: seconds, and no money."""
    return dg.define_asset_job(
        "decide",
        dg.AssetSelection.assets(EVIDENCE, VERDICT, TAINT) | dg.AssetSelection.checks(*stands),
        description="Reads the evidence of a variant and draws the verdict; looks which rows of datasets and adapters "
        "still stand. Starts nothing. With the run tag "
        "twohands/approve=yes (or no) it records your answer to the newest verdict first.",
        executor_def=dg.in_process_executor,
        tags={"twohands/hand": "decision"},
    )


def finetune() -> Any:
    """The fine-tune of a variant. Requested by the sensor `behavior_shifted` once for each verdict."""
    return dg.define_asset_job(
        "finetune",
        dg.AssetSelection.groups(FINETUNE) | dg.AssetSelection.assets(RELEASE),
        description="What a verdict starts: its candidates, frozen, a dataset, an adapter, its evaluation, and the "
        "release where the gate passes. By hand it needs run config: force, why.",
        executor_def=dg.in_process_executor,
        tags={"twohands/hand": "slow"},
    )


def books() -> Any:
    """The ledger, added up, and the overview."""
    return dg.define_asset_job(
        "report_ledger",
        dg.AssetSelection.assets(LEDGER, OVERVIEW),
        description="What was spent and avoided, from the ledger as it is, and how everything is: what `twohands "
        "status` says. Takes seconds and starts nothing.",
        executor_def=dg.in_process_executor,
        tags={"twohands/hand": "decision"},
    )


def release() -> Any:
    """What answers are served from: followed, chosen or rolled back. A second, and no money."""
    return dg.define_asset_job(
        "release",
        dg.AssetSelection.assets(RELEASE),
        description="Promotes the newest candidate that the gate passed. With run config (action, id, why) it promotes "
        "another release or rolls back.",
        executor_def=dg.in_process_executor,
        tags={"twohands/hand": "slow"},
    )


@dg.op(description="Compacts the lake and the index; drops vectors that nothing has needed for a while.")
def tidy(context: dg.OpExecutionContext, fast_hand: dg.ResourceParam[FastHand]) -> None:
    """Housekeeping; nothing that is published changes."""
    counts = fast_hand.maintain()
    context.add_output_metadata({name: int(count) for name, count in counts.items()})


@dg.op(description="Puts the ledger's entries of each month that is over into one file.")
def tidy_ledger(context: dg.OpExecutionContext, decision: dg.ResourceParam[Decision]) -> None:
    """Housekeeping; nothing that is read changes."""
    context.add_output_metadata({name: int(count) for name, count in decision.ledger.maintain().items()})


@dg.job(description="Housekeeping of the lake, the index and the ledger.", executor_def=dg.in_process_executor)
def maintain() -> None:
    """Two ops, neither of which holds up the other."""
    tidy()
    tidy_ledger()
