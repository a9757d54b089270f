"""From a stored dataset to a published adapter, over injected engines. The Dagster asset and the command line call it.

the adapter of these parts             what happens
is published                           it is found; nothing is trained, nothing is paid
is not                                 trained, or gone on with where a killed run had come to; then published
needs more memory than there is        trained in parts of half the size, and so on down to one row: adapters of
                                       their own, looked for first, since sums are rounded in another order
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assets.behavior.adapter.config import AdapterConfig
from assets.behavior.adapter.declining import declining, questions_digest
from assets.behavior.adapter.identity import adapter_id, base_id
from assets.behavior.adapter.store import Adapter, Adapters
from assets.behavior.dataset import store as datasets
from assets.behavior.dataset.rows import TRAIN, VALIDATION, Example
from assets.behavior.dataset.store import Manifest
from assets.decision.ledger import What
from assets.decision.spending.costs import Prices
from assets.errors import Final
from assets.ports import Lake, Ledger
from assets.ports.training import (
    Chat,
    Left,
    Machine,
    Order,
    OutOfMemory,
    Preference,
    Report,
    Trained,
    Trainer,
    UnfitRows,
)
from assets.serving.files import Files

BY = "behavior/adapter"  # in the ledger
POINTS = 500  # of a loss curve, in the manifest


@dataclass(frozen=True, slots=True)
class Base:
    """The configured base: its folder, the hashes of its files, and the version of the prompts that it is shown."""

    folder: Path
    files: Files
    template: str


@dataclass(frozen=True, slots=True)
class Made:
    """An adapter; `found`: it was there already."""

    adapter: Adapter
    found: bool


class Fitting:
    """Makes adapters. `base`, and the `questions` that they must go on declining, are looked at when one is made, and
    not before."""

    def __init__(
        self,
        *,
        lake: Lake,
        adapters: Adapters,
        trainer: Trainer,
        base: Callable[[], Base],
        ledger: Ledger,
        prices: Prices,
        config: AdapterConfig,
        questions: Callable[[], Sequence[Chat]] = tuple,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.lake, self.adapters, self.trainer, self.ledger = lake, adapters, trainer, ledger
        self._base, self._prices, self._config, self._questions, self._now = base, prices, config, questions, now

    def make(self, variant: str, run: str, report: Report, dataset: str = "") -> Made:
        """The adapter of a variant's dataset: `dataset` is its lake name, default the newest one. `run` is the run that
        asks. Final where there is no dataset, UnfitRows where nothing can be learned from it, and what Trainer raises.
        """
        manifest = self._manifest(variant, dataset)
        base = self._base()
        if manifest.made_of.get("template", base.template) != base.template:
            raise Final(
                f"the dataset {manifest.name} was written for prompts {manifest.made_of['template']}, and this version "
                f"writes prompts {base.template}",
                expected="the prompts that are served: an adapter that learned others is worse at these",
                next_step="materialize behavior/dataset again",
            )
        examples, pairs = datasets.read(self.lake, manifest)
        check(examples)
        machine, questions = self.trainer.machine(), self._questions()
        plans = list(self._plans(variant, manifest, base, machine, questions_digest(questions)))
        for plan in plans:
            present = self.adapters.get(plan.id)
            if present is not None:
                self.adapters.verify(present)
                return Made(present, found=True)
        chosen = [Preference(one.prompt, one.chosen, one.rejected) for one in pairs if one.split == TRAIN]
        for number, plan in enumerate(plans):
            order = Order(
                adapter=plan.id,
                run=f"{run}#{uuid.uuid4().hex[:8]}",  # an attempt of its own, also when the run is tried again
                base=base.folder,
                base_id=plan.base,
                said=plan.config.said(),
                train=[one.messages for one in examples if one.split == TRAIN],
                validation=[one.messages for one in examples if one.split == VALIDATION],
                pairs=chosen if plan.config.dpo.enabled else (),
                declining=declining(questions, examples),
                variant=variant,
                max_tokens=manifest.card.get("tokens", {}).get("limit", 0),
            )
            try:
                return Made(self._trained(order, plan, manifest, machine, report), found=False)
            except OutOfMemory as error:
                if number == len(plans) - 1:
                    raise _too_large(error, plan.config) from error
        raise AssertionError("there is always a plan")

    def _trained(self, order: Order, plan: _Plan, manifest: Manifest, machine: Machine, report: Report) -> Adapter:
        what = _what(plan.config.device)
        try:
            with self.trainer.train(order, report, self._pay) as trained:
                amount = self._prices.amount(what, trained.seconds)
                metrics = measured(trained, plan.config, machine, order) | {
                    "cost": round(amount, 6),
                    "currency": self._prices.currency,
                }
                published = self.adapters.publish(
                    trained.folder,
                    Adapter(
                        plan.id,
                        manifest.variant,
                        manifest.digest,
                        manifest.content,
                        plan.base,
                        plan.files,
                        plan.template,
                        self._now().isoformat(timespec="seconds"),
                        request=manifest.request,
                        run=order.run,
                        recipe=plan.recipe,
                        versions=plan.versions,
                        metrics=metrics,
                    ),
                )
                self._pay(self._own(order))
                return published
        except BaseException:
            self._pay(self._own(order))  # what failed, or was canceled, has cost as much
            raise

    def _own(self, order: Order) -> Left:
        """What this run has spent. Others may be at the same adapter by now, and are not done yet."""
        spent = self.trainer.spent(order.adapter)
        mine = {run: seconds for run, seconds in spent.items() if run == order.run}
        return Left(order.adapter, order.variant, order.said["device"], mine)

    def _pay(self, left: Left) -> None:
        """Each run once, also where this is told again."""
        for run, seconds in left.spent.items():
            fact = self._prices.spend(_what(left.device), seconds, by=BY, run=run)
            self.ledger.append(fact.entry(at=self._now(), variant=left.variant))

    def _manifest(self, variant: str, name: str) -> Manifest:
        known = datasets.manifests(self.lake, variant)
        found = [one for one in known if not name or one.name == name]
        if not found:
            raise Final(
                f"variant {variant!r} has no dataset{f' {name}' if name else ''}",
                expected="a dataset that behavior/dataset stored",
                next_step="materialize behavior/dataset first; the job finetune does",
            )
        return found[-1]

    def _plans(self, variant: str, manifest: Manifest, base: Base, machine: Machine, questions: str) -> Iterator[_Plan]:
        """The adapter as configured, and in smaller and smaller parts."""
        config: AdapterConfig | None = self._config.settled(machine.device, machine.cores)
        kind = machine.kind if config and config.device == machine.device else "cpu"
        while config is not None:
            recipe = config.recipe() | {"device_kind": kind} | ({"declining": questions} if questions else {})
            versions = self.trainer.versions(config.said())
            id = adapter_id(
                variant=variant,
                base=base_id(base.files),
                content=manifest.content,
                template=base.template,
                recipe=recipe,
                versions=versions,
            )
            yield _Plan(id, config, recipe, versions, base_id(base.files), base.files, base.template)
            config = config.halved()


@dataclass(frozen=True, slots=True)
class _Plan:
    """An adapter that could be made."""

    id: str
    config: AdapterConfig
    recipe: Mapping[str, Any]
    versions: Mapping[str, str]
    base: str
    files: Files
    template: str


def _what(device: str) -> What:
    """As the ledger calls it."""
    return "gpu" if device == "cuda" else "cpu"


def check(examples: list[Example]) -> None:
    """UnfitRows where there is nothing to learn: no row, one, or the same one over and over."""
    train = [one for one in examples if one.split == TRAIN]
    different = {tuple((message["role"], message["content"]) for message in one.messages) for one in train}
    if len(different) < 2:
        said = "no rows" if not train else "one row" if len(train) == 1 else f"{len(train)} rows that are all the same"
        raise UnfitRows(
            f"the train split has {said}",
            expected="rows that differ: one row is learned by heart, and teaches no manner",
            next_step="look at the data card of behavior/dataset for where the candidates went",
        )


def measured(trained: Trained, config: AdapterConfig, machine: Machine, order: Order) -> dict[str, Any]:
    """What the manifest says of a training. Energy is an estimate: watts, measured or assumed, times seconds."""
    assumed = config.gpu_watts if config.device == "cuda" else config.cpu_watts
    watts = trained.watts if trained.watts is not None else assumed
    return {
        "rows": len(order.train),
        "validation_rows": len(order.validation),
        "pairs": len(order.pairs),
        "steps": len(trained.losses),
        "best_step": trained.best,
        "stopped_early": trained.stopped,
        "resumed_at": trained.resumed,
        "loss": trained.losses[-1] if trained.losses else 0.0,
        "validation_loss": min((loss for _, loss in trained.validation), default=None),
        "losses": thinned([(number + 1, loss) for number, loss in enumerate(trained.losses)]),
        "validation": [list(one) for one in trained.validation],
        "preference": dict(trained.preference),
        "divergences": thinned([(number + 1, one) for number, one in enumerate(trained.divergences)]),
        "tokens": trained.tokens,
        "answer_tokens": trained.answer_tokens,
        "seconds": round(trained.seconds, 3),
        "tokens_per_second": round(trained.tokens / max(trained.seconds, 1e-9), 1),
        "device": config.device,
        "device_kind": machine.kind if config.device == machine.device else config.device,
        "memory_bytes": trained.memory,
        "watts": round(watts, 1),
        "watts_measured": trained.watts is not None,
        "energy_wh": round(watts * trained.seconds / 3_600, 4),
    }


def thinned(curve: list[tuple[int, float]]) -> list[list[float]]:
    """At most about POINTS points of a curve: each the mean of those around it."""
    width = -(-len(curve) // POINTS) or 1
    found = []
    for start in range(0, len(curve), width):
        part = curve[start : start + width]
        found.append([part[-1][0], sum(loss for _, loss in part) / len(part)])
    return found


def _too_large(error: OutOfMemory, config: AdapterConfig) -> OutOfMemory:
    return OutOfMemory(
        f"{error.problem}, although each part was one row (adapter.batch_rows {config.batch_rows}, accumulation "
        f"{config.accumulation})",
        expected="memory for the base, its adapter and one row",
        next_step='lower dataset.max_tokens or adapter.rank, set adapter.recompute = "on" or (on a GPU) '
        'adapter.quantize = "4bit", or take a machine with more memory',
    )
