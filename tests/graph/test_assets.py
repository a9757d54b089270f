"""What holds of every asset: words, an owner, a kind, a limit of freshness; and the overview of them all."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta

import dagster as dg
import pytest

from assets.behavior.adapter.assets import ADAPTER
from assets.behavior.dataset.assets import DATASET
from assets.behavior.evaluation.assets import EVALUATION
from assets.behavior.marts.assets import logs
from assets.decision.assets import CANDIDATES
from assets.decision.spending.assets import LEDGER
from assets.deployment.assets import OVERVIEW
from assets.serving.assets import RELEASE
from orchestration.assembly import open_the_lake
from orchestration.freshness import MANNERS, limited
from orchestration.overview_status import facts, text
from orchestration.overview_words import words
from tests.graph.plots import unplotted

DAY, HORIZON = timedelta(hours=26), timedelta(days=365)


@pytest.fixture(scope="module")
def every(tmp_path_factory, project):
    """Every asset of the definitions, and those of a team's own logs."""
    from tests.graph.conftest import Graph

    graph = Graph(tmp_path_factory.mktemp("assets"), project)
    return [*graph.defs.resolve_all_asset_specs(), *logs("team", "chat_logs", "warehouse_interactions")]


def names(specs) -> list[str]:
    return sorted(spec.key.to_user_string() for spec in specs)


def test_graph_has_both_hands_what_stands_between_them_and_what_is_served(every):
    assert {spec.group_name for spec in every} == {
        "knowledge", "behavior", "decision", "finetune", "serving", "deployment", "warehouse_logs",
    }  # fmt: skip


def test_every_asset_says_what_it_is_in_a_sentence(every):
    first = {spec.key.to_user_string(): (spec.description or "").partition("\n\n#")[0].strip() for spec in every}
    assert {key: said for key, said in first.items() if len(said) < 30 or not said.endswith(".")} == {}


def test_every_asset_has_an_owner_and_a_kind(every):
    assert names(spec for spec in every if not spec.owners) == []
    assert names(spec for spec in every if not spec.kinds) == []


def test_every_asset_that_is_made_here_has_a_limit_of_freshness(graph, every):
    made = set(graph.defs.resolve_asset_graph().materializable_asset_keys)
    assert names(spec for spec in every if spec.key in made and spec.freshness_policy is None) == []
    assert names(spec for spec in every if spec.key not in made and spec.freshness_policy is not None) == []
    limits = {spec.group_name: spec.freshness_policy.fail_window.to_timedelta() for spec in every if spec.key in made}
    assert limits == {group: HORIZON if group in MANNERS else DAY for group in limits}


def test_limit_of_freshness_is_that_of_the_settings(graph):
    checks = graph.settings.checks.model_copy(update={"freshness_hours": 5})
    longest = graph.settings.variants["main"].model_copy(update={"horizon_days": 500})
    settings = graph.settings.model_copy(
        update={"checks": checks, "variants": {**graph.settings.variants, "other": longest}}
    )
    plain, manner = (
        limited([dg.AssetsDefinition(specs=[dg.AssetSpec("a", group_name=group)])], settings)[0]
        for group in ("decision", "finetune")
    )
    assert next(iter(plain.specs)).freshness_policy.fail_window.to_timedelta() == timedelta(hours=5)
    assert next(iter(manner.specs)).freshness_policy.fail_window.to_timedelta() == timedelta(days=500)


def test_finetune_is_a_whole_round_of_training_evaluation_and_release(graph):
    """No shorter way leads to another adapter: release is below evaluation, whose checks block, below training."""
    of = graph.defs.resolve_asset_graph()
    round_ = [CANDIDATES, DATASET, ADAPTER, EVALUATION, RELEASE]
    for before, after in itertools.pairwise(round_):
        assert before in of.get(after).parent_keys
    assert graph.defs.resolve_job_def("finetune").asset_layer.selected_asset_keys == set(round_)
    assert [key.name for key in of.get(EVALUATION).check_keys if not of.get(key).blocking] == []
    assert len(of.get(EVALUATION).check_keys) >= 7
    starting = {
        job.name
        for job in graph.defs.resolve_all_job_defs()
        if job.asset_layer and ADAPTER in job.asset_layer.selected_asset_keys
    }
    assert starting <= {"finetune", "__ASSET_JOB"}


# -------------------------------------------------------------------------------------------------------- the overview


def test_overview_is_described_by_the_deployment_itself_and_stands_alone(graph):
    node = graph.defs.resolve_asset_graph().get(OVERVIEW)
    assert node.description == words(graph.settings)
    assert "`docs`" in node.description
    assert (node.parent_keys, node.child_keys) == (set(), set())


def test_words_name_every_sensor_and_schedule(graph):
    found = {one.name for one in [*graph.defs.sensors, *graph.defs.schedules]}
    assert len(found) >= 10
    assert [name for name in found if f"`{name}`" not in words(graph.settings)] == []


def looked(graph, instance) -> dict:
    result = graph.defs.resolve_job_def("report_ledger").execute_in_process(instance=instance)
    [event] = result.asset_materializations_for_node("deployment__overview")
    return {name: value.value for name, value in event.metadata.items()}


def test_overview_shows_what_status_prints_and_its_numbers(graph):
    with dg.DagsterInstance.ephemeral() as instance:
        before = looked(graph, instance)
        assert (before["passages"], before["slices_not_published"], before["spent_this_month"]) == (0, 2, 0.0)
        assert "main: no verdict yet" in before["status"]
        for slice in graph.sources:
            assert graph.run(instance, slice).success
        after = looked(graph, instance)
        assert unplotted(instance, [OVERVIEW, LEDGER]) == []
    assert (after["passages"], after["slices_not_published"]) == (3, 0)
    resources = graph.defs.resources or {}
    found = facts(graph.settings, lambda: graph.hand, resources["behavior_data"], resources["decision"])
    assert [line.split(",")[0] for line in text(found).splitlines()] == [
        line.removeprefix("- `").removesuffix("`").split(",")[0] for line in after["status"].splitlines()
    ]
    json.dumps(found)


def test_overview_of_a_damaged_part_shows_the_others(graph):
    open_the_lake(graph.settings).write_text("serving/releases/main/pointer", "000001-nonsense")
    with dg.DagsterInstance.ephemeral() as instance:
        found = looked(graph, instance)
    assert "is damaged" in found["status"]
    assert found["passages"] == 0
