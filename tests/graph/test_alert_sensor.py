"""Failed runs of the real graph lead to one alert each, whatever one of the sinks does."""

from __future__ import annotations

import dagster as dg
import pytest

from assets.errors import EngineBusy, SourceError
from assets.knowledge.gate import Golden
from assets.ports.alerts import Alert
from orchestration.alert_sensor import TOLD_TAG, run_failed
from tests.graph.conftest import Graph


class Kept:
    """Keeps what it is told; breaks while `trouble` is set."""

    def __init__(self, name: str = "kept", trouble: Exception | None = None) -> None:
        self.name, self.trouble, self.told = name, trouble, list[Alert]()

    def send(self, alert: Alert) -> None:
        if self.trouble:
            raise self.trouble
        self.told.append(alert)

    def check(self) -> str:
        return "well"


@pytest.fixture(scope="module")
def failing(tmp_path_factory, project):
    """A graph, an instance, and a run of it that failed."""
    graph = Graph(tmp_path_factory.mktemp("failing"), project)
    with dg.DagsterInstance.ephemeral() as instance:
        yield graph, instance


def failed(failing, error: Exception | None = None, job: str = "sync_slices"):
    graph, instance = failing

    def broken(name: str) -> object:
        raise error or SourceError("there is no folder docs", expected="a folder", next_step="mount the disk")

    former, graph.hand.listing = graph.hand.listing, broken
    graph.hand.documents, kept = (lambda name, **_: broken(name)), graph.hand.documents
    try:
        result = graph.run(instance, "docs", job)
    finally:
        graph.hand.listing, graph.hand.documents = former, kept
    assert not result.success
    return result


def tick(failing, result, *sinks, settings=None, tags=None):
    graph, instance = failing
    run = instance.get_run_by_id(result.run_id)
    if tags:
        instance.add_run_tags(run.run_id, tags)
        run = instance.get_run_by_id(result.run_id)
    context = dg.build_run_status_sensor_context(
        sensor_name="run_failed",
        dagster_event=result.get_run_failure_event() if hasattr(result, "get_run_failure_event") else None,
        dagster_instance=instance,
        dagster_run=run,
    ).for_run_failure()
    return run_failed(settings or graph.settings, sinks)(context)


def test_failed_run_is_told_once_with_what_why_next_step_and_link(failing):
    result, sink = failed(failing), Kept()
    for _ in range(2):  # a tick that was killed comes again
        tick(failing, result, sink)
    [said] = sink.told
    assert said.what == "The job sync_slices (docs) failed at knowledge/documents"
    assert said.why == "there is no folder docs. Expected: a folder."
    assert said.next_step == "mount the disk"
    assert said.link == f"http://127.0.0.1:3000/runs/{result.run_id}"
    assert (said.run, said.job, said.partition) == (result.run_id, "sync_slices", "docs")


def test_sink_that_fails_holds_up_no_other_and_is_tried_again_alone(failing):
    result = failed(failing)
    first, second = Kept("first", EngineBusy("away")), Kept("second")
    broken = Kept("broken", ZeroDivisionError("a defect, with a secret"))
    tick(failing, result, broken, first, second)
    assert (len(first.told), len(second.told)) == (0, 1)
    assert failing[1].get_run_by_id(result.run_id).tags[TOLD_TAG] == "second"
    first.trouble = None
    tick(failing, result, broken, first, second)
    assert (len(first.told), len(second.told)) == (1, 1)


def test_run_that_is_started_once_more_by_itself_is_told_of_by_its_successor(failing):
    result, sink = failed(failing), Kept()
    skipped = tick(failing, result, sink, tags={"dagster/will_retry": "true"})
    assert sink.told == []
    assert "started once more" in skipped.skip_message
    tick(failing, result, sink, tags={"dagster/will_retry": "false"})
    assert len(sink.told) == 1


def test_error_that_time_can_mend_keeps_its_next_step_when_retries_are_used_up(failing):
    sink = Kept()
    tick(failing, failed(failing, EngineBusy("the source is away", next_step="wait for it")), sink)
    [said] = sink.told
    assert (said.why, said.next_step) == ("the source is away.", "wait for it")


@pytest.mark.parametrize(("quote", "why"), [(True, "what somebody wrote"), (False, "ValueError: the run has more")])
def test_error_of_others_is_passed_on_only_where_logs_may_quote(failing, quote, why):
    graph, _ = failing
    behavior = graph.settings.behavior.model_copy(update={"quote": quote})
    settings, sink = graph.settings.model_copy(update={"behavior": behavior}), Kept()
    tick(failing, failed(failing, ValueError("what somebody wrote")), sink, settings=settings)
    [said] = sink.told
    assert why in said.why
    assert "twohands doctor" in said.next_step


def test_refusal_of_a_gate_is_told_in_its_words(failing):
    graph, instance = failing
    graph.golden = [Golden("all about alpha", doc_id="docs/a.md"), Golden("all about bravo", doc_id="docs/b.md")]
    assert graph.run(instance, "docs").success
    graph.sources["docs"].files |= {"a.md": "# x\n\ny."}
    graph.sources["docs"].files |= {f"{number}.md": "# Alpha\n\nall about alpha" for number in range(12)}
    result, sink = graph.run(instance, "docs"), Kept()
    assert not result.success
    tick(failing, result, sink)
    [said] = sink.told
    assert said.what.endswith("failed at knowledge/index")
    assert "is still served" in said.why + said.next_step


def test_definitions_watch_for_failed_runs_unless_nobody_is_told(graph):
    sensor = graph.defs.resolve_sensor_def("run_failed")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert "to log:" in sensor.description
