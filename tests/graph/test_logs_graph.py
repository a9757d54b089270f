"""Logs in the warehouse in the graph: their lineage, and what a warehouse that cannot be looked at holds up."""

from __future__ import annotations

import time

import dagster as dg
import pytest

from assets.behavior.landing.folder import Landing
from assets.errors import EngineError
from assets.knowledge.sources import open_source
from orchestration import assembly_behavior
from orchestration.config import load
from orchestration.definitions import build
from tests.behavior.test_landing_origins import Logs
from tests.graph.test_behavior_graph import DAYS, World, event, key

LOGS = '[warehouse.logs]\nschema_name = "logs"\ntable = "chat_logs"\n'
MISSING = EngineError("there is no table logs.chat_logs", next_step="create it")


@pytest.fixture(scope="module")
def world(tmp_path_factory, project) -> World:
    """A landed file, and logs in a table that is not there."""
    made = World(tmp_path_factory.mktemp("logs"), project)
    made.logs = Logs()
    made.logs.error = MISSING
    source = open_source(
        str(made.folder / "landing"), include=assembly_behavior.LANDED, base=made.folder, cache=made.folder / "git"
    )
    made.data.landing = Landing(made.lake, source, logs=made.logs)
    made.land(DAYS[0], event(DAYS[0], 1))
    return made


def rebuild(world: World, **tags: str) -> dg.ExecuteInProcessResult:
    return world.defs.resolve_job_def("rebuild_days").execute_in_process(
        instance=world.instance,
        partition_key=str(DAYS[0]),
        tags=tags,
        asset_selection=[key("interactions")],
        raise_on_error=False,
    )


def test_landed_files_are_read_and_a_check_says_what_was_not(world):
    result = world.defs.resolve_job_def("ingest_interactions").execute_in_process(instance=world.instance)
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert world.data.landing.days() == DAYS[:1]
    assert not checks["every_file_is_read"].passed
    assert "there is no table logs.chat_logs" in str(checks["every_file_is_read"].metadata["files"])


def test_all_days_are_looked_at_where_the_config_says_so(world):
    job, config = world.defs.resolve_job_def("ingest_interactions"), {"config": {"all_days": True}}
    job.execute_in_process(instance=world.instance, run_config={"ops": {"behavior__landing": config}})
    assert world.logs.days[-1] is None


def test_day_that_a_person_rebuilds_fails_where_its_origin_cannot_be_looked_at(world):
    result = rebuild(world)
    assert not result.success
    failure = next(e for e in result.all_events if e.is_step_failure).step_failure_data.user_failure_data
    assert "there is no table logs.chat_logs" in failure.description
    assert world.logs.days[-1] == DAYS[:1]


@pytest.mark.parametrize("tag", ["dagster/sensor_name", "dagster/schedule_name"])
def test_day_that_rebuilds_itself_goes_on_with_what_was_read(world, tag):
    assert rebuild(world, **{tag: "x"}).success
    assert world.logs.days[-1] == ()


def look(world: World, cursor: str | None = None):
    """One evaluation of the sensor."""
    sensor = next(found for found in world.defs.sensors if found.name == "interactions_landed")
    resources = {"behavior_data": world.data}
    with dg.build_sensor_context(world.instance, cursor, resources=resources, definitions=world.defs) as context:
        return sensor.evaluate_tick(context)


def test_sensor_says_what_it_could_not_look_at_and_requests_the_rest(world):
    asked, found, end = [], look(world), time.monotonic() + 30
    while "rebuild_days" not in asked and time.monotonic() < end:  # a file as young as this one is read once more first
        asked += [request.job_name for request in found.run_requests]
        found = look(world, found.cursor)
        time.sleep(0.1)
    assert "rebuild_days" in asked
    assert "there is no table logs.chat_logs" in found.skip_message


def test_sensor_with_nothing_else_to_look_at_skips_and_says_why(world, monkeypatch):
    monkeypatch.setattr(world.data, "landing", Landing(world.lake, None, logs=world.logs))
    assert "there is no table logs.chat_logs" in look(world).skip_message


def test_table_and_mapping_are_shown_before_landing_and_made_by_no_run(tmp_path):
    (tmp_path / "twohands.toml").write_text('[sources.docs]\nurl = "docs"\n' + LOGS)
    defs = build(load(str(tmp_path / "twohands.toml"), str(tmp_path / "home")))
    graph = defs.resolve_asset_graph()
    view, table = dg.AssetKey(["warehouse", "warehouse_interactions"]), dg.AssetKey(["warehouse", "logs", "chat_logs"])
    assert graph.get(key("landing")).parent_keys == {view}
    assert graph.get(view).parent_keys == {table}
    assert not {view, table, key("warehouse_interactions")} & graph.executable_asset_keys
    assert key("int_outcomes") in graph.executable_asset_keys
