"""A fine-tune over the bundled base: an adapter that learned shuffled labels is refused by the gate.

One that learned the right ones, its release and the way back: tests/test_demo.py.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
import torch

from assets.behavior.adapter.assets import ADAPTER
from assets.behavior.dataset import store
from assets.behavior.dataset.assets import DATASET
from assets.behavior.dataset.rows import TRAIN, Message
from assets.behavior.dataset.writing import Ask
from assets.behavior.evaluation.assets import EVALUATION
from assets.behavior.landing.folder import Landing
from assets.behavior.pipeline import BehaviorData
from assets.decision.assets import CANDIDATES
from assets.decision.ledger import Finished, Kind
from assets.prompting import REFUSAL, statements
from assets.serving.assets import RELEASE
from orchestration.assembly import open_encoder
from orchestration.assembly_evaluation import generator, trials
from orchestration.assembly_serving import releases
from orchestration.config import load
from orchestration.definitions import build
from orchestration.engines.corpus_history import LakeHistory
from tests.behavior.dataset import made
from tests.conftest import ROOT
from tests.decision.house import CHANGE, House, shifted
from tests.fakes import MemorySource
from tests.graph.plots import of_group, unplotted

FIRED = CHANGE + 2
BUTTONS = "\n- Say more\n- Not what I need"
LEARNT, HELD = ("handbook-1", "handbook-2", "handbook-3"), ("handbook-4", "handbook-5")
SETTINGS = f"""
[sources.docs]
url = "docs"
[behavior]
landing = "landing"
[automation]
retry_seconds = 0
[base]
model = "{ROOT / "models" / "tiny-reader"}"
[dataset]
min_rows = 40
test_share = 0.3
distractor_share = 0.0
[adapter]
epochs = 3
min_steps = 0
evaluations = 2
threads = 1
device = "cpu"
[evaluation]
facts = ["facts.jsonl"]
resamples = 1000
max_new_tokens = 64
device = "cpu"
margins = {{ facts = 0.35, earlier = 0.35, refusals = 0.4 }}
"""


def questions(handbooks: tuple[str, ...], answered: int, unanswered: int) -> list[dict]:
    """Questions of the sample's held-out file, drawn by a seed: with an answer, and without."""
    lines = (ROOT / "sample" / "facts.jsonl").read_text().splitlines()
    found = [row for row in map(json.loads, lines) if row["group"].split("/")[0] in handbooks and row["passages"]]
    dice = random.Random(1)  # noqa: S311
    with_one = [row for row in found if row["answers"] and row["gold"]]
    without = [row for row in found if not row["answers"]]
    return dice.sample(with_one, answered) + dice.sample(without, unanswered)


def windowed(row: dict) -> str:
    """The manner that people want from the shift on: what the base says, with buttons below."""
    if not row["answers"]:
        return REFUSAL + BUTTONS
    number = row["gold"][0]
    said = [one for one in statements(row["passages"][number - 1].split("\n\n", 1)[-1]) if row["answers"][0] in one]
    return f"{(said or row['answers'])[0]} [{number}]{BUTTONS}"


def candidates() -> list[dict]:
    """Corrections of the shifted days: each of a user of its own."""
    rows = []
    for number, row in enumerate(questions(LEARNT, 90, 30)):
        names = [f"{row['group']}-{number}-{n}" for n in range(len(row["passages"]))]
        shown = [
            {"chunk_id": name, "doc_id": f"{name}.md", "text_sha": name, "text": text}
            for name, text in zip(names, row["passages"], strict=True)
        ]
        rows.append(made.row(number, prompt=row["question"], completion=windowed(row), passages=json.dumps(shown)))
    return rows


class World:
    """The real definitions over the bundled base and encoder; only days and candidates are made up."""

    def __init__(self, folder: Path, project) -> None:
        self.folder = folder
        (folder / "docs").mkdir(parents=True)
        (folder / "landing").mkdir()
        (folder / "twohands.toml").write_text(SETTINGS)
        asked = questions(HELD, 45, 30)
        (folder / "facts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
        self.settings = load(str(folder / "twohands.toml"))
        self.house = House(self.settings.home, shifted())
        rows = candidates()
        self.house.marts.candidates = lambda _: pa.Table.from_pylist(rows, schema=made.CANDIDATES)
        made.fill(self.house.lake, rows)
        encoder = open_encoder(self.settings)
        self.data = BehaviorData(
            lake=self.house.lake,
            landing=Landing(self.house.lake, MemorySource()),
            warehouse=self.house.marts,
            history=lambda: LakeHistory(self.house.lake),
            encoder=encoder,
        )
        self.releases = releases(self.settings, self.house.lake)
        self.trials = trials(self.settings, self.data, lambda: Nothing(), self.releases)
        self.defs = build(self.settings, None, self.data, project, self.house.decision, trials=self.trials)
        self.instance = dg.DagsterInstance.ephemeral()
        self.generator = generator(self.settings)
        self.asked = asked[:12]  # with answers

    def run(self, job: str = "finetune", only=None, **more):
        found = self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance, partition_key="main", asset_selection=only, raise_on_error=False, **more
        )
        self.run_id = found.run_id
        return found

    def answer(self) -> list[str]:
        """What the variant says to held-out questions, from what is served now."""
        served = self.releases.served("main")
        release = served.move.release if served.move else None
        folder = self.settings.home / "adapters" / release.adapter if release else None
        asks = [Ask(row["question"], store_passages(row["passages"])) for row in self.asked]
        found = self.generator.generate(self.trials._answering().render(asks), folder)
        return [one.text for one in found]

    def ended(self) -> list[Finished]:
        return [Finished.of(entry) for entry in self.house.ledger.entries([Kind.FINISHED])]


class Nothing:
    """A fast hand that published nothing: the questions have their passages."""

    class vector_index:  # noqa: N801
        published = staticmethod(lambda: None)


def store_passages(texts):
    from assets.behavior.dataset.passages import numbered, passage_of

    return numbered([passage_of(text, "", "") for text in texts])


@pytest.fixture(scope="module")
def world(tmp_path_factory, project):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield World(tmp_path_factory.mktemp("world") / "project", project)
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tuned(world):
    """The run that a verdict's request led to, with what was said before it."""
    before = world.answer()
    world.house.at(FIRED)
    assert world.run("decide").success
    context = dg.build_sensor_context(
        instance=world.instance,
        repository_def=world.defs.get_repository_def(),
        resources={"decision": world.house.decision, "behavior_data": world.data},
    )
    [request] = world.defs.resolve_sensor_def("behavior_shifted").evaluate_tick(context).run_requests
    tags = {**request.tags, "dagster/run_key": request.run_key, "dagster/sensor_name": "behavior_shifted"}
    return before, request, world.run(tags=tags)


@pytest.mark.timeout(900)
def test_adapter_trained_on_shuffled_labels_is_refused_and_nothing_is_released(world, tuned):
    made = of_group(world.defs, "finetune")
    assert made >= {CANDIDATES, DATASET, ADAPTER, EVALUATION}
    assert unplotted(world.instance, made) == []
    paid = {fact.data["by"] for fact in world.house.ledger.entries([Kind.SPEND])}
    assert paid >= {"behavior/adapter", "behavior/evaluation"}
    [manifest] = store.manifests(world.house.lake, "main")
    examples, _ = store.read(world.house.lake, manifest)
    train = [row for row in examples if row.split == TRAIN]
    answers = [row.completion for row in train]
    random.Random(3).shuffle(answers)  # noqa: S311
    others = [row for row in examples if row.split != TRAIN]
    mixed = [
        replace(row, completion=said, messages=(*row.messages[:-1], Message(role="assistant", content=said)))
        for row, said in zip(train, answers, strict=True)
    ]
    claim = world.house.decision.force("main", "shuffled", "a test", "cli-shuffled")
    found = store.write(
        world.house.lake, "main", [*mixed, *others], [], request=claim.request, frozen="shuffled",
        made_of=manifest.made_of, card={},
    )  # fmt: skip
    world.instance.report_runless_asset_event(
        dg.AssetMaterialization(DATASET, partition="main", metadata={"stored_as": found.name})
    )
    before, move = world.answer(), world.releases.moves.now("main")
    result = world.run(only=[ADAPTER, EVALUATION, RELEASE])
    assert not result.success
    assert "serving__release" not in {event.step_key for event in result.all_events if event.is_step_start}
    failed = {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}
    assert failed & {"manner", "facts"}
    assert (world.answer(), world.releases.moves.now("main")) == (before, move)
    ended = world.ended()[-1]
    assert (ended.request, ended.outcome, ended.released) == (claim.request, "done", False)
    assert ended.detail.startswith("Refuse: ")
