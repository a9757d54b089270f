"""People begin to want another form: the evidence climbs, a verdict follows, and the sensor asks once."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from playwright.sync_api import expect

from tests import ui
from tests.ui import ROOT, Server

pytestmark = pytest.mark.timeout(900)

TICKS = """{sensorOrError(sensorSelector:{repositoryName:"__repository__",repositoryLocationName:"twohands",
  sensorName:"behavior_shifted"}){... on Sensor{sensorState{ticks(limit:200){status skipReason runIds}}}}}"""


@pytest.fixture(scope="module")
def shifted(tmp_path_factory, browser):
    """A server over the sample's handbook, and fifty days of logs whose manner shifts on day 33.

    The fine-tune ends at its dataset, which is asked for more rows than there are: nothing is trained.
    """
    folder = tmp_path_factory.mktemp("decision")
    made = [sys.executable, "sample/make_interactions.py", "--days", "50", "--shift", "format", "--day", "33"]
    subprocess.run([*made, "--out", str(folder / "interactions")], cwd=ROOT, check=True, capture_output=True)
    (folder / "twohands.toml").write_text(
        f'[sources.handbook]\nurl = "{ROOT / "sample" / "handbook"}"\n[behavior]\nlanding = "interactions"\n'
        "[decision]\nmin_examples = 40\n[dataset]\nmin_rows = 5_000\n"
    )
    server = Server(folder)
    try:
        server.start()
        ended = lambda: jobs(server, "finetune", "FAILURE")  # noqa: E731 - a refused release is one in the UI
        server.wait(ended, 420, "the verdict's fine-tune to end for want of rows")
        decided = len(jobs(server, "decide", "SUCCESS"))
        server.wait(lambda: len(jobs(server, "decide", "SUCCESS")) > decided, 120, "a verdict after the fine-tune")
        yield server
    finally:
        server.stop()


@pytest.fixture
def opened(browser, shifted):
    with ui.opened(browser, shifted, width=1500, height=1400) as page:
        yield page


def jobs(server: Server, name: str, status: str = "") -> list[dict]:
    return [run for run in server.runs() if run["jobName"] == name and run["status"] in (status or run["status"])]


def ticks(server: Server) -> list[dict]:
    """Those that ended, newest first: one that runs has neither runs nor a reason yet."""
    found = server.query(TICKS)["sensorOrError"]["sensorState"]["ticks"]
    return [tick for tick in found if tick["status"] != "STARTED"]


def test_a_shift_leads_to_one_request_and_no_second(shifted):
    asked = [tick for tick in ticks(shifted) if tick["runIds"]]
    assert len(asked) == 1
    quiet = len(ticks(shifted))
    shifted.wait(lambda: len(ticks(shifted)) >= quiet + 2, 60, "two more ticks")
    assert len(jobs(shifted, "finetune")) == 1
    assert re.search(r"counted anew after the fine-tune", ticks(shifted)[0]["skipReason"])


def test_evidence_page_shows_how_it_climbed(opened, shifted):
    opened.goto(f"{shifted.url}/assets/decision/evidence?view=overview")
    opened.get_by_text("Show Markdown").first.click()
    plot = opened.get_by_role("dialog").locator("img")
    expect(plot).to_be_visible()
    assert plot.evaluate("image => image.naturalWidth") > 300


def test_verdict_page_shows_what_was_said(opened, shifted):
    opened.goto(f"{shifted.url}/assets/decision/verdict?view=overview")
    expect(opened.get_by_text("counted anew after the fine-tune").first).to_be_visible()
    expect(opened.get_by_text(re.compile("finetune: Behavior shifted around")).first).to_be_visible()


def test_sensor_page_says_why_it_asks_for_nothing(opened, shifted):
    opened.goto(f"{shifted.url}/locations/twohands/sensors/behavior_shifted")
    opened.get_by_role("button", name="0 runs requested").first.click()
    expect(opened.get_by_text(re.compile("No shift of behavior is shown")).first).to_be_visible()
