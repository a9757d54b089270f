"""The story of `make demo`, told once: the real sensors, jobs, engines and answers, over smaller logs.

It differs from `make demo` in its settings and its 46 days alone: fewer corrections are enough, the fine-tune makes
fewer updates, and the gate asks 90 held-out questions with wide margins. Whether the sample passes the gate as shipped
is what `make demo` itself says.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch

from assets.decision.ledger import Kind
from tests.conftest import ROOT

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
margins = {{ facts = 0.4, earlier = 0.4, refusals = 0.6 }}
"""


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
    (folder / "settings.toml").write_text(SETTINGS.format(facts=folder / "facts.jsonl"))
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


@pytest.mark.timeout(900)
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
