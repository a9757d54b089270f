"""What the UI marks as stale when behavior moves on, what it does not, and that no mark starts a run."""

from __future__ import annotations

import time

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from assets.decision.assets import CANDIDATES, EVIDENCE, VERDICT
from assets.serving.assets import RELEASE
from orchestration.definitions import build
from tests.decision.house import REFERENCE, House, steady
from tests.graph.conftest import Graph
from tests.graph.test_decision_graph import Data, World

FINETUNE = "finetune"
_VERSION, _POINTER = "dagster/input_data_version", "dagster/input_event_pointer"


class Slow(World):
    """The real definitions over a house in which nothing shifts; what a fine-tune makes is reported, and not made."""

    def __init__(self, folder, project) -> None:
        graph, house = Graph(folder / "graph", project), House(folder / "house", steady())
        data = Data(house)
        super().__init__(graph, build(graph.settings, graph.hand, data, project, house.decision), house, data)
        self.graph_of_assets = self.defs.resolve_asset_graph()
        keys = self.graph_of_assets.toposorted_asset_keys
        runs = [key for key in keys if self.graph_of_assets.get(key).is_executable]  # answers are only shown
        made = {key for key in runs if self.graph_of_assets.get(key).group_name in (FINETUNE, "serving")}
        self.costly = [key for key in keys if key in made]

    def made(self) -> None:
        """As if one fine-tune had run to its end: materializations that name the versions that they were made from."""
        for key in self.costly:
            tags = {"dagster/data_version": f"{key.to_user_string()} {time.time()}", "dagster/code_version": "1"}
            for parent in self.graph_of_assets.get(key).parent_keys:
                record = self.instance.get_latest_data_version_record(parent, partition_key="main")
                version = record and record.asset_materialization.tags["dagster/data_version"]
                tags[f"{_VERSION}/{parent.to_user_string()}"] = version or "NULL"
                tags[f"{_POINTER}/{parent.to_user_string()}"] = str(record.storage_id) if record else "NULL"
            self.instance.report_runless_asset_event(dg.AssetMaterialization(key, partition="main", tags=tags))

    def stale(self) -> dict[dg.AssetKey, set[dg.AssetKey]]:
        """What the UI marks, and because of what."""
        found = CachingStaleStatusResolver(self.instance, self.graph_of_assets, LoadingContextForTest(self.instance))
        return {
            key: {cause.dependency.asset_key for cause in found.get_stale_causes(key, "main") if cause.dependency}
            for key in self.costly
            if found.get_status(key, "main") is StaleStatus.STALE
        }

    def jobs(self) -> set[str]:
        return {run.job_name for run in self.instance.get_runs()}


@pytest.fixture(scope="module")
def slow(tmp_path_factory, project):
    folder = tmp_path_factory.mktemp("slow")
    (folder / "graph").mkdir()
    return Slow(folder, project)


def test_new_behavior_marks_all_that_a_finetune_made_and_starts_nothing(slow):
    names = {key.to_user_string() for key in slow.costly}
    assert names >= {"behavior/frozen_candidates", "behavior/dataset", "behavior/adapter", "serving/release"}
    slow.decide(REFERENCE)
    slow.made()
    assert slow.stale() == {}
    slow.decide()  # the same days once more
    assert slow.stale() == {}
    slow.decide(REFERENCE + 1)
    marked = slow.stale()
    assert set(marked) == set(slow.costly)
    assert all(EVIDENCE in causes or VERDICT in causes for causes in marked.values())
    assert slow.tick()[0] == []
    assert slow.jobs() == {"decide"}
    slow.made()
    slow.house.correct(REFERENCE)
    slow.decide()
    assert set(slow.stale()) == set(slow.costly)  # a closed day was corrected
    slow.made()
    assert slow.stale() == {}


def test_real_run_clears_the_mark_of_what_it_made(slow):
    slow.decide(REFERENCE + 3)
    slow.made()
    slow.decide(REFERENCE + 4)
    assert RELEASE in slow.stale()
    assert slow.run("release").success
    assert set(slow.stale()) == set(slow.costly) - {RELEASE}
    slow.decide(REFERENCE + 5)
    assert slow.stale()[RELEASE] == {EVIDENCE}


def test_content_marks_nothing_of_the_slow_hand(slow):
    slow.decide(REFERENCE + 2)
    slow.made()
    for text in ("# Other\n\nNothing is as it was.", "# Another\n\nAnd again."):
        slow.graph.sources["docs"].files["a.md"] = text
        assert slow.graph.run(slow.instance, "docs").success
        slow.decide()
        assert slow.stale() == {}


def test_no_asset_starts_by_itself(slow):
    """What runs unasked is a sensor or a schedule that can be seen and turned off; none of an asset's own making."""
    graph = slow.graph_of_assets
    assert [key for key in graph.get_all_asset_keys() if graph.get(key).automation_condition] == []
    assert [key for key in graph.asset_check_keys if graph.get(key).automation_condition] == []
    starting = {
        one.name: one.default_status.value
        for one in [*(slow.defs.sensors or ()), *(slow.defs.schedules or ())]
        if FINETUNE in _started(one)
    }
    assert starting == {"behavior_shifted": "RUNNING", "scheduled_finetune": "STOPPED"}
    assert CANDIDATES in slow.costly


def _started(one) -> set[str]:
    """Jobs that a schedule or a sensor starts; one that only hears of runs has none."""
    if isinstance(one, dg.SensorDefinition):
        return {job.name for job in one.jobs} if one.has_jobs else set()
    return {one.job_name}
