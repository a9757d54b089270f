"""What invalidates what: neither hand moves the other, and only what an adapter stands on retires it.

encoder, documents              the index; no adapter, no training, no release
base: weights, tokenizer,       every adapter; nothing of the index
chat template; prompts
interactions that were used     taint, and a proposal (test_taint_graph.py)
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import dagster as dg
import pytest

from assets.behavior.adapter.identity import base_id
from assets.behavior.adapter.retired import all_retired, retired
from assets.behavior.adapter.store import Adapter
from assets.errors import ModelError
from assets.serving.release import Release
from orchestration import overview_adapters
from orchestration.assembly_adapter import adapters, base
from orchestration.assembly_evaluation import trials
from orchestration.assembly_serving import releases
from orchestration.definitions import build
from orchestration.settings import BaseModelSettings, Settings
from tests.behavior.adapter import made
from tests.decision.house import REFERENCE, House, steady
from tests.fakes import HashEncoder
from tests.graph.conftest import Graph
from tests.graph.test_decision_graph import Data, World
from tests.graph.test_sensors import tick

BUNDLED = Path(__file__).resolve().parents[2] / "models" / "tiny-reader"


class Served(World):
    """The real definitions, an index that is published, and an adapter of the bundled base that answers."""

    def __init__(self, folder: Path, project) -> None:
        graph, house = Graph(folder, project), House(folder / "house", steady())
        data = Data(house)
        self.folder = folder
        self.settings = with_base(graph.settings, BUNDLED)
        self.project = project
        super().__init__(graph, build(self.settings, graph.hand, data, project, house.decision), house, data)
        for slice in graph.sources:
            assert graph.run(self.instance, slice).success
        self.adapter = self.publish()
        self.release = self.promote()
        self.house.judge(REFERENCE)

    def publish(self) -> Adapter:
        now, found = base(self.settings), adapters(self.settings)
        name = base_id(now.files)
        one = made.adapter(base=name, base_files=now.files, template=now.template)
        return found.publish(made.saved(self.folder / "scratch", base_model_name_or_path=name), one)

    def promote(self) -> str:
        found = releases(self.settings, self.house.lake)
        prompt = f"evidence@{self.adapter.template}"
        release = Release(self.adapter.base, self.adapter.id, prompt, self.graph.encoder.fingerprint)
        id = found.propose("main", release, promoted=True, sentence="Better.", against="base").id
        return found.promote("main", id, why="better", by="a test").id

    def slow(self) -> dict[str, object]:
        """All of the slow hand that must not move."""
        found = releases(self.settings, self.house.lake)
        now = base(self.settings)
        return {
            "pointer": found.moves.now("main"),
            "served": found.served("main").id,
            "adapters": adapters(self.settings).all_of("main"),
            "retired": all_retired(adapters(self.settings).all_of("main"), base_id(now.files), now.template),
            "ledger": self.house.ledger.entries(),
            "decisions": self.house.lake.names("decision"),
            "requested": [*self.tick()[0], *self.due()],
        }

    def due(self) -> list[dg.RunRequest]:
        self.cursor = None
        return self.tick("evidence_due")[0]

    def fast(self) -> dict[str, object]:
        """All of the index that must not move."""
        published = self.graph.hand.vector_index.published()
        assert published is not None
        return {
            "version": published.version,
            "passages": [one.chunk_id for name in self.graph.sources for one in published.passages(name)],
            "vectors": self.graph.hand.lake.names("knowledge/vectors"),
            "embedded": len(self.graph.encoder.embedded),
        }

    def based(self, other: Path, template: str = "evidence") -> Settings:
        return with_base(self.settings, other, template)


def with_base(settings: Settings, folder: Path, template: str = "evidence") -> Settings:
    said = BaseModelSettings(model=str(folder), template=template)  # type: ignore[arg-type]
    return settings.model_copy(update={"base": said})


@pytest.fixture(scope="module")
def world(tmp_path_factory, project):
    return Served(tmp_path_factory.mktemp("world"), project)


def edited(folder: Path, what: str) -> Path:
    """A copy of the bundled base, of which one thing is another."""
    other = folder / what
    shutil.copytree(BUNDLED, other)
    if what == "weights":
        file = other / "model.safetensors"
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(bytes(data))
    elif what == "tokenizer":
        file = other / "tokenizer.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "truncation": None}, indent=1))
    else:
        file = other / "chat_template.jinja"
        file.write_text(file.read_text() + "{# another #}")
    return other


# -------------------------------------------------------------------------------------- the fast hand leaves the slow


def test_documents_retire_no_adapter_and_start_nothing(world):
    before, index = world.slow(), world.fast()
    files = world.graph.sources["docs"].files
    files.update(dict.fromkeys(files, "# Other\n\nNothing is as it was."), new="# New\n\nThere is more.")
    assert world.graph.run(world.instance, "docs").success
    assert world.fast()["version"] != index["version"]
    assert world.slow() == before
    assert before["served"] == world.release
    assert (before["retired"], before["requested"]) == ({}, [])
    assert {run.job_name for run in world.instance.get_runs()} == {"sync_slices"}


def test_encoder_retires_no_adapter_and_starts_nothing(world):
    before, index = world.slow(), world.fast()
    former = world.graph.hand.encoder
    world.graph.hand.encoder = world.graph.encoder = HashEncoder("another-encoder")
    try:
        for slice in world.graph.sources:
            assert world.graph.run(world.instance, slice).success
        assert world.graph.hand.vector_index.published().schema.encoder == "another-encoder"
        assert world.fast()["version"] != index["version"]
        assert world.slow() == before
        # what answers says which encoder it was gated with: the next candidate is gated with the new one
        assert world.slow()["pointer"].release.encoder == former.fingerprint
    finally:
        world.graph.hand.encoder = world.graph.encoder = former
        for slice in world.graph.sources:
            assert world.graph.run(world.instance, slice).success
    assert {run.job_name for run in world.instance.get_runs()} == {"sync_slices"}


# -------------------------------------------------------------------------------------- the base retires, and no more


@pytest.mark.parametrize("what", ["weights", "tokenizer", "template"])
def test_another_base_retires_every_adapter_and_touches_no_index(world, tmp_path, what):
    index, settings = world.fast(), world.based(edited(tmp_path, what))
    why = overview_adapters.retired(settings, "main")
    assert set(why) == {world.adapter.id}
    assert f"made for base {world.adapter.base}" in why[world.adapter.id]
    with pytest.raises(ModelError, match=f"the released adapter {world.adapter.id} was made for base"):
        overview_adapters.check(settings, world.house.lake, "main")
    found = releases(settings, world.house.lake)
    assert (found.served("main").id, len(found.served("main").problems)) == ("base", 1)  # the new base, alone
    world_settings = releases(world.settings, world.house.lake)
    other = Release("b", "a" * 16, f"evidence@{world.adapter.template}")
    id = world_settings.propose("main", other, promoted=True, sentence="", against=world.release).id
    with pytest.raises(ModelError, match="is not what was released"):
        found.promote("main", id, why="it was better", by="a test")
    trying = trials(settings, world.data, lambda: world.graph.hand, found)
    with pytest.raises(ModelError, match="was made for base"):
        trying.run("main", world.adapter.id)
    assert found.moves.now("main").id == world.release  # the pointer stays, and is right again with the former base
    defs = build(settings, world.graph.hand, world.data, world.project, world.house.decision)
    job = defs.resolve_job_def("sync_slices")
    for slice in world.graph.sources:
        assert job.execute_in_process(instance=world.instance, partition_key=slice).success
    assert world.fast() == index


def test_base_that_is_back_makes_its_adapters_good_again(world, tmp_path):
    other = world.based(edited(tmp_path, "weights"))
    assert overview_adapters.retired(other, "main")
    assert overview_adapters.retired(world.settings, "main") == {}
    assert world.adapter.id in overview_adapters.check(world.settings, world.house.lake, "main")


def test_other_prompts_retire_adapters(world):
    why = overview_adapters.retired(world.based(BUNDLED, template="passages"), "main")
    assert "made for prompts" in why[world.adapter.id]


def test_base_is_no_part_of_what_the_fast_hand_looks_at(world, tmp_path):
    cursor = tick(world.graph).cursor
    settings = world.based(edited(tmp_path, "weights"))
    world.graph.defs = build(settings, world.graph.hand, world.data, world.project, world.house.decision)
    assert tick(world.graph, cursor).run_requests == []


# -------------------------------------------------------------------------------------------------------- the table


@pytest.mark.parametrize(
    ("base", "template", "why"),
    [
        (made.BASE, "t" * 12, ""),
        ("c" * 16, "t" * 12, f"made for base {made.BASE}, and {'c' * 16} is configured"),
        (made.BASE, "u" * 12, f"made for prompts {'t' * 12}, and {'u' * 12} are configured"),
        ("c" * 16, "u" * 12, f"made for base {made.BASE}, and {'c' * 16} is configured"),
    ],
)
def test_retired_says_why(base, template, why):
    one = made.adapter()
    assert retired(one, base, template) == why
    assert all_retired([one], base, template) == ({one.id: why} if why else {})
