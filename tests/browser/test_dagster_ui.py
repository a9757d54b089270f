"""What a person sees in the Dagster UI: the lineage, a change picked up, a gate that blocks, the sensor's reasons."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from playwright.sync_api import expect

from tests.ui import ROOT

pytestmark = pytest.mark.timeout(600)

LAUNCH = """mutation($p: LaunchBackfillParams!){launchPartitionBackfill(backfillParams:$p){
  __typename ... on LaunchBackfillSuccess{backfillId} ... on PythonError{message}}}"""
GATE = """{assetCheckExecutions(assetKey:{path:["knowledge","index"]},checkName:"retrieval_gate",limit:1){
  runId status evaluation{severity}}}"""
MADE = "query($id: ID!){runOrError(runId:$id){... on Run{assetMaterializations{assetKey{path}}}}}"
FAST = ("sync_slices", "reconcile_slices", "__ASSET_JOB")  # the last one is a backfill's


def ended(server, status: str) -> list[dict]:
    """Runs of the fast hand that ended so, the newest first."""
    return [run for run in server.runs() if run["status"] == status and run["jobName"] in FAST]


def done(server, number: int, status: str = "SUCCESS") -> list[dict]:
    """Waits until there are so many."""
    found = lambda: ended(server, status)  # noqa: E731
    return server.wait(lambda: len(found()) >= number and found(), 180, f"{number} runs with status {status}")


def published(server) -> str:
    """The version that is searched, by the command line: the UI knows of publications alone."""
    command = [sys.executable, "-m", "orchestration", "--config", str(server.folder / "twohands.toml"),
               "--home", str(server.home), "status", "--json"]  # fmt: skip
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(said.stdout)["index"]["version"]


@pytest.fixture(scope="module", autouse=True)
def first_sync(server):
    """The sensor is on by default and indexes the documents without being asked."""
    done(server, 1)


def test_lineage_shows_the_fast_hand(page, server):
    page.goto(f"{server.url}/locations/twohands/asset-groups/knowledge/lineage")
    for asset in ("documents", "chunks", "embeddings", "index"):
        expect(page.get_by_text(asset, exact=True).first).to_be_visible()


def test_index_page_shows_checks_freshness_and_metadata(page, server):
    page.goto(f"{server.url}/assets/knowledge/index?view=overview")
    for text in ("published_version", "gate_recall_at_5", "changed_passages", "team:knowledge", "content_changed"):
        expect(page.get_by_text(re.compile(text.removeprefix("team:"))).first).to_be_visible()
    page.goto(f"{server.url}/assets/knowledge/index?view=checks")
    for check in ("desired_equals_published", "encoder_matches_index", "retrieval_gate"):
        expect(page.get_by_text(check).first).to_be_visible()


def test_edited_document_is_published_by_the_sensor(page, server):
    before, version = len(done(server, 1)), published(server)
    (server.docs / "bakery.md").write_text("# Bakery\n\nRye bread is baked on Fridays, and buns on Sundays.\n")
    done(server, before + 1)
    assert published(server) != version
    page.goto(f"{server.url}/assets/knowledge/index?view=events")
    expect(page.get_by_text("buns on Sundays").first).to_be_visible()


def test_backfill_of_a_slice_ends_well(server):
    keys = [{"path": ["knowledge", name]} for name in ("documents", "chunks", "embeddings", "index")]
    params = {"assetSelection": keys, "partitionNames": ["docs"], "title": "after a correction"}
    launched = server.query(LAUNCH, p=params)["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    tag = {"key": "dagster/backfill", "value": launched["backfillId"]}
    server.wait(lambda: [run for run in done(server, 1) if tag in run["tags"]], 180, "the backfill's run to end well")


def test_sensor_page_shows_why_it_skipped(page, server):
    page.goto(f"{server.url}/locations/twohands/sensors/content_changed")
    reason = page.get_by_text("nothing changed in 1 of 1 slices").first

    def opened() -> bool:
        """The list of ticks is drawn anew every few seconds, and takes an open dialog with it."""
        page.get_by_role("button", name="0 runs requested").first.click()
        try:
            expect(reason).to_be_visible(timeout=3_000)
        except AssertionError:
            page.reload()
            return False
        return True

    server.wait(opened, 120, "the reasons of a tick that requested nothing")


def test_failed_gate_is_red_and_blocks(page, server):
    gate = page.get_by_title("retrieval_gate", exact=True).locator("xpath=../../..")  # its name, last result, a mark
    page.goto(f"{server.url}/assets/knowledge/index?view=checks")
    expect(gate).to_contain_text("Succeeded")
    expect(gate.get_by_role("img")).not_to_have_attribute("style", re.compile("red"))
    before, failures = published(server), len(ended(server, "FAILURE"))
    (server.docs / "bakery.md").write_text("# Bakery\n\nIt is closed.\n")
    ran = done(server, failures + 1, "FAILURE")[0]
    page.reload()
    expect(gate).to_contain_text("Failed")
    expect(gate.get_by_role("img")).to_have_attribute("style", re.compile("red"))
    last = server.query(GATE)["assetCheckExecutions"][0]
    assert (last["runId"], last["status"], last["evaluation"]["severity"]) == (ran["runId"], "FAILED", "ERROR")
    made = server.query(MADE, id=ran["runId"])["runOrError"]["assetMaterializations"]
    assert ["knowledge", "index"] not in [one["assetKey"]["path"] for one in made]
    assert published(server) == before
    (server.docs / "bakery.md").write_text("# Bakery\n\nRye bread is baked on Fridays.\n")
