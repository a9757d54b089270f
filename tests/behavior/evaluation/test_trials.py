"""A trial of an adapter: what is asked, what is found again, what is proposed, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from assets.behavior.dataset.rendering import renderer
from assets.behavior.dataset.rows import Message, example_table
from assets.behavior.dataset.writing import Ask
from assets.behavior.evaluation import preview, sets
from assets.behavior.evaluation.items import Answer, Kind
from assets.behavior.evaluation.pipeline import LEFT_OUT
from assets.behavior.evaluation.reading import of_rows
from assets.errors import Final, GateRefused, ModelError
from assets.prompting import TEMPLATES
from assets.serving import candidates
from tests.behavior.evaluation.world import World, as_json, plain
from tests.fakes import HashEncoder


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_better_adapter_is_proposed_for_release_and_followed(world):
    trial = world.tried(as_json)
    assert trial.promoted, trial.row["sentence"]
    assert world.generator.asked == [("base", 600), ("a1", 600)]
    release = trial.candidate.release
    assert (release.base, release.adapter, release.encoder, release.index) == (
        world.base,
        "a1",
        "hash-encoder",
        "index-1",
    )
    assert release.prompt == f"passages@{TEMPLATES['passages'].version}"
    assert "adapter_model.safetensors" in release.adapter_files
    assert (trial.candidate.against, trial.candidate.evaluation) == ("base", "behavior/evaluation/reports/main/a1")
    assert world.releases.follow("main", why="", by="test").id == trial.candidate.id


def test_worse_adapter_is_kept_and_not_released(world):
    trial = world.tried(plain)
    assert not trial.promoted
    assert "not shown to be better" in trial.row["sentence"]
    assert candidates.load(world.lake, "main", trial.candidate.id).promoted is False
    assert world.releases.follow("main", why="", by="test") is None


def test_evaluation_is_paid_for_also_where_it_fails(world):
    world.tried(as_json)
    world.trials.run("main", "a1")  # found: nothing was asked
    [(variant, seconds)] = world.spent
    assert (variant, seconds > 0) == ("main", True)

    def broken(_chats):
        raise ModelError("no answer")

    with pytest.raises(ModelError, match="no answer"):
        world.tried(broken, "a2")
    assert [variant for variant, _ in world.spent] == ["main"] * 2


def test_page_shows_the_gate_and_the_report_before_numbers(world):
    shown = preview.metadata(world.tried(plain), "# the report", "report.html")
    assert list(shown)[:4] == ["sentence", "action", "gates", "report"]
    rows = {line.split("`")[1]: line.split("`")[-2] for line in str(shown["gates"]).splitlines() if "`" in line}
    assert rows["clean"] == "yes"
    assert rows["manner"] == "no"
    assert isinstance(shown["manner_mean"], float)


def test_next_adapter_is_compared_with_the_one_that_is_served(world):
    first = world.tried(as_json)
    world.releases.follow("main", why="", by="test")
    second = world.tried(as_json, "a2")
    assert [name for name, _ in world.generator.asked[2:]] == ["a1", "a2"]
    assert (second.promoted, second.candidate.against) == (False, first.candidate.id)  # as good is not better


def test_same_trial_is_found_and_generates_nothing(world):
    first = world.tried(as_json)
    again = world.trials.run("main", "a1")
    assert (again.found, again.candidate) == (True, first.candidate)
    assert len(world.generator.asked) == 2
    assert world.trials.run("main").adapter.id == "a1"  # the newest
    assert not world.trials.run("main", "a1", again=True).found
    assert len(world.generator.asked) == 4


def test_trial_whose_candidate_a_kill_lost_is_proposed_without_generating(world):
    first = world.tried(as_json)
    world.lake.remove([f"{candidates.FOLDER}/main/{first.candidate.id}.json"])
    again = world.trials.run("main", "a1")
    assert (again.found, again.promoted) == (True, True)
    assert candidates.load(world.lake, "main", first.candidate.id) is not None


@pytest.mark.parametrize("what", ["sets", "encoder", "rules", "served"])
def test_trial_on_other_grounds_is_made_anew(world, what):
    world.tried(as_json)
    if what == "sets":
        world.facts = world.facts[:-2]
    elif what == "encoder":
        world.encoder = HashEncoder("another-encoder")
    elif what == "rules":
        world.trials.evaluations._margins = replace(world.trials.evaluations._margins, facts=0.1)
    else:
        other = world.tried(lambda item: as_json(item), "a0").candidate
        world.releases.promote("main", other.id, why="w", by="test")
    before = len(world.generator.asked)
    assert not world.trials.run("main", "a1").found
    assert len(world.generator.asked) == before + 2


def test_adapter_that_answers_already_is_no_candidate(world):
    world.tried(as_json)
    world.releases.follow("main", why="", by="test")
    with pytest.raises(GateRefused, match="a1 of variant 'main' is what answers already"):
        world.trials.run("main", "a1")


@pytest.mark.parametrize(("part", "said"), [("base", "for base"), ("template", "for prompts")])
def test_adapter_of_another_base_or_of_other_prompts_is_refused(world, part, said):
    world.publish("a1", as_json, **({"template": "0" * 12} if part == "template" else {}))
    world.base = "c" * 16 if part == "base" else world.base
    with pytest.raises(ModelError, match=f"the adapter a1 was made {said} "):
        world.trials.run("main")
    assert world.generator.asked == []


def test_adapter_whose_weights_changed_is_refused(world):
    world.publish("a1", as_json)
    (world.adapters.folder_of("a1") / "adapter_model.safetensors").write_bytes(b"others")
    with pytest.raises(ModelError, match="is not what was published"):
        world.trials.run("main")


def test_no_adapter_says_what_to_run(world):
    with pytest.raises(Final, match="variant 'main' has no adapter yet"):
        world.trials.run("main")
    world.publish("a1", as_json)
    with pytest.raises(Final, match=r"has no adapter 'a7'\. Expected: one of a1"):
        world.trials.run("main", "a7")


def test_without_questions_of_facts_the_gate_refuses(tmp_path):
    trial = World(tmp_path, facts=False).tried(as_json)
    assert trial.row["sentence"].startswith("Refuse: there are not enough items to tell: 200 behavior items; none of")


def test_questions_without_passages_are_given_some_once(world):
    world.facts = [replace(item, passages=(), gold=()) for item in world.facts]
    first = world.tried(as_json)
    assert first.promoted, first.row["sentence"]
    assert len(world.retrieved) == 400
    [name] = [name for name in sets.names(world.lake, "main") if name.startswith("facts-")]
    assert all(item.passages for item in sets.load(world.lake, "main", name).items)
    world.trials.run("main", again=True)
    assert len(world.retrieved) == 400
    world.encoder = HashEncoder("another-encoder")  # it finds others: the next trial is on the new passages
    world.trials.run("main")
    assert len(world.retrieved) == 800


def test_questions_without_passages_need_a_published_index(world):
    world.facts = [replace(item, passages=(), gold=()) for item in world.facts]
    world.retrieve = lambda questions: [[] for _ in questions]
    world.trials._retrieve = world.retrieve
    with pytest.raises(Final, match=r"nothing is published to find some in.*twohands sync"):
        world.tried(as_json)


def test_prompts_longer_than_the_base_reads_are_left_out_and_told(world):
    long = replace(world.facts[0], id="long", question="word " * 5_000, group="long")
    world.facts = [*world.facts, long]
    trial = world.tried(as_json)
    assert trial.promoted
    assert trial.row["facts"][LEFT_OUT] == "1: long"
    assert trial.row["items"] == 600


def test_adapter_that_saw_a_held_out_item_is_refused(world):
    rows = [world.example(item, "test") for item in world.items if item.kind is Kind.BEHAVIOR]
    world.manifest = world.dataset([*rows, replace(rows[0], split="train")])
    trial = world.tried(as_json)
    assert trial.row["sentence"].startswith("Refuse: held-out items were trained on")


@pytest.mark.parametrize("template", list(TEMPLATES))
def test_items_of_a_dataset_are_asked_as_its_rows_were_written(world, template):
    """No skew between training and evaluation: the prompt of an item is that of the row that it was made of."""
    render = renderer(TEMPLATES[template], HashEncoder())
    [row] = [world.example(item, "test") for item in world.items[:1]]
    [prompt] = render([Ask(row.prompt, row.passages)])
    written = replace(row, messages=(*prompt, Message(role="assistant", content=row.completion)))
    [item] = of_rows(example_table([written]).to_pylist())
    world.trials._answering = lambda: replace(world.answering(), render=render, generator=Recorded())
    Recorded.chats.clear()
    world.manifest = world.dataset([written])
    world.facts = []
    world.publish("a1")
    world.trials.run("main")
    assert list(Recorded.chats[item.question]) == list(prompt)
    assert "Rooms" in prompt[-1]["content"]


class Recorded:
    """Remembers what it is asked."""

    context, chats = 10_000, {}

    def lengths(self, chats):
        return [1 for _ in chats]

    def generate(self, chats, adapter=None, progress=None):
        from assets.ports.generation import Generated

        for chat in chats:
            question = next(
                one
                for one in (f"How many people does room {n} hold?" for n in range(300))
                if one in chat[-1]["content"]
            )
            self.chats[question] = chat
        return [Generated(Answer("x").text, 0.1) for _ in chats]
