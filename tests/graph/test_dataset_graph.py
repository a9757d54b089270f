"""The dataset in the graph: after frozen candidates, by variant, with its card; too few clean rows fail the run."""

from __future__ import annotations

import dagster as dg
import pyarrow as pa
import pytest

from assets.behavior.dataset import store
from assets.behavior.dataset.assets import CANDIDATES, DATASET
from assets.behavior.dataset.pipeline import Base, Datasets
from assets.behavior.frozen import freeze
from assets.behavior.landing.folder import Landing
from assets.behavior.pipeline import BehaviorData
from assets.decision.assets import EVIDENCE
from orchestration.definitions import build
from orchestration.engines.corpus_history import LakeHistory
from tests.behavior.dataset import made
from tests.decision.house import CHANGE, House, shifted
from tests.fakes import HashEncoder, MemorySource

ROWS = [*(made.row(number) for number in range(20)), *(made.accepted(number) for number in range(20, 33))]
FORCED = {"ops": {"behavior__frozen_candidates": {"config": {"force": True, "why": "a test"}}}}


class World:
    """The real definitions over a house whose warehouse has these candidates."""

    def __init__(self, graph, house: House, project) -> None:
        self.lake = house.lake
        house.marts.candidates = lambda _: pa.Table.from_pylist(ROWS, schema=made.CANDIDATES)  # type: ignore[method-assign]
        data = BehaviorData(
            lake=house.lake,
            landing=Landing(house.lake, MemorySource()),
            warehouse=house.marts,  # pyright: ignore[reportArgumentType] - what the decision asks of one
            history=lambda: LakeHistory(house.lake),
            encoder=HashEncoder(),
        )
        datasets = Datasets(
            lake=house.lake,
            config=made.CONFIG,
            texts=lambda: made.sources().texts,
            base=lambda: Base(made.render, made.length, "template-1", "words"),
        )
        self.defs = build(graph.settings, graph.hand, data, project, house.decision, datasets)
        self.instance = dg.DagsterInstance.ephemeral()

    def run(self, *only: dg.AssetKey, **more):
        job = self.defs.resolve_job_def("finetune")
        return job.execute_in_process(
            instance=self.instance, partition_key="main", asset_selection=list(only), raise_on_error=False, **more
        )

    def frozen(self, rows) -> None:
        """As if a run had frozen these candidates."""
        made.fill(self.lake, ROWS)
        table = pa.Table.from_pylist(rows, schema=made.CANDIDATES)
        found = freeze(self.lake, table, variant="main", request="r1", first=made.FIRST, last=made.FIRST)
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(CANDIDATES, partition="main", metadata={"stored_as": found.name, "request": "r1"})
        )


@pytest.fixture
def world(tmp_path, graph, project):
    house = House(tmp_path / "house", shifted())
    house.at(CHANGE + 2)
    return World(graph, house, project)


def failure(result) -> dg.StepFailureData:
    [event] = [one for one in result.all_events if one.is_step_failure]
    return event.step_failure_data


def test_dataset_follows_frozen_candidates_in_one_run(world):
    made.fill(world.lake, ROWS)
    result = world.run(CANDIDATES, DATASET, run_config=FORCED)
    assert result.success
    [event] = result.asset_materializations_for_node("behavior__dataset")
    [manifest] = store.manifests(world.lake, "main")
    shown = {name: value.value for name, value in event.metadata.items()}
    assert (event.partition, shown["stored_as"]) == ("main", manifest.name)
    assert shown["dagster/row_count"] == sum(manifest.card["splits"].values())
    assert "| `candidates` | `33` |" in shown["filters"]
    assert {"examples", "lengths", "by_topic", "rows", "events"} <= shown.keys()
    assert event.tags["dagster/data_version"] == manifest.content
    assert manifest.made_of["frozen"] == manifest.frozen
    assert manifest.request.startswith("request:main")


def test_dataset_is_made_of_the_newest_snapshot_and_again_of_the_same(world):
    world.frozen(ROWS[:25])
    world.frozen(ROWS)
    assert world.run(DATASET).success
    assert world.run(DATASET).success
    [manifest] = store.manifests(world.lake, "main")
    assert manifest.card["funnel"][0] == ["candidates", 33]


def test_too_few_clean_rows_fail_the_run_and_say_where_they_went(world):
    world.frozen([made.row(number, completion="It costs 999.") for number in range(20)])
    result = world.run(DATASET)
    assert not result.success
    found = failure(result)
    assert "not enough: of 20 candidates" in str(found.user_failure_data.description)
    filters = found.user_failure_data.metadata["filters"].value
    assert "| `unsupported` | `0` | `20` |" in filters
    assert store.manifests(world.lake, "main") == []
    assert not result.asset_materializations_for_node("behavior__dataset")


def test_dataset_without_candidates_says_what_to_run(world):
    result = world.run(DATASET)
    assert not result.success
    assert "were ever frozen" in str(failure(result).user_failure_data.description)


def test_dataset_waits_for_a_fine_tune(world):
    node = world.defs.resolve_asset_graph().get(DATASET)
    assert node.automation_condition is None
    assert node.parent_keys == {CANDIDATES, EVIDENCE}  # the evidence, so that new days mark it as stale
    assert node.group_name == "finetune"
    upstream = world.defs.resolve_asset_graph().get_ancestor_asset_keys(DATASET)
    assert not {key for key in upstream if key.path[0] == "knowledge"}
