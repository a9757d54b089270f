"""A person corrects a day's file, presses backfill in the Dagster UI, and sees the corrected numbers."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(900)

SENSOR = """{sensorOrError(sensorSelector:{repositoryName:"__repository__",repositoryLocationName:"twohands",
  sensorName:"interactions_landed"}){... on Sensor{id sensorState{selectorId status}}}}"""
STOP = "mutation($id: String!){stopSensor(id:$id){__typename}}"
COUNTS = """query($p: [String!]!){assetNodeOrError(assetKey:{path:["behavior","behavior_daily"]}){... on AssetNode{
  assetMaterializations(partitions:$p,limit:1){metadataEntries{label ... on IntMetadataEntry{intValue}}}}}}"""
DAY = (datetime.now(UTC) - timedelta(days=2)).date()


def event(number: int, feedback: str = "none") -> dict:
    at = datetime(DAY.year, DAY.month, DAY.day, 9, number, tzinfo=UTC).isoformat()
    return {
        "id": f"e{number}", "occurred_at": at, "received_at": at, "prompt": "When does the ferry leave?",
        "response": "At seven.", "passages": [], "release_id": "base", "topic": "ferry", "feedback": feedback,
    }  # fmt: skip


def land(server, events: list[dict]) -> None:
    folder = server.folder / "interactions"
    folder.mkdir(exist_ok=True)
    (folder / f"{DAY}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in events))


def interactions_of_the_day(server) -> int | None:
    found = server.query(COUNTS, p=[DAY.isoformat()])["assetNodeOrError"]["assetMaterializations"]
    entries = found[0]["metadataEntries"] if found else []
    return next((entry["intValue"] for entry in entries if entry["label"] == "interactions"), None)


def rebuilds(server) -> list[str]:
    """Statuses of the rebuilds, newest first."""
    return [run["status"] for run in server.runs() if run["jobName"] == "rebuild_days"]


def test_landed_logs_become_daily_counts_by_themselves(page, server):
    land(server, [event(1), event(2, "up"), event(3, "down")])
    server.wait(lambda: interactions_of_the_day(server) == 3, 240, "the sensor to build the day")
    page.goto(f"{server.url}/assets/behavior/behavior_daily?view=partitions&partition={DAY}")
    expect(page.get_by_text("interactions", exact=True).first).to_be_visible()
    expect(page.get_by_text("labelled").first).to_be_visible()


def test_lineage_shows_the_slow_hands_data(page, server):
    page.goto(f"{server.url}/locations/twohands/asset-groups/behavior/lineage")
    for asset in ("landing", "interactions", "attributions", "int_outcomes", "behavior_daily", "gaps"):
        expect(page.get_by_text(asset, exact=True).first).to_be_visible()


def test_corrected_day_is_backfilled_by_a_person(page, server):
    """With the sensor off, so that nobody but the person moves."""
    state = server.query(SENSOR)["sensorOrError"]
    server.query(STOP, id=state["id"])
    server.wait(lambda: set(rebuilds(server)) == {"SUCCESS"}, 120, "the sensor's own rebuilds to end")
    before = len(rebuilds(server))
    land(server, [event(1), event(2, "down")])
    page.goto(f"{server.url}/locations/twohands/jobs/rebuild_days")
    page.get_by_role("button", name=re.compile("Materialize")).first.click()
    dialog = page.get_by_role("dialog")
    days = dialog.get_by_role("textbox").first
    days.fill(f"{DAY}")
    days.press("Enter")
    dialog.get_by_role("button", name="Launch 1 run").click()
    server.wait(lambda: rebuilds(server)[: -before or None] == ["SUCCESS"], 240, "the backfill to end well")
    assert interactions_of_the_day(server) == 2
    page.goto(f"{server.url}/assets/behavior/behavior_daily?view=partitions&partition={DAY}")
    expect(page.get_by_role("row", name=re.compile(r"^interactions 2\b")).first).to_be_visible()
