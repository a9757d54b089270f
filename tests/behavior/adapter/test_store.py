"""Adapters on the disk: whole or not at all, and never another one under the same name."""

import json
from pathlib import Path

import pytest

from assets.behavior.adapter.store import CONFIG, MANIFEST, README, WEIGHTS, Adapters
from assets.errors import CorruptState, ModelError
from assets.serving.files import hashed
from tests.behavior.adapter.made import adapter, saved

A, B = "a" * 16, "b" * 16


@pytest.fixture
def adapters(tmp_path: Path) -> Adapters:
    return Adapters(tmp_path / "adapters")


def test_publish_is_found_by_id_and_by_variant(adapters, tmp_path):
    first = adapters.publish(saved(tmp_path / "one"), adapter(A, metrics={"loss": [1.5, 0.25]}))
    second = adapters.publish(saved(tmp_path / "two", 2.0), adapter(B))
    other = adapters.publish(saved(tmp_path / "three", 3.0), adapter("c" * 16, "json-api"))
    assert [one.number for one in (first, second, other)] == [1, 2, 1]
    assert adapters.get(A) == first
    assert adapters.all_of("main") == [first, second]
    assert adapters.newest("main") == second
    assert adapters.newest("legal") is None
    assert adapters.get("0" * 16) is None


def test_published_folder_holds_what_is_served_and_nothing_that_runs(adapters, tmp_path):
    made = adapters.publish(saved(tmp_path / "one"), adapter())
    folder = adapters.folder_of(made.id)
    assert sorted(file.name for file in folder.iterdir()) == sorted([README, CONFIG, WEIGHTS, MANIFEST])
    assert hashed(folder, "adapter").keys() == {CONFIG, WEIGHTS, MANIFEST}
    assert made.dataset in (folder / README).read_text()


def test_publish_again_finds_the_first_one(adapters, tmp_path):
    first = adapters.publish(saved(tmp_path / "one"), adapter(request="r1"))
    again = adapters.publish(saved(tmp_path / "two"), adapter(request="r2"))
    assert again == first


def test_publish_of_other_weights_under_an_id_is_refused_and_keeps_the_first(adapters, tmp_path):
    first = adapters.publish(saved(tmp_path / "one"), adapter())
    with pytest.raises(ModelError, match="is another one"):
        adapters.publish(saved(tmp_path / "two", 2.0), adapter())
    adapters.verify(first)


def test_publish_leaves_nothing_beside_after_a_kill(adapters, tmp_path):
    left = adapters.folder / ".publishing-killed"
    left.mkdir(parents=True)
    (left / WEIGHTS).write_bytes(b"half")
    adapters.publish(saved(tmp_path / "one"), adapter())
    assert not left.exists()
    assert [one.id for one in adapters.all_of("main")] == [A]


@pytest.mark.parametrize(
    "name", ["optimizer.pt", "training_args.bin", "modeling.py", "state.pkl", "trainer_state.json", "x.safetensors"]
)
def test_publish_refuses_whatever_else_lies_there(adapters, tmp_path, name):
    scratch = saved(tmp_path / "one")
    (scratch / name).write_bytes(b"x")
    with pytest.raises(ModelError, match=name):
        adapters.publish(scratch, adapter())
    assert adapters.all_of("main") == []


def test_publish_refuses_a_link_out_of_the_scratch_folder(adapters, tmp_path):
    scratch = saved(tmp_path / "one")
    (scratch / WEIGHTS).rename(tmp_path / "elsewhere")
    (scratch / WEIGHTS).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match=WEIGHTS):
        adapters.publish(scratch, adapter())


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_publish_refuses_a_missing_file(adapters, tmp_path, name):
    scratch = saved(tmp_path / "one")
    (scratch / name).unlink()
    with pytest.raises(ModelError, match=f"no {name}"):
        adapters.publish(scratch, adapter())


def test_publish_refuses_weights_that_are_cut_short(adapters, tmp_path):
    scratch = saved(tmp_path / "one")
    whole = (scratch / WEIGHTS).read_bytes()
    for cut in (0, 7, 20, len(whole) - 1):
        (scratch / WEIGHTS).write_bytes(whole[:cut])
        with pytest.raises(ModelError, match="damaged"):
            adapters.publish(scratch, adapter())


def test_publish_refuses_a_machine_path_and_code_in_the_configuration(adapters, tmp_path):
    with pytest.raises(ModelError, match="is of base '/home/me/model'"):
        adapters.publish(saved(tmp_path / "one", base_model_name_or_path="/home/me/model"), adapter())
    with pytest.raises(ModelError, match="auto_mapping"):
        adapters.publish(saved(tmp_path / "two", auto_mapping={"parent_library": "os"}), adapter())


@pytest.mark.parametrize("change", [lambda s: "{", lambda s: "[]", lambda s: s.replace('"main"', '"mine"')])
def test_damaged_manifest_is_named(adapters, tmp_path, change):
    made = adapters.publish(saved(tmp_path / "one"), adapter())
    file = adapters.folder_of(made.id) / MANIFEST
    file.write_text(change(file.read_text()))
    with pytest.raises(CorruptState, match=MANIFEST):
        adapters.get(made.id)
    with pytest.raises(CorruptState, match=MANIFEST):
        adapters.all_of("main")


def test_manifest_that_was_moved_to_another_folder_is_damaged(adapters, tmp_path):
    made = adapters.publish(saved(tmp_path / "one"), adapter())
    adapters.folder_of(made.id).rename(adapters.folder_of(B))
    with pytest.raises(CorruptState, match="it is of adapter"):
        adapters.get(B)


def test_verify_names_a_file_that_changed(adapters, tmp_path):
    made = adapters.publish(saved(tmp_path / "one"), adapter())
    config = adapters.folder_of(made.id) / CONFIG
    config.write_text(json.dumps({"r": 9}))
    with pytest.raises(ModelError, match=CONFIG):
        adapters.verify(made)


def test_folders_of_others_are_no_adapters(adapters, tmp_path):
    (adapters.folder / "notes").mkdir(parents=True)
    adapters.publish(saved(tmp_path / "one"), adapter())
    assert len(adapters.all_of("main")) == 1


@pytest.mark.parametrize("id", ["", "..", "../x", "a/b", ".hidden"])
def test_names_that_leave_the_folder_are_refused(adapters, id):
    with pytest.raises(ModelError, match="no id"):
        adapters.get(id)
