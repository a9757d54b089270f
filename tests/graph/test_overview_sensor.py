"""The overview follows what happened: one look after runs, no second one without news, and none too soon."""

from __future__ import annotations

import time

import dagster as dg

from orchestration import overview_sensor


def tick(graph, instance, cursor=""):
    sensor = graph.defs.resolve_sensor_def("overview_due")
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        return sensor.evaluate_tick(context)


def test_run_that_ended_leads_to_one_look_which_shows_it(graph):
    with dg.DagsterInstance.ephemeral() as instance:
        assert tick(graph, instance).skip_message == "no run ended since the last look"
        assert graph.run(instance, "docs").success
        found = tick(graph, instance)
        assert len(found.run_requests) == 1
        looked = graph.defs.resolve_job_def("report_ledger").execute_in_process(instance=instance)
        assert looked.success
        (event,) = [
            one for one in looked.get_asset_materialization_events() if one.asset_key.path == ["deployment", "overview"]
        ]
        assert event.materialization.metadata["passages"].value == 2
        assert tick(graph, instance, found.cursor).skip_message == "no run ended since the last look"


def test_many_runs_are_one_look(graph, monkeypatch):
    with dg.DagsterInstance.ephemeral() as instance:
        assert graph.run(instance, "docs").success
        cursor = tick(graph, instance).cursor
        assert graph.run(instance, "notes").success
        assert "the next look is in" in tick(graph, instance, cursor).skip_message
        monkeypatch.setattr(overview_sensor, "APART", 0.0)
        assert len(tick(graph, instance, cursor).run_requests) == 1


def test_look_that_is_under_way_is_waited_for(graph):
    with dg.DagsterInstance.ephemeral() as instance:
        assert graph.run(instance, "docs").success
        job = graph.defs.resolve_job_def("report_ledger")
        instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        assert tick(graph, instance).skip_message == "report_ledger is under way"


def test_cursor_that_cannot_be_read_costs_one_look(graph):
    with dg.DagsterInstance.ephemeral() as instance:
        assert graph.run(instance, "docs").success
        found = tick(graph, instance, "garbage")
        assert len(found.run_requests) == 1
        assert abs(float(found.cursor) - time.time()) < 60
