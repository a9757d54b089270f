from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from uuid import uuid4

import pyarrow as pa
import pytest

from assets.behavior.dataset import store
from assets.behavior.dataset.pipeline import Base, Datasets
from assets.behavior.frozen import freeze
from assets.behavior.pipeline import BUILT
from assets.behavior.schemas import INTERACTIONS, partition
from assets.behavior.taint import preview
from assets.behavior.taint.checks import looked_at, result
from assets.behavior.taint.looking import FOLDER, Taints
from assets.behavior.taint.rules import OfAdapter, Report, Share, Touch
from orchestration.engines.lake import open_lake
from tests.behavior.dataset.made import CANDIDATES, CONFIG, FIRST, accepted, fill, length, render, row, sources

ROWS = [*(row(number) for number in range(20)), *(accepted(number) for number in range(20, 33))]


@dataclass(frozen=True)
class Made:
    id: str
    dataset: str
    content: str


class Reads:
    """A lake that counts which days' interactions are read, and how often the rows of datasets."""

    def __init__(self, lake) -> None:
        self._lake, self.days, self.rows = lake, [], 0

    def __getattr__(self, name: str):
        return getattr(self._lake, name)

    def columns(self, name, columns):
        if name.startswith("behavior/interactions"):
            self.days.append(name.split("/")[2].removeprefix("day="))
        self.rows += name.startswith("behavior/dataset")
        return self._lake.columns(name, columns)


class World:
    """A dataset of ROWS in a lake, an adapter that was made of it and answers, and days that can be built again."""

    def __init__(self, folder) -> None:
        self.lake = Reads(open_lake(str(folder / "lake"), locks=folder / "locks"))
        if not self.lake.names("behavior"):
            self.build(ROWS)
            self.make(ROWS)
        [self.manifest] = store.manifests(self.lake, "main")
        self.examples, _ = store.read(self.lake, self.manifest)
        self.made = [Made("a1", self.manifest.digest, self.manifest.content)]
        self.answers = "a1"
        self.taints = Taints(self.lake, adapters=lambda _: self.made, released=lambda _: self.answers)

    def make(self, rows):
        columns = pa.Table.from_pylist(rows, schema=CANDIDATES)
        name = freeze(self.lake, columns, variant="main", request="r", first=FIRST, last=FIRST).name
        datasets = Datasets(
            lake=self.lake,
            config=CONFIG,
            texts=lambda: sources().texts,
            base=lambda: Base(render, length, "template-1", "words"),
        )
        return datasets.make("main", name)

    def build(self, rows, *days) -> None:
        """Rebuilds days (all, where none are named) as these rows have them."""
        every = {one["day"] for one in ROWS}
        fill(self.lake, [one for one in rows if not days or one["day"] in days])
        for day in (set(days) or every) - {one["day"] for one in rows}:
            self.lake.write(partition("interactions", day), INTERACTIONS.empty_table())
        built = json.loads(self.lake.read_text(BUILT) or "{}")
        built |= {str(day): uuid4().hex for day in set(days) or every}
        self.lake.write_text(BUILT, json.dumps(built))

    def changed(self, index: int = 0, split: str = "train", **said):
        """Builds the day of a row of the dataset again, with this said of its interaction; returns the row."""
        one = [line for line in self.examples if line.split == split and line.event != "accepted"][index]
        rows = [dict(r, **said) if r["id"] in one.interaction_ids else r for r in ROWS]
        self.build([r for r in rows if not r.get("gone")], one.day)
        return one

    def whole(self):
        return self.taints.look("main").datasets[0].whole


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The lake, made once."""
    folder = tmp_path_factory.mktemp("stored")
    World(folder)
    return folder


@pytest.fixture
def world(tmp_path, stored):
    shutil.copytree(stored / "lake", tmp_path / "lake")
    return World(tmp_path)


def test_nothing_is_tainted_while_nothing_changed(world):
    report = world.taints.look("main")
    assert report.released == OfAdapter(
        "a1", world.manifest.digest, replace(report.released.trained, by={}), released=True, first_day=str(FIRST)
    )
    assert report.released.trained.rows == sum(one.split == "train" for one in world.examples)
    assert (world.whole().rows, world.whole().touched) == (len(world.examples), 0)
    assert report.datasets[0].released


@pytest.mark.parametrize(
    ("said", "touch"),
    [
        ({"gone": True}, Touch.DELETED),
        ({"prompt": "Something else?"}, Touch.CORRECTED),
        ({"verdict": "knowledge"}, Touch.ATTRIBUTED),
        ({"passages": "[]"}, Touch.CORRECTED),
    ],
)
def test_change_of_an_interaction_touches_its_row_once(world, said, touch):
    one = world.changed(**said)
    report = world.taints.look("main")
    [dataset] = report.datasets
    assert dataset.whole.by == report.released.trained.by == {touch: 1}
    assert dataset.ids == {touch: one.interaction_ids}
    assert report.released.trained.share == 1 / report.released.trained.rows


def test_later_version_that_says_the_same_touches_nothing(world):
    world.changed(user_id="another-name", kind="style", schema_ok=True)
    assert world.whole().touched == 0


def test_correction_of_what_a_person_wrote_touches(world):
    one = next(one for one in world.examples if one.event == "accepted")
    name = partition("interactions", one.day)
    rows = [
        dict(r, corrected_response="Otherwise.") if r["id"] in one.interaction_ids else r
        for r in world.lake.read(name).to_pylist()
    ]
    world.lake.write(name, pa.Table.from_pylist(rows, schema=INTERACTIONS))
    world.lake.write_text(BUILT, "{}")
    assert world.whole().by == {Touch.CORRECTED: 1}


def test_row_that_was_not_trained_on_taints_the_dataset_alone(world):
    world.changed(split="test", gone=True)
    report = world.taints.look("main")
    assert (report.datasets[0].whole.touched, report.released.trained.touched) == (1, 0)


def test_look_reads_the_days_that_were_built_again_and_no_others(world):
    world.whole()
    world.lake.days.clear()
    one = world.changed(gone=True)
    assert world.whole().touched == 1
    assert world.lake.days == [str(one.day)]
    world.lake.days.clear()
    world.lake.rows = 0
    assert world.whole().touched == 1  # from what was noted
    assert (world.lake.days, world.lake.rows) == ([], 1)  # the dataset's rows are read for the ids alone
    assert world.taints.look("main", named=False).datasets[0].ids == {}
    assert world.taints.released("main").trained.touched == 1
    assert world.lake.rows == 1
    world.build(ROWS, one.day)
    assert world.whole().touched == 0  # taken back


def test_damaged_note_costs_a_look_and_no_more(world):
    world.changed(gone=True)
    world.whole()
    [name] = world.lake.names(FOLDER)
    for text in ("{", "[]", '{"content": "x"}', json.dumps({"content": world.manifest.content})):
        world.lake.write_text(name, text)
        assert world.whole().touched == 1


def test_erased_rows_taint_what_was_trained_on_them_before(world):
    world.whole()
    learnt = [one for one in world.examples if one.split == "train"]
    test = next(one for one in world.examples if one.split == "test")
    store.forget(world.lake, "main", [*learnt[0].interaction_ids, *test.interaction_ids])
    world.made.append(Made("a2", world.manifest.digest, store.manifests(world.lake, "main")[0].content))
    store.forget(world.lake, "main", learnt[1].interaction_ids)
    report = world.taints.look("main")
    first, second = report.adapters
    assert (first.trained.by, first.trained.rows) == ({Touch.ERASED: 2}, len(learnt))
    assert (second.trained.by, second.trained.rows) == ({Touch.ERASED: 1}, len(learnt) - 1)
    assert report.datasets[0].whole.by == {Touch.ERASED: 3}
    assert report.datasets[0].whole.rows == len(world.examples)
    assert learnt[0].interaction_ids[0] not in "".join(world.lake.read_text(n) for n in world.lake.names(FOLDER))


def test_released_looks_at_its_own_dataset_alone(world):
    world.changed(gone=True)
    other, _ = world.make([dict(one, topic="other") for one in ROWS])
    world.lake.remove([other.name])
    assert world.taints.released("main").trained.touched == 1
    world.answers = ""
    assert world.taints.released("main") is None
    world.answers, world.made = "a9", [Made("a9", "f" * 64, "")]
    assert world.taints.released("main").known is False
    assert "is not in this lake" in preview.sentence(
        replace(world.taints.look("main"), datasets=()) if world.lake.remove([other.name.replace("parquet", "json")])
        else world.taints.look("main"), 0.05
    )  # fmt: skip


def test_stamp_changes_with_what_was_noted(world):
    before = world.taints.stamp("main")
    world.whole()
    noted = world.taints.stamp("main")
    world.whole()
    assert before != noted == world.taints.stamp("main")
    world.changed(gone=True)
    world.whole()
    assert world.taints.stamp("main") != noted


def test_base_alone_is_shown_as_untouched_and_an_unknown_dataset_as_no_number():
    alone = preview.of_report(Report("main"), 0.05)
    assert (alone["released_share"], alone["released_touched"], alone["released_erased"]) == (0.0, 0, 0)
    unknown = OfAdapter("a1", "d" * 64, Share(), released=True, known=False)
    assert "released_share" not in preview.of_report(Report("main", adapters=(unknown,)), 0.05)


def test_report_is_shown_in_numbers_and_tables_with_few_ids(world):
    world.build([])
    report = world.taints.look("main")
    shown = preview.of_report(report, 0.05)
    assert (shown["released_share"], shown["newest_dataset_share"]) == (1.0, 1.0)
    assert "more than the limit" in shown["said"]
    assert "| `a1` |" in shown["adapters"]
    said = preview.as_json(report, 0.05)
    assert said["datasets"][0]["by_reason"] == {"deleted": len(world.examples)}
    assert len(said["datasets"][0]["ids"]["deleted"]) == 20
    assert said["adapters"][0]["released"] is True
    text = preview.as_text(report, 0.05)
    assert "adapter a1: 100.0%" in text
    assert "deleted, or moved to another day" in text


def test_check_warns_above_the_limit_and_about_weights_that_know_the_erased(world):
    clean = world.taints.look("main")
    assert result("release", {"main": looked_at("release", clean)}, {"main": 0.05}).passed
    learnt = next(one for one in world.examples if one.split == "train")
    store.forget(world.lake, "main", learnt.interaction_ids)
    report = world.taints.look("main")
    found = {name: looked_at(name, report) for name in ("dataset", "adapter", "release")}
    passed = {name: result(name, {"main": share}, {"main": 0.5}).passed for name, share in found.items()}
    assert passed == {"dataset": True, "adapter": False, "release": False}
    assert not result("dataset", {"main": found["dataset"]}, {"main": 0.01}).passed
    nothing = result("release", {"main": None}, {"main": 0.05})
    assert (nothing.passed, nothing.description) == (True, "there is no adapter that answers yet")
