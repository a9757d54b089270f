"""The adapter in the graph: after the dataset, by variant, trained once on the bundled base; its curve and its cost."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from assets.behavior.adapter.assets import ADAPTER, GPU_POOL
from assets.behavior.adapter.pipeline import BY, Fitting
from assets.behavior.adapter.store import Adapters
from assets.behavior.dataset import store
from assets.behavior.dataset.assets import DATASET
from assets.behavior.dataset.rows import Example
from assets.decision.ledger import Kind, Spend
from assets.decision.spending.costs import Prices
from assets.serving.files import hashed
from orchestration.assembly_adapter import base, fitting
from orchestration.assembly_behavior import behavior_data
from orchestration.definitions import build
from orchestration.engines.lake import FolderLake
from orchestration.engines.trainer import ProcessTrainer
from orchestration.ledger import LakeLedger
from tests.behavior.dataset import made
from tests.engines.training_rows import BASE, CONFIG, chat


class World:
    """The real definitions over a lake with one dataset; the base is the bundled one."""

    def __init__(self, graph, project, folder: Path) -> None:
        self.lake, self.adapters = FolderLake(folder / "lake"), Adapters(folder / "adapters")
        settings = graph.settings.model_copy(
            update={"base": graph.settings.base.model_copy(update={"model": str(BASE)}), "home": folder}
        )
        self.fitting = Fitting(
            lake=self.lake,
            adapters=self.adapters,
            trainer=ProcessTrainer(folder, wait_seconds=0),
            base=lambda: base(settings),
            ledger=LakeLedger(self.lake),
            prices=Prices("EUR", per_cpu_hour=3.6),
            config=CONFIG,
        )
        self.template = base(settings).template
        self.defs = build(settings, graph.hand, project=project, adapters=self.fitting)
        self.instance = dg.DagsterInstance.ephemeral()

    def dataset(self, count: int, held: int = 2) -> store.Manifest:
        rows = [example(number, "train") for number in range(count)]
        rows += [example(1_000 + number, "validation") for number in range(held)]
        told = {"template": self.template}
        return store.write(self.lake, "main", rows, [], request="r1", frozen="f", made_of=told, card={})

    def run(self) -> dg.ExecuteInProcessResult:
        job = self.defs.resolve_job_def("finetune")
        return job.execute_in_process(
            instance=self.instance, partition_key="main", asset_selection=[ADAPTER], raise_on_error=False
        )


def example(number: int, split: str) -> Example:
    told = chat(number)
    return Example(
        tuple(told),  # type: ignore[arg-type]
        (f"i{number}",), "t", "correction", "format", made.FIRST, "g", split, "q", told[1]["content"],
    )  # fmt: skip


@pytest.fixture
def world(tmp_path, graph, project) -> World:
    return World(graph, project, tmp_path / "house")


def said(result: dg.ExecuteInProcessResult) -> str:
    [event] = [one for one in result.all_events if one.is_step_failure]
    failed = event.step_failure_data.user_failure_data
    return str(failed.description if failed else event.step_failure_data.error)


def test_adapter_is_trained_once_and_shows_how_it_learned(world):
    manifest = world.dataset(8)
    result = world.run()
    assert result.success, said(result)
    [event] = result.asset_materializations_for_node("behavior__adapter")
    [adapter] = world.adapters.all_of("main")
    shown = {name: value.value for name, value in event.metadata.items()}
    assert (event.partition, event.tags["dagster/data_version"]) == ("main", adapter.id)
    assert (adapter.dataset, adapter.request, adapter.base) == (manifest.digest, "r1", shown["base"])
    assert "data:image/png;base64," in shown["curve"]
    assert (shown["rows"], shown["validation_rows"], shown["steps"], shown["trained"]) == (8, 2, 2, "yes")
    assert shown["tokens_per_second"] > 0
    assert hashed(world.adapters.folder_of(adapter.id), "adapter").keys() >= adapter.files.keys()
    [spend] = [Spend.of(entry) for entry in LakeLedger(world.lake).entries([Kind.SPEND])]
    assert (spend.what, spend.by, spend.amount) == ("cpu", BY, pytest.approx(shown["cost"], abs=1e-4))  # as it is shown
    logged = [entry.user_message for entry in world.instance.all_logs(result.run_id)]
    assert any("update 2 of 2: loss" in line and "of held-out rows" in line for line in logged)

    again = world.run()
    assert again.success
    [event] = again.asset_materializations_for_node("behavior__adapter")
    assert event.metadata["trained"].value == "no: it was there already"
    assert (len(world.adapters.all_of("main")), len(LakeLedger(world.lake).entries([Kind.SPEND]))) == (1, 1)


def test_dataset_that_was_materialized_last_is_learned_also_when_it_is_an_older_one(world):
    old = world.dataset(3)
    world.dataset(4)
    world.instance.report_runless_asset_event(
        dg.AssetMaterialization(DATASET, partition="main", metadata={"stored_as": old.name})
    )
    asked = []
    world.fitting.make = lambda variant, run, report, dataset: asked.append((variant, dataset))  # type: ignore[method-assign]
    assert not world.run().success
    assert asked == [("main", old.name)]


def test_too_few_rows_fail_the_run_and_are_not_tried_again(world):
    world.dataset(1)
    result = world.run()
    assert not result.success
    assert "the train split has one row" in said(result)
    assert world.adapters.all_of("main") == []


def test_adapter_waits_for_a_fine_tune_and_for_the_gpu(world):
    node = world.defs.resolve_asset_graph().get(ADAPTER)
    assert (node.automation_condition, node.pools, node.group_name) == (None, {GPU_POOL}, "finetune")
    assert DATASET in node.parent_keys


def test_configured_trainer_is_the_home_s_own(graph, tmp_path):
    found = fitting(graph.settings, behavior_data(graph.settings))
    assert found.adapters.folder == graph.settings.home / "adapters"
    assert isinstance(found.trainer, ProcessTrainer)
    assert found.trainer.folder == graph.settings.home / "training"
