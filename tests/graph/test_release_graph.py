"""The release in the graph: it follows the gate once, shows pointer and history, and begins a new contract."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from assets.serving.assets import ANSWERS, INTACT, RELEASE
from assets.serving.release import Release
from orchestration.assembly import open_the_lake
from orchestration.assembly_decision import decision
from orchestration.assembly_serving import adapter_folder, base_folder, releases
from tests.graph.plots import of_group, unplotted
from tests.serving.models import PROMPT, other_prompts, write


@pytest.fixture
def found(graph):
    write(base_folder(graph.settings), "base weights")
    return releases(graph.settings, open_the_lake(graph.settings))


@pytest.fixture
def instance():
    with dg.instance_for_test() as made:
        yield made


def propose(graph, found, adapter: str, promoted: bool = True) -> str:
    write(adapter_folder(graph.settings, adapter), f"weights of {adapter}")
    now = found.moves.now("main")
    said = "Promote: `better` | by far." if promoted else "Refuse: less right."
    release = Release("b1", adapter, PROMPT, "encoder", "index-7")
    return found.propose("main", release, promoted=promoted, sentence=said, against=now.id if now else "base").id


def run(graph, instance, **config):
    options = {"run_config": {"ops": {"serving__release": {"config": config}}}} if config else {}
    return graph.defs.resolve_job_def("release").execute_in_process(
        instance=instance, partition_key="main", raise_on_error=False, **options
    )


def shown(result) -> dict:
    assert result.success
    [event] = result.asset_materializations_for_node("serving__release")
    return {name: value.value for name, value in event.metadata.items()}


def version(instance) -> str:
    return instance.get_latest_data_version_record(RELEASE).asset_materialization.tags["dagster/data_version"]


def test_release_before_there_is_one_says_that_the_base_answers(graph, instance, found):
    metadata = shown(run(graph, instance))
    assert (metadata["release"], metadata["served"], metadata["moves"]) == ("base", "base", 0)
    assert version(instance) == "none"


def test_release_follows_the_gate_once(graph, instance, found):
    id = propose(graph, found, "a1")
    metadata = shown(run(graph, instance))
    assert unplotted(instance, of_group(graph.defs, "serving")) == []
    assert metadata["release"] == metadata["served"] == id
    assert PROMPT in metadata["pointer"]
    assert "Promote: 'better' ¦ by far." in metadata["history"]  # a table's cell, whatever the text holds
    first = version(instance)
    assert shown(run(graph, instance))["moves"] == 1
    assert version(instance) == first
    history = shown(run(graph, instance, action="rollback", why="people complain"))["history"]
    newest, oldest = history.splitlines()[2:4]
    assert "| `2` | `rollback to base` | " in newest
    assert "| `people complain` |" in newest
    assert f"| `1` | `promote {id}` | " in oldest
    assert shown(run(graph, instance))["release"] == "base"  # and it is not promoted again by itself
    again = shown(run(graph, instance, action="promote", id=id, why="they were wrong"))
    assert again["release"] == id
    assert "`they were wrong (gate: released before)`" in again["history"]


def test_refused_candidate_is_kept_shown_and_not_served(graph, instance, found):
    worse = propose(graph, found, "a1", promoted=False)
    metadata = shown(run(graph, instance))
    assert metadata["release"] == "base"
    assert worse in metadata["candidates"]
    assert "refused" in metadata["candidates"]
    result = run(graph, instance, action="promote", id=worse, why="w")
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "the gate refused it" in failure.step_failure_data.error.message
    assert found.moves.now("main") is None


def test_tampered_release_fails_its_check(graph, instance, found):
    id = propose(graph, found, "a1")
    intact = lambda result: {c.check_name: c.passed for c in result.get_asset_check_evaluations()}[INTACT]  # noqa: E731
    assert intact(run(graph, instance))
    (adapter_folder(graph.settings, "a1") / "model.safetensors").write_text("evil")
    result = run(graph, instance)
    assert not intact(result)
    metadata = shown(result)
    assert (metadata["release"], metadata["served"]) == (id, "base")
    assert "model.safetensors is another" in metadata["problems"]


def test_release_of_other_prompts_fails_the_same_check(graph, instance, found, monkeypatch):
    id = propose(graph, found, "a1")
    assert shown(run(graph, instance))["served"] == id
    other_prompts(monkeypatch)
    result = run(graph, instance)
    assert not {c.check_name: c.passed for c in result.get_asset_check_evaluations()}[INTACT]
    assert (shown(result)["release"], shown(result)["served"]) == (id, "base")


def test_move_by_hand_needs_a_reason(graph, instance, found):
    result = run(graph, instance, action="rollback")
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "rollback without why" in failure.step_failure_data.error.message


def test_decision_sees_what_answers_and_since_when(graph, found):
    from orchestration.assembly_behavior import behavior_data

    asked = decision(graph.settings, behavior_data(graph.settings))._release
    assert (asked("main").name, asked("main").since) == ("base", None)
    stamp = repr(asked("main"))
    id = propose(graph, found, "a1")
    found.promote("main", id, why="w", by="ann")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    assert (asked("main").name, asked("main").since) == (id, tomorrow)
    assert repr(asked("main")) != stamp  # so that the sensor looks again
    found.rollback("main", why="w", by="ann")
    assert (asked("main").name, asked("main").since) == ("base", tomorrow)


def test_nothing_but_a_person_or_the_gate_starts_a_release(graph):
    asset = graph.defs.resolve_assets_def(RELEASE)
    assert asset.specs_by_key[RELEASE].automation_condition is None
    assert not any(key.path[0] == "knowledge" for key in asset.dependency_keys)


def test_answers_are_where_the_hands_meet_and_no_run_makes_them(graph):
    of = graph.defs.resolve_asset_graph()
    assert of.get(ANSWERS).parent_keys == {dg.AssetKey(["knowledge", "index"]), RELEASE}
    assert not of.get(ANSWERS).is_executable
    assert not of.get(ANSWERS).child_keys  # what is answered moves neither hand here
