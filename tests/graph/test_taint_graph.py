"""Corrections that touch a trained adapter, in the graph: shown, proposed, and one fine-tune when a person agrees."""

from __future__ import annotations

import json

import dagster as dg
import pytest

from assets.behavior.adapter.store import Adapters
from assets.behavior.dataset import store
from assets.behavior.dataset.assets import DATASET
from assets.behavior.pipeline import BUILT
from assets.behavior.taint.assets import TAINT
from assets.behavior.taint.checks import STANDS
from assets.behavior.taint.looking import FOLDER
from assets.decision.assets import APPROVE_TAG, CANDIDATES, VERDICT, VERDICT_TAG
from assets.decision.tainted import FromTaints
from assets.serving.release import Release
from orchestration.assembly_serving import base_folder, releases
from orchestration.assembly_taint import taints
from tests.behavior.adapter import made as trained
from tests.behavior.dataset import made
from tests.decision.house import REFERENCE, House, steady
from tests.graph.plots import unplotted
from tests.graph.test_dataset_graph import ROWS, World
from tests.serving.models import PROMPT, write

APPROVED = {APPROVE_TAG: "yes"}


class Tainted(World):
    """A house in which nothing shifts, and a dataset whose adapter answers."""

    def __init__(self, folder, graph, project) -> None:
        self.house = House(folder, steady()).at(REFERENCE + 5)
        self.settings = graph.settings
        found = taints(graph.settings, self.house.lake)
        self.house.decision = self.house.opened(tainting=FromTaints(found))
        super().__init__(graph, self.house, project)
        self.frozen(ROWS)
        assert self.run(DATASET).success
        [self.manifest] = store.manifests(self.lake, "main")
        self.learnt = [line for line in store.lineage(self.lake, self.manifest) if line.split == "train"]
        self.cursor: str | None = None
        self.released()

    def released(self) -> None:
        write(base_folder(self.settings), "base weights")
        told = trained.adapter(dataset=self.manifest.digest, content=self.manifest.content)
        Adapters(self.settings.home / "adapters").publish(trained.saved(self.settings.home / "scratch"), told)
        found, release = releases(self.settings, self.lake), Release("b", told.id, PROMPT)
        id = found.propose("main", release, promoted=True, sentence="Better.", against="base").id
        found.promote("main", id, why="better", by="a test")

    def corrected(self, count: int) -> None:
        """So many rows that the adapter learned from are corrected anew, and their days are built."""
        ids = {id_ for line in self.learnt[:count] for id_ in line.interaction_ids}
        made.fill(
            self.lake, [dict(row, prompt=row["prompt"] + " Really?") if row["id"] in ids else row for row in ROWS]
        )
        built = json.loads(self.lake.read_text(BUILT) or "{}")
        self.lake.write_text(BUILT, json.dumps({day: f"{name} {count}" for day, name in built.items()}))

    def tick(self, sensor: str) -> list[dg.RunRequest]:
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            repository_def=self.defs.get_repository_def(),
            resources={"decision": self.house.decision, "behavior_data": Clean()},
        )
        found = self.defs.resolve_sensor_def(sensor).evaluate_tick(context)
        self.cursor = found.cursor
        return list(found.run_requests or [])

    def decide(self, **more):
        result = self.defs.resolve_job_def("decide").execute_in_process(
            instance=self.instance, partition_key="main", raise_on_error=False, **more
        )
        assert result.success
        shown = {}
        for node in ("behavior__taint", "decision__verdict"):
            [event] = result.asset_materializations_for_node(node)
            shown |= {name: value.value for name, value in event.metadata.items()}
        checks = {check.asset_key.path[-1]: check for check in result.get_asset_check_evaluations()}
        return shown, checks


class Clean:
    """Data whose days are all built."""

    def dirty_inputs(self):
        return {}


@pytest.fixture
def world(tmp_path, graph, project):
    return Tainted(tmp_path / "house", graph, project)


def test_correction_of_what_an_adapter_learned_is_shown_proposed_and_done_when_a_person_agrees(world):
    shown, checks = world.decide()
    assert (shown["released_share"], shown["action"]) == (0.0, "wait")
    assert {name: check.passed for name, check in checks.items()} == dict.fromkeys(
        ("dataset", "adapter", "release"), True
    )
    assert world.tick("evidence_due") == []
    world.corrected(2)
    [request] = world.tick("evidence_due")
    shown, checks = world.decide(tags=request.tags)
    share = 2 / len(world.learnt)
    assert shown["released_share"] == pytest.approx(share)
    assert f"| `{'a' * 16}` |" in shown["adapters"]
    assert (shown["action"], "2 corrected" in shown["sentence"]) == ("propose", True)
    assert "`still_stands`" in shown["gates"]
    assert {check.passed for check in checks.values()} == {False}
    assert {check.severity for check in checks.values()} == {dg.AssetCheckSeverity.WARN}
    assert unplotted(world.instance, [TAINT, VERDICT]) == []
    assert (world.tick("evidence_due"), world.tick("behavior_shifted")) == ([], [])  # a person is asked first
    world.lake.remove(world.lake.names(FOLDER))  # as an erasure does
    assert len(world.tick("evidence_due")) == 1
    shown, _ = world.decide(tags=APPROVED)
    assert shown["action"] == "finetune"
    [request] = world.tick("behavior_shifted")
    assert request.tags[VERDICT_TAG] == shown["verdict_id"]
    result = world.run(CANDIDATES, tags={**request.tags, "dagster/run_key": request.run_key})
    assert result.success
    [event] = result.asset_materializations_for_node("behavior__frozen_candidates")
    first = min(world.house.decision.store.contract("main").first_day, made.FIRST)
    assert event.metadata["days"].value == f"{first} to {world.house.day(REFERENCE + 5)}"
    assert world.tick("behavior_shifted") == []


def test_share_below_the_limit_proposes_nothing(world):
    rules = world.house.rules
    world.house.rules = type(rules)(**{**{n: getattr(rules, n) for n in rules.__slots__}, "max_tainted_share": 0.5})
    world.corrected(1)
    shown, _ = world.decide()
    assert (shown["released_touched"], shown["action"]) == (1, "wait")


def test_taint_is_looked_at_and_starts_nothing(world):
    node = world.defs.resolve_asset_graph().get(TAINT)
    assert node.automation_condition is None
    assert node.child_keys == set()
    job = world.defs.resolve_job_def("decide")
    assert TAINT in job.asset_layer.executable_asset_keys
    checks = {
        key.asset_key.to_user_string()
        for key in world.defs.resolve_asset_graph().asset_check_keys
        if key.name == STANDS
    }
    assert checks == {"behavior/dataset", "behavior/adapter", "serving/release"}
