"""The slow hand's data through the real graph and a real dbt on DuckDB: days, corrections, tests that fail."""

from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from assets.behavior import reference
from assets.behavior.landing.folder import Landing
from assets.behavior.pipeline import BehaviorData, Options
from assets.behavior.schemas import partition
from assets.knowledge.sources import open_source
from orchestration.assembly_behavior import LANDED, open_warehouse
from orchestration.config import load
from orchestration.definitions import build
from orchestration.engines.corpus_history import LakeHistory
from orchestration.engines.lake import open_lake
from orchestration.landing_sensor import Cursor, step
from tests.fakes import HashEncoder
from tests.graph.plots import of_group, unplotted

FIRST = date(2026, 9, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(4)]
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


def key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["behavior", name])


def event(day: date, number: int, **more) -> dict:
    at = datetime(day.year, day.month, day.day, 9, number, tzinfo=UTC).isoformat()
    return {
        "id": f"{day}-{number}", "occurred_at": at, "received_at": at, "prompt": "When does the ferry leave?",
        "response": "The ferry leaves at seven.", "passages": [], "release_id": "base", "topic": "ferry",
        **more,
    }  # fmt: skip


class World:
    """A landing folder, the definitions over it, and one Dagster instance."""

    def __init__(self, folder: Path, project) -> None:
        self.folder = folder
        (folder / "landing").mkdir()
        (folder / "twohands.toml").write_text('[sources.docs]\nurl = "docs"\n[behavior]\nlanding = "landing"\n')
        settings = load(str(folder / "twohands.toml"), str(folder / "home"))
        self.lake = open_lake(str(settings.home / "lake"), locks=folder / "locks")
        source = open_source(str(folder / "landing"), include=LANDED, base=folder, cache=folder / "git")
        self.data = BehaviorData(
            lake=self.lake,
            landing=Landing(self.lake, source),
            warehouse=open_warehouse(settings, self.lake),
            history=lambda: LakeHistory(self.lake),
            encoder=HashEncoder(),
            options=Options(reference_days=2),
        )
        self.defs = build(settings, data=self.data, project=project)
        self.instance = dg.DagsterInstance.ephemeral()

    def land(self, day: date, *events: dict) -> None:
        lines = (json.dumps(row) + "\n" for row in events)
        (self.folder / "landing" / f"{day}.jsonl").write_text("".join(lines))

    def run(self, first: date, last: date | None = None, assets: list[str] | None = None):
        job = self.defs.resolve_job_def("rebuild_days")
        selection = [key(name) for name in assets] if assets else None
        tags = dict(zip(RANGE, (first.isoformat(), (last or first).isoformat()), strict=True))
        return job.execute_in_process(
            instance=self.instance, tags=tags, asset_selection=selection, raise_on_error=False
        )

    def version(self, name: str, day: date) -> str | None:
        found = self.instance.get_latest_data_version_record(key(name), partition_key=day.isoformat())
        event = found.asset_materialization if found else None
        return event.tags["dagster/data_version"] if event and event.tags else None

    def materialized(self, name: str) -> int:
        return len(self.instance.fetch_materializations(key(name), limit=1000).records)

    def counts(self, day: date) -> dict[str, tuple[int, int]]:
        return {row["event"]: (row["n"], row["S"]) for row in self.data.daily(day, day)}


@pytest.fixture(scope="module")
def world(tmp_path_factory, project):
    """Four days, built in one run."""
    made = World(tmp_path_factory.mktemp("world"), project)
    for day in DAYS:
        made.land(day, event(day, 1), event(day, 2, feedback="up"), event(day, 3, feedback="down"))
    made.first = made.run(DAYS[0], DAYS[-1])
    return made


def test_range_of_days_is_one_run_with_a_data_version_for_each_day(world):
    assert world.first.success
    versions = [world.version("interactions", day) for day in DAYS]
    assert len(set(versions)) == len(DAYS)
    assert versions[1] == world.data.interactions(DAYS[1]).digest


def test_every_asset_has_numbers_to_plot(world):
    assert unplotted(world.instance, of_group(world.defs, "behavior")) == []


def test_every_day_is_counted(world):
    for day in DAYS:
        assert world.counts(day)["labelled"] == (3, 2)
        assert world.counts(day)["fail"] == (2, 0)  # a thumbs-down without a correction says nothing of its reason


def test_dbt_tests_are_asset_checks(world):
    evaluations = world.first.get_asset_check_evaluations()
    of_marts = {name: [check for check in evaluations if check.asset_key == key(name)] for name in marts(world)}
    assert len(of_marts["behavior_daily"]) >= 3
    assert all(check.passed for checks in of_marts.values() for check in checks)


def test_old_logs_and_unexplained_failures_are_warned_about(world):
    evaluations = {check.check_name: check for check in world.first.get_asset_check_evaluations()}
    assert evaluations["quarantined_share"].passed
    assert not evaluations["newest_event_day"].passed  # the events are of last September
    assert not evaluations["unclear_share"].passed  # nobody said why
    assert evaluations["unclear_share"].severity is dg.AssetCheckSeverity.WARN
    assert evaluations["every_variant_is_known"].passed


def test_nothing_is_dirty_after_a_run_and_the_sensor_rests(world):
    world.run(DAYS[0], DAYS[-1])
    assert world.data.dirty_inputs() == {}
    _, found, reason = step(Cursor(), world.data.landing.pending(), world.data, 0)
    assert (found, reason) == ([], "every landed file is read and every day is built")


def test_report_that_a_run_did_not_come_to_is_made_up_for_without_a_day(world):
    """The sensor's third request: only the models over all days and the report run, and then everything rests."""
    day = DAYS[0]
    world.run(day, assets=["interactions", "attributions", *daily_models(world)])
    assert world.data.dirty_inputs() == {}
    assert world.data.report_inputs() == world.data.marts_version() != ""
    _, found, _ = step(Cursor(), world.data.landing.pending(), world.data, 0)
    assert [request.job_name for request in found] == ["rebuild_report"]
    before = {name: world.materialized(name) for name in ("interactions", "behavior_daily", "gaps", "knowledge_gaps")}
    job = world.defs.resolve_job_def("rebuild_report")
    assert job.execute_in_process(instance=world.instance).success
    after = {name: world.materialized(name) - count for name, count in before.items()}
    assert after == {"interactions": 0, "behavior_daily": 0, "gaps": 1, "knowledge_gaps": 1}
    assert world.data.report_inputs() == ""
    assert step(Cursor(), world.data.landing.pending(), world.data, 0)[1] == []


def daily_models(world) -> list[str]:
    assets = world.defs.resolve_asset_graph()
    return [
        k.path[-1]
        for k in assets.get_all_asset_keys()
        if assets.get(k).group_name == "behavior" and assets.get(k).is_partitioned
    ]


def test_corrected_day_is_rebuilt_and_no_other(world):
    day, other = DAYS[2], DAYS[3]
    before, kept = world.counts(other), world.version("interactions", other)
    world.land(day, event(day, 1, feedback="up"), event(day, 4))
    time.sleep(2.1)  # a source does not trust the stamp of a younger file: it would be another one later in this test
    cursor, found, _ = step(Cursor(), world.data.landing.pending(), world.data, 0)
    assert [request.job_name for request in found] == ["ingest_interactions"]
    world.data.ingest()
    _, found, _ = step(cursor, world.data.landing.pending(), world.data, 0)
    assert [tuple(request.tags[name] for name in RANGE) for request in found] == [(day.isoformat(),) * 2]
    assert world.run(day).success
    assert world.counts(day)["labelled"] == (2, 1)
    assert (world.counts(other), world.version("interactions", other)) == (before, kept)
    assert world.data.dirty_inputs() == {}


def test_failed_dbt_test_publishes_and_reports_nothing(world):
    """A verdict that no model knows: the marts' own tests refuse it."""
    day = DAYS[1]
    attributions = world.lake.read(partition("attributions", day))
    before = (world.counts(day), world.materialized("behavior_daily"), world.materialized("int_outcomes"))
    broken = attributions.set_column(
        attributions.schema.get_field_index("verdict"), "verdict", pa.array(["astrology"] * attributions.num_rows)
    )
    world.lake.write(partition("attributions", day), broken)
    result = world.run(day, assets=marts(world))
    assert not result.success
    assert any(not check.passed for check in result.get_asset_check_evaluations())
    assert (world.counts(day), world.materialized("behavior_daily"), world.materialized("int_outcomes")) == before
    assert day in world.data.dirty_inputs()
    world.lake.write(partition("attributions", day), attributions)
    assert world.run(day, assets=marts(world)).success
    assert world.data.dirty_inputs() == {}


def marts(world) -> list[str]:
    return [name for name in daily_models(world) if name not in ("interactions", "attributions")]


def test_gaps_are_shown_as_markdown(world):
    record = world.instance.fetch_materializations(key("gaps"), limit=1).records[0]
    metadata = record.asset_materialization.metadata
    assert isinstance(metadata["report"], dg.MarkdownMetadataValue)


def test_no_edge_runs_from_the_fast_hand_into_the_slow_hand(world):
    graph = world.defs.resolve_asset_graph()
    slow = [k for k in graph.get_all_asset_keys() if k.path[0] == "behavior"]
    assert len(slow) >= 10
    assert not any(parent.path[0] == "knowledge" for k in slow for parent in graph.get(k).parent_keys)
    fast = [k for k in graph.get_all_asset_keys() if k.path[0] == "knowledge"]
    assert not any(parent.path[0] == "behavior" for k in fast for parent in graph.get(k).parent_keys)


def test_interactions_that_nobody_judges_are_warned_about(world):
    day = DAYS[0]
    before = (world.folder / "landing" / f"{day}.jsonl").read_text()
    world.land(day, event(day, 1, variant="nosuch"), event(day, 2))
    result = world.run(day, assets=["interactions"])
    (check,) = result.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.description == "1 interaction of variants that twohands.toml lacks: nosuch"
    world.land(day, *map(json.loads, before.splitlines()))
    (check,) = world.run(day, assets=["interactions"]).get_asset_check_evaluations()
    assert check.passed


def test_reference_is_frozen_anew_by_run_config_and_by_nothing_else(world):
    def frozen_at(**config) -> str:
        job = world.defs.resolve_implicit_global_asset_job_def()
        run_config = {"ops": {"behavior__reference": {"config": config}}}
        made = job.execute_in_process(
            instance=world.instance, asset_selection=[key("reference")], run_config=run_config
        )
        assert made.success
        found = reference.load(world.lake)
        assert found is not None
        return found.frozen_at

    first = frozen_at()
    assert frozen_at() == first
    assert frozen_at(force=True) > first
