"""The release in the graph, partitioned by variant: what answers are served from.

Materializing it promotes the newest candidate that the gate has passed, once, and shows the pointer and its history. A
person may name another release, or roll back, by run config. (No postponed annotations in this file: Dagster reads
those of config.)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import dagster as dg

from assets.assets import shown, translated
from assets.decision.ending import end
from assets.decision.pipeline import Decision
from assets.errors import ConfigError, GateRefused
from assets.serving import candidates, preview
from assets.serving.release import NONE, Move
from assets.serving.releases import Releases

GROUP = "serving"
OWNERS = ["team:behavior"]
RELEASE = dg.AssetKey([GROUP, "release"])
ANSWERS = dg.AssetKey([GROUP, "answers"])
INTACT = "files_are_what_was_released"


@dataclass(frozen=True)
class Policy:
    """What the deployment decides about this asset."""

    retries: int = 3
    retry_seconds: float = 5


class ReleaseConfig(dg.Config):
    """Run config: `follow` promotes the newest candidate that the gate passed, `show` moves nothing; `promote` and
    `rollback` take `id` (a rollback may do without) and `why`, which the history keeps; `force` overrides the gate."""

    action: Literal["follow", "show", "promote", "rollback"] = "follow"
    id: str = ""
    why: str = ""
    force: bool = False


def build(variants: dg.PartitionsDefinition, policy: Policy, deps: Iterable[dg.AssetKey] = ()) -> Sequence[Any]:
    """The release, with a partition for each variant; `deps` are the assets whose gate it follows."""

    @dg.asset(
        key=RELEASE,
        deps=list(deps),
        partitions_def=variants,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python"},
        check_specs=[
            dg.AssetCheckSpec(
                INTACT,
                asset=RELEASE,
                description="Base and adapter of the release in force are, file by file, what was evaluated, and its "
                "prompts are those that this version writes. Where they are not, the newest release of which all of "
                "that holds is served.",
            )
        ],
        description="What answers are served from: base, adapter and prompt, with the index and encoder that they were "
        "evaluated with. A pointer that is replaced atomically, with every place where it ever pointed. Materializing "
        "this promotes the newest candidate that the gate passed; run config (action, id, why) promotes another or "
        "rolls back.",
    )
    def release(
        context: dg.AssetExecutionContext,
        config: ReleaseConfig,
        releases: dg.ResourceParam[Releases],
        decision: dg.ResourceParam[Decision],
    ) -> dg.MaterializeResult:
        variant = context.partition_key
        with translated(policy.retries, policy.retry_seconds):
            before = releases.moves.now(variant)
            try:
                current = _moved(releases, variant, config)
            except GateRefused as error:
                raise dg.Failure(str(error), allow_retries=False) from error
            if config.action == "follow":
                _end(context, decision, before, current)
            served = releases.served(variant)
            history = list(islice(releases.moves.back(variant), preview.SHOWN + 1))
            found = candidates.all_of(releases.lake, variant)
        check = dg.AssetCheckResult(
            check_name=INTACT, passed=not served.problems, metadata={"problems": "\n".join(served.problems) or "none"}
        )
        return dg.MaterializeResult(
            data_version=dg.DataVersion(current.name if current else "none"),
            metadata=shown(preview.of_release(current, served, history, found)),
            check_results=[check],
        )

    return [release]


def answers(index: dg.AssetKey) -> dg.AssetSpec:
    """Where the hands meet: not made by a run, shown for the lineage."""
    return dg.AssetSpec(
        ANSWERS,
        deps=[index, RELEASE],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python"},
        description="Answers as readers get them (`twohands ask`, `twohands serve`): passages of the published index, "
        "told by the base and adapter of the release. Each is stamped with both; neither waits for the other. No run "
        "makes this: a new index version or release is answered from at the next question.",
    )


def _end(context: dg.AssetExecutionContext, decision: Decision, before: Move | None, now: Move | None) -> None:
    """Tells the ledger how the fine-tune ended that this is the last step of, if it is one's."""
    moved = now is not None and now != before
    said = f"released as {now.id}: {now.why}" if now and moved else "the gate passed it, and it was not promoted: "
    said += "" if moved else f"{now.id if now else NONE} answers"
    run = context.run.root_run_id or context.run.run_id
    end(
        decision.ledger,
        context.partition_key,
        run,
        said,
        released=moved,
        attempt=context.run.run_id,
        newest=moved,
    )


def _moved(releases: Releases, variant: str, config: ReleaseConfig) -> Move | None:
    if config.action in ("promote", "rollback") and not config.why.strip():
        raise ConfigError(f"{config.action} without why", expected="a reason, which the history keeps")
    if config.action == "promote":
        return releases.promote(variant, config.id, why=config.why, by="the Dagster UI", force=config.force)
    if config.action == "rollback":
        return releases.rollback(variant, why=config.why, by="the Dagster UI", to=config.id)
    if config.action == "follow":
        return releases.follow(variant, why=config.why, by="the graph")
    return releases.moves.now(variant)
