"""The ledger in the graph: it shows what was spent and avoided, and starts nothing."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from assets.decision.ledger import Decided, Finished, Kind, Request
from assets.decision.spending.assets import LEDGER
from assets.decision.spending.costs import Prices
from assets.deployment.assets import OVERVIEW
from orchestration.assembly import encoder_spent, open_the_lake
from orchestration.ledger import LakeLedger

NOW = datetime.now(UTC)


@pytest.fixture
def ledger(graph):
    return LakeLedger(open_the_lake(graph.settings))


@pytest.fixture
def instance():
    with dg.instance_for_test() as made:
        yield made


def run(graph, instance, job: str):
    return graph.defs.resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False)


def fill(ledger: LakeLedger, monitored_days: int) -> None:
    """A first verdict some time ago; today a sync, a fine-tune of half an hour, and another verdict."""
    prices = Prices("EUR", per_gpu_hour=4.0)
    first = Decided(evidence_key="k1", action="wait", sentence="No shift of behavior is shown.")
    ledger.append(first.entry(at=NOW - timedelta(days=monitored_days), variant="main"))
    second = Decided(evidence_key="k2", action="finetune", sentence="Behavior shifted: fine-tune.").entry(
        at=NOW, variant="main"
    )
    request = Request(cause=second.id, run_key="r1", by="behavior_shifted", day=str(NOW.date())).entry(
        at=NOW, variant="main"
    )
    for entry in (
        second,
        request,
        prices.spend("encoder", 12.5, by="knowledge/embeddings:docs", run="s1").entry(at=NOW),
        prices.spend("gpu", 1_800, by="behavior/adapter", run="r1").entry(at=NOW, variant="main"),
        Finished(request=request.id, run="r1", outcome="done").entry(at=NOW, variant="main"),
    ):
        assert ledger.append(entry)


def shown(result) -> dict:
    [event] = result.asset_materializations_for_node("decision__ledger")
    return {name: value.value for name, value in event.metadata.items()}


def test_ledger_shows_the_month_and_what_a_weekly_schedule_would_have_cost(graph, instance, ledger):
    fill(ledger, monitored_days=30)
    result = run(graph, instance, "report_ledger")
    assert result.success
    found = shown(result)
    assert found["month"] == f"{NOW:%Y-%m}"
    expected = {
        "spent_this_month": 2.0,
        "budget_per_month": 500.0,
        "budget_used": 0.004,
        "gpu_hours_this_month": 0.5,
        "encoder_seconds_this_month": 12.5,
        "finetunes_this_month": 1,
        "finetune_costs": 2.0,  # as measured, not as expected
        "weekly_schedule_costs": 8.0,
        "spent_on_finetunes": 2.0,
        "avoided": 6.0,
        "finetunes_avoided": 3,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert all(isinstance(found[name], (int, float)) for name in expected)  # which the UI plots over time
    for plot in ("spent_and_avoided", "encoder_seconds_a_day"):
        image = re.search(r"!\[.+\]\(data:image/png;base64,(.+)\)", found[plot])
        assert base64.b64decode(image[1])[:8] == b"\x89PNG\r\n\x1a\n"
    assert "30.0 min of gpu, 2.00 EUR: behavior/adapter" in found["newest_entries"]
    assert "finetune: Behavior shifted" in found["newest_entries"]


def test_ledger_without_entries_is_shown(graph, instance):
    found = shown(run(graph, instance, "report_ledger"))
    assert (found["entries"], found["spent_this_month"], found["finetune_costs"]) == (0, 0, 4.0)
    assert "avoided" not in found  # nothing was monitored
    assert "spent_and_avoided" not in found


def test_equal_entries_have_an_equal_data_version(graph, instance, ledger):
    def version() -> str:
        assert run(graph, instance, "report_ledger").success
        return instance.get_latest_data_version_record(LEDGER).asset_materialization.tags["dagster/data_version"]

    fill(ledger, 3)
    first = version()
    assert version() == first
    ledger.append(Prices().spend("cpu", 1, by="b", run="r").entry(at=NOW))
    assert version() != first


def test_damaged_ledger_fails_its_own_run_and_no_publication(graph, instance, ledger):
    fill(ledger, 3)
    lake = open_the_lake(graph.settings)
    name = next(name for name in lake.names("ledger") if "-spend-" in name)
    lake.write_text(name, "{")
    result = run(graph, instance, "report_ledger")
    assert not result.success
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert name in failure.step_failure_data.error.message
    graph.hand._spent = encoder_spent(graph.settings, lake)
    assert graph.run(instance, "docs").success
    lake.remove([name])
    assert [e.data["by"] for e in ledger.entries([Kind.SPEND])][-1] == "knowledge/embeddings:docs"


def test_spend_that_cannot_be_recorded_fails_the_run_and_the_next_one_publishes(graph, instance, ledger):
    fill(ledger, monitored_days=70)
    ledger.maintain()
    lake = open_the_lake(graph.settings)
    name = next(name for name in lake.names("ledger") if name.endswith("closed.parquet"))
    lake.write_text(name, "damaged")
    graph.hand._spent = encoder_spent(graph.settings, lake)
    result = graph.run(instance, "docs")
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert name in failure.step_failure_data.error.message
    assert graph.run(instance, "docs").success
    assert graph.hand.vector_index.published().count("docs") == 2


def test_housekeeping_closes_months_also_when_the_fast_hand_fails(graph, instance, ledger, monkeypatch):
    def fails() -> dict[str, int]:
        raise OSError("no such disk")

    fill(ledger, monitored_days=70)
    before = ledger.entries()
    monkeypatch.setattr(graph.hand, "maintain", fails)
    result = run(graph, instance, "maintain")
    assert not result.success
    month = NOW - timedelta(days=70)
    assert f"ledger/{month:%Y-%m}/closed.parquet" in open_the_lake(graph.settings).names("ledger")
    assert ledger.entries() == before


def test_ledger_is_added_up_daily(graph):
    schedule = graph.defs.resolve_schedule_def("daily_ledger")
    assert (schedule.job_name, schedule.cron_schedule) == ("report_ledger", "0 6 * * *")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert graph.defs.resolve_job_def("report_ledger").asset_layer.selected_asset_keys == {LEDGER, OVERVIEW}
