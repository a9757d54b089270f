"""Where an export may be written, and what a plain one holds."""

from __future__ import annotations

import json

import pytest

from assets.serving.export import BadTarget, plain, written
from tests.behavior.adapter.made import saved


def fill(target) -> None:
    with written(target) as folder:
        assert folder.parent == target.parent.resolve()
        (folder / "a.txt").write_text("a")
        assert not (target / "a.txt").exists()  # not before it is whole


def test_export_is_written_to_a_new_or_an_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        fill(tmp_path / name)
        assert [path.name for path in (tmp_path / name).iterdir()] == ["a.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "new"]


def test_export_that_fails_leaves_nothing(tmp_path):
    def full(folder) -> None:
        (folder / "a.txt").write_text("a")
        raise OSError("full")

    with pytest.raises(OSError, match="full"), written(tmp_path / "new") as folder:
        full(folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "said"),
    [("link", "it is a link"), ("dangling", "it is a link"), ("file", "it is a file"), ("held", "it holds something"),
     ("nowhere", "there is no folder")],
)  # fmt: skip
def test_export_never_overwrites_and_never_follows_a_link(tmp_path, kind, said):
    target, other = tmp_path / "out", tmp_path / "other"
    other.mkdir()
    if kind == "link":
        target.symlink_to(other)
    elif kind == "dangling":
        target.symlink_to(tmp_path / "gone")
    elif kind == "file":
        target.write_text("mine")
    elif kind == "held":
        target.mkdir()
        (target / "mine").write_text("mine")
    else:
        target = tmp_path / "no" / "out"
    with pytest.raises(BadTarget, match=said), written(target):
        raise AssertionError("nothing is made")
    assert list(other.iterdir()) == []


def test_folder_that_somebody_else_filled_meanwhile_is_left_alone(tmp_path):
    target = tmp_path / "out"

    def meanwhile() -> None:
        target.mkdir()
        (target / "theirs").write_text("theirs")

    with pytest.raises(BadTarget, match="it holds something"), written(target):
        meanwhile()
    assert [path.name for path in target.iterdir()] == ["theirs"]


def test_plain_export_names_the_base_that_it_is_served_on(tmp_path):
    adapter = saved(tmp_path / "adapter")
    (adapter / "twohands.json").write_text("{}")
    with written(tmp_path / "out") as folder:
        plain(adapter, folder, "org/base-1b")
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    said = json.loads((out / "adapter_config.json").read_text())
    assert (said["base_model_name_or_path"], said["peft_type"]) == ("org/base-1b", "LORA")
    assert (out / "adapter_model.safetensors").read_bytes() == (adapter / "adapter_model.safetensors").read_bytes()
