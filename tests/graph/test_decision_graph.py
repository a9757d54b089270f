"""The decision in the graph: evidence and verdict, and sensors that ask for a fine-tune once and say why not."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime

import dagster as dg
import pytest

from assets.behavior import frozen
from assets.behavior.landing.folder import Landing
from assets.behavior.pipeline import BehaviorData
from assets.behavior.taint.assets import TAINT
from assets.decision.assets import APPROVE_TAG, CANDIDATES, EVIDENCE, VERDICT, VERDICT_TAG
from assets.decision.ledger import Finished, Kind, Request
from assets.decision.spending.assets import LEDGER
from assets.errors import EngineBusy
from orchestration import decision_sensors
from orchestration.definitions import build
from orchestration.engines.corpus_history import LakeHistory
from tests.decision.house import CHANGE, REFERENCE, House, joined, shifted, steady
from tests.fakes import HashEncoder, MemorySource
from tests.graph.conftest import Graph
from tests.graph.plots import of_group, unplotted

FIRED = CHANGE + 2  # the shift is shown by now


class Data(BehaviorData):
    """The slow hand's data over a house's warehouse; what is dirty, and which errors freezing raises, is told."""

    def __init__(self, house: House) -> None:
        super().__init__(
            lake=house.lake,
            landing=Landing(house.lake, MemorySource()),
            warehouse=house.marts,  # pyright: ignore[reportArgumentType] - what the decision asks of one
            history=lambda: LakeHistory(house.lake),
            encoder=HashEncoder(),
        )
        self.dirty, self.errors = {}, []

    def dirty_inputs(self) -> dict[date, str]:
        return self.dirty

    def freeze(self, variant: str, first: date, last: date, request: str) -> frozen.Frozen:
        if self.errors:
            raise self.errors.pop(0)
        return super().freeze(variant, first, last, request)


class Now:
    """Stands in the definitions, which all tests share, for what the test at hand has."""

    def __init__(self) -> None:
        self.what = None

    def __getattr__(self, name: str):
        return getattr(self.what, name)


class World:
    """The real definitions over a house in which behavior shifts, and an instance of Dagster."""

    def __init__(self, graph: Graph, defs: dg.Definitions, house: House, data: Data) -> None:
        self.graph, self.defs, self.house, self.data = graph, defs, house, data
        self.instance = dg.DagsterInstance.ephemeral()
        self.cursor: str | None = None

    def run(self, job: str, **more):
        definition = self.defs.resolve_job_def(job)
        only = [CANDIDATES] if job == "finetune" else None  # the rest of a fine-tune needs a base model
        return definition.execute_in_process(
            instance=self.instance, partition_key="main", asset_selection=only, raise_on_error=False, **more
        )

    def decide(self, number: int | None = None, **tags: str):
        """Evidence and verdict, on the day that a day of the stream closes; returns what the two assets show."""
        if number is not None:
            self.house.at(number)
        result = self.run("decide", tags=tags)
        assert result.success
        return tuple(_shown(result, f"decision__{name}") for name in ("evidence", "verdict"))

    def tick(self, sensor: str = "behavior_shifted") -> tuple[list[dg.RunRequest], str]:
        """One tick: what it requests, and why nothing."""
        definition = self.defs.resolve_sensor_def(sensor)
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            repository_def=self.defs.get_repository_def(),
            resources={"decision": self.house.decision, "behavior_data": self.data},
        )
        found = definition.evaluate_tick(context)
        self.cursor = found.cursor
        return list(found.run_requests or []), found.skip_message or ""

    def scheduled(self):
        """What the schedule of fine-tunes asks for on a Sunday."""
        with dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=datetime(2026, 1, 4, 4, tzinfo=UTC),
            repository_def=self.defs.get_repository_def(),
            resources={"decision": self.house.decision},
        ) as context:
            return self.defs.resolve_schedule_def("scheduled_finetune").evaluate_tick(context)

    def launch(self, request: dg.RunRequest, status: dg.DagsterRunStatus | None = None):
        """What the daemon does with a request; with a status, the run gets no further than that."""
        tags = {**request.tags, "dagster/run_key": request.run_key, "dagster/sensor_name": "behavior_shifted"}
        if status is None:
            return self.run("finetune", tags=tags)
        return self.instance.create_run_for_job(
            self.defs.resolve_job_def("finetune"), status=status, tags={**tags, "dagster/partition": "main"}
        )


def _shown(result, node: str) -> dict:
    [event] = result.asset_materializations_for_node(node)
    return {name: value.value for name, value in event.metadata.items()}


@pytest.fixture(scope="module")
def shared(tmp_path_factory, project):
    """The graph and its definitions, over a decision and data that each test puts there."""
    graph = Graph(tmp_path_factory.mktemp("graph"), project)
    data, decision = Now(), Now()
    data.what = Data(House(tmp_path_factory.mktemp("house")))
    defs = build(graph.settings, graph.hand, data=data, project=project, decision=decision)  # pyright: ignore[reportArgumentType]
    return graph, defs, data, decision


@pytest.fixture
def world(tmp_path, shared):
    graph, defs, data, decision = shared
    house = House(tmp_path, shifted())
    data.what, decision.what = Data(house), house.decision
    return World(graph, defs, house, data.what)


# ------------------------------------------------------------------------------------------------------- the assets


def test_reference_that_is_still_learnt_is_shown(world):
    evidence, verdict = world.decide(4)
    assert evidence["state"].startswith("learning")
    assert (verdict["action"], verdict["cost_finetune"]) == ("wait", 4.0)
    assert "5 of 28 reference days are closed" in verdict["sentence"]


def test_every_asset_has_numbers_to_plot_from_the_first_day_on(world):
    """Also while what is usual is still learnt, and before anything was trained."""
    made = of_group(world.defs, "decision") - {LEDGER}  # that one: test_assets.py
    assert made == {EVIDENCE, VERDICT, TAINT}
    for number in (4, REFERENCE + 5, FIRED):
        evidence, verdict = world.decide(number)
        assert unplotted(world.instance, made) == [], number
    assert evidence["plot"].startswith("![evidence of a shift](data:image/png;base64,")
    assert verdict["cost_gain_a_day"] > 0


def test_evidence_and_verdict_show_all_that_led_to_them(world):
    evidence, verdict = world.decide(FIRED)
    house = world.house
    record = house.decision.store.latest("main")
    numbers = {
        "M": record.evidence,
        "threshold": 7300.0,
        "M_of_threshold": record.evidence / 7300,
        "restatements": 0,
        "days_monitored": FIRED - REFERENCE + 1,
    }
    assert {name: evidence[name] for name in numbers} == pytest.approx(numbers)
    assert all(isinstance(evidence[name], (int, float)) for name in (*numbers, "label_watch", "share_fail"))
    shares = {name: value for name, value in evidence.items() if name.startswith("share_")}
    assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
    assert max(shares, key=shares.__getitem__) == "share_fail"
    assert (evidence["changed"], evidence["fired"]) == (str(record.changed), str(record.fired))
    assert "t0000" in evidence["topics"]
    texts = {"snapshot": record.snapshot, "contract": record.contract, "config": record.config}
    assert {name: evidence[name] for name in texts} == {name: text[:16] for name, text in texts.items()}
    image = re.search(r"!\[.+\]\(data:image/png;base64,(.+)\)", evidence["plot"])
    assert base64.b64decode(image[1])[:8] == b"\x89PNG\r\n\x1a\n"
    assert verdict["action"] == "finetune"
    assert verdict["verdict_id"] == house.decision.finetunes.due("main")[0]
    assert verdict["cost_gain_a_day"] > 0
    for gate in ("evidence", "examples", "budget", "cool_down", "worth_it", "approval"):
        assert gate in verdict["gates"]


def test_equal_snapshot_leaves_downstream_fresh(world):
    def versions() -> list[str]:
        found = [
            world.instance.get_latest_data_version_record(key, partition_key="main") for key in (EVIDENCE, VERDICT)
        ]
        return [record.asset_materialization.tags["dagster/data_version"] for record in found]

    world.decide(FIRED)
    before = versions()
    world.decide()
    assert versions() == before


def test_correction_that_retracts_a_verdict_shows_both(world):
    _, said = world.decide(FIRED)
    world.house.correct(*range(CHANGE, FIRED + 1), by=steady())
    evidence, verdict = world.decide()
    assert (evidence["restatements"], evidence["threshold"]) == (1, 6 * 7300)
    assert str(world.house.day(CHANGE)) in evidence["corrected_days"]
    assert (verdict["action"], verdict["retracted"]) == ("wait", said["verdict_id"])
    assert said["sentence"] in verdict["said_before"]
    assert said["sentence"][:60] in verdict["retracted_verdicts"]
    assert world.tick()[0] == []


def test_counts_that_cannot_be_read_fail_with_their_own_words(world):
    world.decide(REFERENCE)
    [contract] = world.house.lake.names("decision/contracts")
    text = world.house.lake.read_text(contract)
    world.house.lake.write_text(contract, text.replace('"schema": 1', '"schema": 7'))
    world.house.at(FIRED)
    result = world.run("decide")
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "has schema 7" in failure.step_failure_data.error.message
    assert "--freeze --why" in failure.step_failure_data.error.message


# ------------------------------------------------------------------------------------------------------- one request


def test_verdict_leads_to_one_request_and_one_finetune(world):
    assert world.tick() == ([], "main: no verdict yet")
    world.decide(FIRED)
    [request] = world.tick()[0]
    verdict, key = world.house.decision.finetunes.due("main")
    assert (request.run_key, request.partition_key, request.tags[VERDICT_TAG]) == (key, "main", verdict)
    result = world.launch(request)
    assert result.success
    shown = _shown(result, "behavior__frozen_candidates")
    changed, last = world.house.decision.store.latest("main").changed, world.house.day(FIRED)
    assert (shown["days"], shown["cause"]) == (f"{changed} to {last}", verdict)
    assert shown["dagster/row_count"] == (last - changed).days + 1
    again, reason = world.tick()
    assert (again, f"(claimed by {result.run_id})" in reason) == ([], True)
    world.decide()
    assert world.tick()[0] == []
    entries = world.house.ledger.entries([Kind.REQUEST, Kind.FINISHED], variant="main")
    assert [Request.of(entries[0]).by, Finished.of(entries[1]).outcome] == ["behavior_shifted", "done"]
    assert len(entries) == 2
    assert [Request.of(entries[0]).run_key, Finished.of(entries[1]).run] == [result.run_id] * 2


def test_request_whose_run_waits_is_not_made_again(world):
    world.decide(FIRED)
    [request] = world.tick()[0]
    run = world.launch(request, dg.DagsterRunStatus.NOT_STARTED)
    again, reason = world.tick()
    assert again == []
    assert f"requested: run {run.run_id} is NOT_STARTED" in reason


def test_second_run_of_a_verdict_is_refused(world):
    world.decide(FIRED)
    [request] = world.tick()[0]
    assert world.launch(request).success
    second = world.launch(request)
    [failure] = [event for event in second.all_events if event.is_step_failure]
    assert "one fine-tune for a verdict" in failure.step_failure_data.error.message
    assert len(world.house.ledger.entries([Kind.REQUEST])) == 1


def test_run_that_dies_before_it_claims_is_asked_for_again_a_few_times(world):
    world.decide(FIRED)
    keys = []
    for _ in range(decision_sensors.MAX_RUNS):
        [request] = world.tick()[0]
        keys.append(request.run_key)
        world.launch(request, dg.DagsterRunStatus.FAILURE)
    assert len(set(keys)) == decision_sensors.MAX_RUNS
    requests, reason = world.tick()
    assert requests == []
    assert "3 runs failed before they claimed it" in reason
    assert "launch the job `finetune`" in reason


def test_run_that_a_person_cancels_is_not_asked_for_again(world):
    world.decide(FIRED)
    [request] = world.tick()[0]
    world.launch(request, dg.DagsterRunStatus.CANCELED)
    requests, reason = world.tick()
    assert (requests, "was canceled before it began" in reason) == ([], True)


def test_skip_reasons_name_the_measured_numbers(world):
    world.decide(REFERENCE + 5)
    evidence = world.house.decision.store.latest("main").highest
    assert 10 <= evidence < 7_300
    requests, reason = world.tick()
    assert requests == []
    assert reason.startswith("main: wait: No shift of behavior is shown: evidence ")
    assert f"[evidence {evidence:.0f}, required >= 7,300]" in reason
    world.house.marts.per_day = 1
    world.decide(FIRED)
    examples = (world.house.day(FIRED) - world.house.decision.store.latest("main").changed).days + 1
    assert f"[examples {examples}, required >= 20]" in world.tick()[1]
    world.house.marts.per_day, world.house.rules = 20, replace(world.house.rules, per_month=1.0)
    world.decide()
    assert "budget 0.00 + 4.00 EUR, required <= 1.00 EUR a month" in world.tick()[1]


def test_approval_in_the_ui_lets_the_sensor_ask(world):
    world.house.rules = replace(world.house.rules, require_approval=True)
    _, verdict = world.decide(FIRED)
    assert verdict["action"] == "propose"
    requests, reason = world.tick()
    assert requests == []
    assert "approval none, required approved" in reason
    _, denied = world.decide(**{APPROVE_TAG: "no", "twohands/why": "not this week"})
    assert denied["action"] == "blocked"
    assert world.tick()[0] == []
    _, verdict = world.decide(**{APPROVE_TAG: "yes"})
    assert verdict["action"] == "finetune"
    assert [request.tags[VERDICT_TAG] for request in world.tick()[0]] == [verdict["verdict_id"]]
    first, second = world.house.ledger.entries([Kind.APPROVAL])
    assert (first.data["granted"], first.data["why"], second.data["by"]) == (False, "not this week", "the Dagster UI")


@pytest.mark.parametrize(("answer", "said"), [("maybe", "'maybe'"), ("yes", "has no verdict to approve")])
def test_answer_that_makes_no_sense_fails_the_run(world, answer, said):
    world.house.at(REFERENCE)
    result = world.run("decide", tags={APPROVE_TAG: answer})
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert said in failure.step_failure_data.error.message


# ------------------------------------------------------------------------------------------------------- failures


def test_engine_that_is_busy_once_fails_nothing(world):
    """The step is tried again in the same run, and the ledger hears of no failure."""
    world.decide(FIRED)
    world.data.errors = [EngineBusy("the warehouse is busy")]
    [request] = world.tick()[0]
    assert world.launch(request).success
    assert world.house.ledger.entries([Kind.FINISHED]) == []  # the claim stays open until the last step
    world.tick()
    [ended] = map(Finished.of, world.house.ledger.entries([Kind.FINISHED]))
    assert (ended.outcome, ended.released, ended.detail) == ("done", False, "its run ended without an evaluation")
    assert world.decide()[1]["action"] == "wait"


def test_claimed_run_that_died_is_noted_blocks_and_can_be_run_again(world):
    world.decide(FIRED)
    [request] = world.tick()[0]
    run = world.launch(request, dg.DagsterRunStatus.FAILURE)
    world.house.decision.finetunes.begin("main", request.tags[VERDICT_TAG], run.run_id, "behavior_shifted")
    requests, _ = world.tick()
    assert requests == []
    _, verdict = world.decide()
    assert verdict["action"] == "blocked"
    assert "the run ended as FAILURE" in verdict["sentence"]
    assert "last_run the run ended as FAILURE" in world.tick()[1]
    again = world.run(
        "finetune", tags={**request.tags, "dagster/root_run_id": run.run_id, "dagster/parent_run_id": run.run_id}
    )
    assert again.success
    world.tick()  # notes that the run ended
    assert world.decide()[1]["action"] == "wait"
    ends = [Finished.of(entry) for entry in world.house.ledger.entries([Kind.FINISHED])]
    assert [(end.run, end.outcome) for end in ends] == [(run.run_id, "failed"), (again.run_id, "done")]
    assert len(world.house.ledger.entries([Kind.REQUEST])) == 1


def test_finetune_by_hand_is_refused_without_a_verdict_and_an_override_with_a_reason(world):
    world.decide(REFERENCE + 5)
    ops = lambda **config: {"ops": {"behavior__frozen_candidates": {"config": config}}}  # noqa: E731
    for config, said in (({}, "no verdict asks for a fine-tune"), ({"force": True, "why": " "}, "force without why")):
        result = world.run("finetune", run_config=ops(**config))
        [failure] = [event for event in result.all_events if event.is_step_failure]
        assert said in failure.step_failure_data.error.message
    assert world.house.ledger.entries([Kind.REQUEST, Kind.OVERRIDE]) == []
    assert world.run("finetune", run_config=ops(force=True, why="a demo")).success
    [override] = world.house.ledger.entries([Kind.OVERRIDE])
    assert override.data["why"] == "a demo"


def test_finetune_by_hand_acts_on_the_verdict_that_asks(world):
    _, verdict = world.decide(FIRED)
    assert world.run("finetune").success
    [request] = world.house.ledger.entries([Kind.REQUEST])
    assert (request.data["cause"], request.data["by"]) == (verdict["verdict_id"], "the Dagster UI")
    assert world.tick()[0] == []


# ------------------------------------------------------------------------------------------------------- evidence_due


def test_evidence_is_asked_for_when_there_is_something_new_and_once(world):
    world.house.at(REFERENCE)
    [request] = world.tick("evidence_due")[0]
    assert request.partition_key == "main"
    requests, reason = world.tick("evidence_due")
    assert (requests, reason) == ([], "asked for, or waiting for another try: main")
    world.decide()
    assert world.tick("evidence_due") == ([], "every verdict is up to date")
    world.house.at(REFERENCE + 1)
    assert len(world.tick("evidence_due")[0]) == 1


def test_evidence_waits_for_closed_days_to_be_rebuilt_but_not_for_ever(world, monkeypatch):
    world.house.at(FIRED)
    world.data.dirty = {world.house.day(FIRED + 1): "not closed yet"}
    assert len(world.tick("evidence_due")[0]) == 1
    world.cursor, world.data.dirty = None, {world.house.day(REFERENCE): "corrected"}
    requests, reason = world.tick("evidence_due")
    assert requests == []
    assert reason == f"1 closed days are to be rebuilt first, {world.house.day(REFERENCE)} for one"
    now = decision_sensors.time.time() + decision_sensors.HOLD_SECONDS + 1
    monkeypatch.setattr(decision_sensors.time, "time", lambda: now)
    assert len(world.tick("evidence_due")[0]) == 1


def test_evidence_waits_for_a_rebuild_under_way(world):
    world.house.at(FIRED)
    job = world.defs.resolve_job_def("rebuild_days")
    world.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert world.tick("evidence_due") == ([], "rebuild_days is under way")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"asked": 3}', '{"asked": {"main": {"colour": 1}}}'])
def test_cursor_that_cannot_be_read_costs_a_reading(world, text):
    world.house.at(REFERENCE)
    world.cursor = text
    assert len(world.tick("evidence_due")[0]) == 1
    assert json.loads(world.cursor)["asked"]["main"]["digest"]


# ------------------------------------------------------------------------------------------------------- two hands


def test_content_change_however_large_leads_to_no_finetune(world):
    """Every document replaced and twenty times as many added: nothing of the decision moves, and nothing is stale."""
    world.house.write(joined(world.house.stream, steady(), 0))
    world.decide(FIRED)
    assert world.graph.run(world.instance, "docs").success
    before = (world.house.decision.stamp("main"), world.house.lake.names("decision"), world.house.ledger.entries())
    files = world.graph.sources["docs"].files
    for name in files:
        files[name] = "# Other\n\nNothing is as it was."
    files |= {f"new-{number}.md": f"# New {number}\n\nThere is more, {number} times." for number in range(40)}
    run = world.defs.resolve_job_def("sync_slices").execute_in_process(
        instance=world.instance, partition_key="docs", raise_on_error=False
    )
    assert run.success
    touched = {event.asset_key.path[0] for event in run.get_asset_materialization_events()}
    assert touched == {"knowledge"}
    assert world.tick("evidence_due") == ([], "every verdict is up to date")
    requests, reason = world.tick()
    assert (requests, "No shift of behavior is shown" in reason) == ([], True)
    assert world.decide()[1]["action"] == "wait"
    after = (world.house.decision.stamp("main"), world.house.lake.names("decision"), world.house.ledger.entries())
    assert after == before
    fast = {key for key in world.defs.resolve_asset_graph().get_all_asset_keys() if key.path[0] == "knowledge"}
    for key in (EVIDENCE, VERDICT, CANDIDATES):
        assert not fast & world.defs.resolve_asset_graph().get_ancestor_asset_keys(key)


def test_nothing_but_a_verdict_or_a_person_starts_a_finetune(world):
    graph = world.defs.resolve_asset_graph()
    assert graph.get(CANDIDATES).automation_condition is None
    starting = [s.name for s in world.defs.sensors if s.has_jobs and "finetune" in {job.name for job in s.jobs}]
    assert starting == ["behavior_shifted"]
    off = dg.DefaultScheduleStatus.STOPPED
    scheduled = [(s.name, s.default_status) for s in world.defs.schedules if s.job_name == "finetune"]
    assert scheduled == [("scheduled_finetune", off)]
    for job in world.defs.resolve_all_job_defs():
        keys = job.asset_layer.selected_asset_keys if job.asset_layer else set()
        assert job.name in ("finetune", "__ASSET_JOB") or CANDIDATES not in keys


@pytest.fixture
def kept(world, tmp_path):
    """The world on an instance that is stored: schedules open it by themselves."""
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        world.instance = instance
        yield world


def test_schedule_that_somebody_turned_on_overrides_by_its_own_name(kept):
    world = kept
    schedule = world.defs.resolve_schedule_def("scheduled_finetune")
    assert (schedule.cron_schedule, schedule.default_status) == ("0 4 * * 0", dg.DefaultScheduleStatus.STOPPED)
    world.house.judge(REFERENCE)  # nothing has shifted
    data = world.scheduled()
    [request] = data.run_requests
    assert (request.partition_key, request.run_key) == ("main", "scheduled:main:2026-01-04T04:00:00+00:00")
    tags = {**request.tags, "dagster/run_key": request.run_key, "dagster/schedule_name": schedule.name}
    assert world.run("finetune", run_config=request.run_config, tags=tags).success
    [override], [claimed] = (world.house.ledger.entries([kind]) for kind in (Kind.OVERRIDE, Kind.REQUEST))
    assert (override.data["why"], override.data["by"]) == ("the schedule", "scheduled_finetune")
    assert claimed.data["by"] == "scheduled_finetune"


def test_schedule_asks_for_no_second_finetune_while_one_is_under_way(kept):
    world = kept
    world.house.judge(FIRED)
    [request] = world.tick()[0]
    run = world.launch(request, dg.DagsterRunStatus.STARTED)
    assert world.scheduled().skip_message == "a fine-tune is under way: main"
    world.instance.delete_run(run.run_id)
    assert world.scheduled().run_requests
    verdict = world.house.decision.finetunes.due("main")[0]
    world.house.decision.finetunes.begin("main", verdict, "cli-1", "somebody")  # on the command line
    assert world.scheduled().skip_message == "a fine-tune is under way: main"


def test_loading_the_definitions_imports_none_of_what_computes():
    code = (
        "import sys, orchestration.definitions as d; d.defs(); "
        "print([m for m in ('torch', 'matplotlib', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
