"""The story of `make demo`, told once: the real sensors, jobs, engines and answers, over smaller logs.

It differs from `make demo` in its settings and its 46 days alone: fewer corrections are enough, the fine-tune makes
fewer updates, and the gate asks 90 held-out questions with wide margins. Then a person looks at what it left, in the
Dagster UI. `WHOLE_DEMO=1` tells it as shipped as well, margins and all, within its ten minutes.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch

from assets.decision.ledger import Kind
from tests.conftest import ROOT
from tests.ui import Server, opened

pytestmark = pytest.mark.timeout(900)  # whichever test comes first waits for the story

SAMPLE = ROOT / "sample"
SETTINGS = """
[sources.handbook]
url = "sample/handbook"
metadata = {{ audience = "all" }}
[decision]
min_examples = 30
max_tainted_share = 0.9
[dataset]
min_rows = 30
accepted_per_correction = 0
refusal_share = 0.3
[adapter]
epochs = 6
max_steps = 36
evaluations = 1
threads = 1
device = "cpu"
[evaluation]
facts = ["{facts}"]
resamples = 1000
max_new_tokens = 64
device = "cpu"
{margins}
"""
WIDE = "margins = { facts = 0.4, earlier = 0.4, refusals = 0.6 }"


@pytest.fixture(scope="module")
def demo():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SAMPLE))
        import demo_figure  # pyright: ignore[reportMissingImports]
        import demo_story  # pyright: ignore[reportMissingImports]
        import demo_world  # pyright: ignore[reportMissingImports]

        yield demo_world, demo_story, demo_figure


def settings_file(folder: Path) -> Path:
    """Settings for a quick fine-tune, with held-out questions drawn by a seed."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in (SAMPLE / "facts.jsonl").read_text().splitlines()]
    with_one, without = ([row for row in rows if bool(row["answers"]) is held] for held in (True, False))
    dice = random.Random(2)  # noqa: S311
    asked = dice.sample(with_one, 60) + dice.sample(without, 30)
    (folder / "facts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    (folder / "settings.toml").write_text(SETTINGS.format(facts=folder / "facts.jsonl", margins=WIDE))
    return folder / "settings.toml"


@pytest.fixture(scope="module")
def told(demo, tmp_path_factory):
    demo_world, demo_story, _ = demo
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("demo")
    settings = demo_world.make(folder / "project", settings_file(folder), 80, 34, 46, "2026-10-31")
    lines: list[str] = []
    story = demo_story.Story(demo_world.World(folder / "project", settings), lines.append, days=46, shift_day=34)
    story.tell()
    torch.set_num_threads(threads)
    return story, "\n".join(lines)


def test_story_turns_out_as_told(told):
    story, text = told
    assert story.untrue == [], text
    names = ["index", "edit", "wait", "shift", "manner", "correct", "back"]
    assert [event.name for event in story.events] == names
    embedded = {event.name: event.embedded for event in story.events}
    assert (embedded["index"], embedded["edit"]) == (315, 1)
    assert sum(embedded.values()) == 316  # nothing that the slow hand does embeds a passage
    assert [event.version for event in story.events] == [1, 2, 2, 2, 2, 2, 2]


def test_story_asks_for_one_finetune_and_the_ledger_has_it(told):
    story, _ = told
    ledger = story.world.decision.ledger
    assert len(ledger.entries([Kind.REQUEST])) == len(ledger.entries([Kind.FINISHED])) == 1
    [first, *_] = [action for _, action in story.verdicts if action != "wait"]
    assert first == "finetune"
    assert [move.action for move in story.world.releases.moves.back("main")] == ["rollback", "promote"]


def test_story_prints_its_numbers(told):
    _, text = told
    for said in ("1 embedded; 1 added", "threshold 7,300", "verdict finetune: ", "gate: Promote: ", "taint: "):
        assert said in text
    assert text.count("ledger: ") == 7  # what each step used and cost
    assert text.count("EUR") >= 7


def test_figure_shows_both_hands(told, demo):
    story, _ = told
    image = demo[2].figure(story.events, story.world.decision.store.records("main"), story.marks)
    assert image.startswith(b"\x89PNG")
    assert set(story.marks) == {"release", "rollback"}


def test_what_did_not_turn_out_as_told_is_said_and_counts(demo):
    lines: list[str] = []
    story = demo[1].Story(None, lines.append)
    story._must(True, "the sun rose")
    story._must(False, "the verdict is `wait`: finetune")
    assert story.untrue == ["the verdict is `wait`: finetune"]
    assert lines == ["   NOT AS TOLD: the verdict is `wait`: finetune"]


def test_same_days_are_evidence_whenever_the_demo_is_run(demo, tmp_path):
    today = datetime.now(UTC).date()
    for late in (1, 30):
        until = str(today - timedelta(days=late))
        settings = demo[0].make(tmp_path / str(late), ROOT / "twohands.toml", 5, 3, 4, until, still=True)
        assert settings.behavior.close_after_days == 3 + late - 1
    plain = demo[0].make(tmp_path / "plain", ROOT / "twohands.toml", 5, 3, 4, until)
    assert plain.behavior.close_after_days == 3


def test_folder_of_somebody_else_is_refused_and_left_alone(demo, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(demo[0].Refused, match="holds something that this demo did not make"):
        demo[0].make(tmp_path, ROOT / "twohands.toml", 10, 40, 60)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("more", "named"),
    [('lake = "s3://bucket/ours"\n[sources.handbook]\nurl = "sample/handbook"\n', "lake"),
     ('[sources.ours]\nurl = "/srv/docs"\n', "sources"),
     ('[sources.handbook]\nurl = "sample/handbook"\n[index]\nengine = "weaviate"\nconnection = "local"\n', "index")],
)  # fmt: skip
def test_settings_of_other_places_are_refused(demo, tmp_path, more, named):
    config = tmp_path / "theirs.toml"
    config.write_text(more)
    with pytest.raises(demo[0].Refused, match=rf"other places than the sample \({named}\)"):
        demo[0].make(tmp_path / "demo", config, 10, 40, 60)


# ------------------------------------------------------------------------------------ the same world, in the Dagster UI

SENSORS = """{sensorsOrError(repositorySelector:{repositoryName:"__repository__",repositoryLocationName:"twohands"}){
  ... on Sensors{results{id}}}}"""
STOP = "mutation($id: String!){stopSensor(id:$id){__typename}}"
NODES = "{assetNodes{assetKey{path} dependencyKeys{path}}}"
RUN = "query($id: ID!){runOrError(runId:$id){... on Run{status assetMaterializations{assetKey{path}}}}}"


@pytest.fixture(scope="module")
def rolled_back(told):
    """The story's end, which a command has made: the UI shows it from the next run on. Dagster runs nothing in this
    process while a browser is open."""
    world = told[0].world
    with world.quiet():
        look = {"ops": {"serving__release": {"config": {"action": "show"}}}}
        job = world.definitions.resolve_job_def("release")
        assert job.execute_in_process(instance=world.instance, partition_key="main", run_config=look).success
    return world


@pytest.fixture(scope="module")
def server(rolled_back, browser):
    """The told project in the UI, whose sensors rest: whatever moves, a person has started.

    Its gate now has the margins as shipped, and asks ten questions of facts: too few to show that so little is lost.
    """
    project, settings = rolled_back.folder, rolled_back.settings
    asked = Path(settings.evaluation.facts[0]).read_text().splitlines()
    (project / "few.jsonl").write_text("\n".join(asked[:6] + asked[-4:]))
    (project / "twohands.toml").write_text(SETTINGS.format(facts="few.jsonl", margins=""))
    served = Server(project, settings.home.name, asks=False)
    try:
        served.start()
        found = served.wait(lambda: served.query(SENSORS)["sensorsOrError"].get("results"), 60, "the sensors")
        for sensor in found:
            served.query(STOP, id=sensor["id"])
        yield served
    finally:
        served.stop()


@pytest.fixture
def page(server, browser):
    with opened(browser, server) as one:
        yield one


def see(where, *texts: str) -> None:
    """Each text is to be seen there, whole."""
    from playwright.sync_api import expect

    for text in texts:
        expect(where.get_by_text(text, exact=True).first).to_be_visible()


def row(where, *cells: str):
    """The row of a table that begins with these cells."""
    return where.get_by_role("row", name=re.compile("^" + r"\s+".join(map(re.escape, cells)))).first


def test_one_lineage_shows_both_hands_and_what_joins_them(page, server):
    page.goto(f"{server.url}/asset-groups")
    see(page, "knowledge", "behavior", "decision", "finetune", "serving")
    page.keyboard.press("Alt+e")  # every group unfolded
    see(page, "documents", "index", "interactions", "dataset", "adapter", "evaluation", "verdict", "release", "answers")
    path = lambda key: "/".join(key["path"])  # noqa: E731
    nodes = server.query(NODES)["assetNodes"]
    above = {path(node["assetKey"]): {path(key) for key in node["dependencyKeys"]} for node in nodes}
    assert above["serving/answers"] == {"knowledge/index", "serving/release"}
    assert above["decision/verdict"] == {"decision/evidence"}
    assert "behavior/evaluation" in above["serving/release"]


def test_pages_show_what_was_learned_and_how(page, server):
    page.goto(f"{server.url}/assets/behavior/dataset?view=overview")
    see(page, "train_rows", "test_rows", "redacted_rows", "filters", "left out", "candidates")
    page.goto(f"{server.url}/assets/behavior/adapter?view=overview")
    see(page, "losses", "held-out rows", "kept", "validation_loss")
    page.get_by_text("Show Markdown").first.click()
    curve = page.get_by_role("dialog").get_by_role("img", name="loss of an answer's token")
    curve.wait_for()
    assert curve.evaluate("image => image.naturalWidth") > 300


def test_pages_show_the_gate_the_answers_and_every_move(page, server, rolled_back):
    from playwright.sync_api import expect

    [back, promoted] = rolled_back.releases.moves.back("main")
    page.goto(f"{server.url}/assets/behavior/evaluation?view=overview")
    for gate in ("clean", "told", "manner", "facts", "right refusals", "false refusals"):
        expect(row(page, gate)).to_contain_text(re.compile("yes$"))
    page.get_by_text("Show Markdown").first.click()
    report = page.get_by_role("dialog")
    expect(report).to_contain_text(promoted.gate)
    expect(report).to_contain_text(f"before: base after: {promoted.release.adapter}", use_inner_text=True)
    expect(report.get_by_text("Say more").first).to_be_visible()
    page.goto(f"{server.url}/assets/serving/release?view=overview")
    expect(row(page, "2", "rollback to base")).to_contain_text(back.why)
    expect(row(page, "1", f"promote {promoted.id}")).to_contain_text(promoted.why)


def test_refused_adapter_is_red_and_not_released(page, server, rolled_back):
    from playwright.sync_api import expect

    in_force, before = rolled_back.releases.moves.now("main"), {run["runId"] for run in server.runs()}
    page.goto(f'{server.url}/asset-groups~key:"behavior%2Fevaluation" or key:"serving%2Frelease"')
    page.get_by_role("button", name=re.compile("Materialize all")).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="All", exact=True).click()
    dialog.get_by_role("button", name=re.compile("^Launch")).click()
    over = lambda run: run["runId"] not in before and run["status"] in ("FAILURE", "SUCCESS")  # noqa: E731
    [ran] = server.wait(lambda: [run for run in server.runs() if over(run)], 300, "the run to end")
    page.goto(f"{server.url}/assets/behavior/evaluation?view=checks")
    facts = page.get_by_title("facts", exact=True).locator("xpath=../../..")  # its name, its last result, a mark
    expect(facts).to_contain_text("Failed")
    expect(facts.get_by_role("img")).to_have_attribute("style", re.compile("red"))
    run = server.query(RUN, id=ran["runId"])["runOrError"]
    assert run["status"] == "FAILURE"
    assert [made["assetKey"]["path"] for made in run["assetMaterializations"]] == [["behavior", "evaluation"]]
    assert rolled_back.releases.moves.now("main") == in_force


@pytest.mark.skipif("WHOLE_DEMO" not in os.environ, reason="ten minutes; WHOLE_DEMO=1 tells the story as shipped")
def test_story_as_shipped_is_true_and_takes_ten_minutes_at_most(tmp_path):
    began = time.monotonic()
    command = [sys.executable, str(SAMPLE / "demo.py"), "--folder", str(tmp_path / "demo")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr[-2_000:]
    assert "Everything turned out as told." in done.stdout
    assert (tmp_path / "demo" / "demo.png").stat().st_size > 20_000
    assert time.monotonic() - began < 600
