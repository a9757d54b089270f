"""Every lake engine: a folder, and an object store (fsspec's memory file system)."""

from __future__ import annotations

import errno
import multiprocessing
import time
import uuid

import pyarrow as pa
import pytest

from assets.errors import CorruptState, DiskFull, EngineBusy, EngineError
from assets.knowledge.overlay import Overlay
from orchestration.engines.lake import open_lake


@pytest.fixture(params=["folder", "memory", "overlay"])
def lake(request, tmp_path):
    if request.param == "memory":
        return open_lake(f"memory://{uuid.uuid4().hex}", locks=tmp_path / "locks")
    below = open_lake(str(tmp_path / "lake"), locks=tmp_path / "locks")
    return Overlay(below) if request.param == "overlay" else below


@pytest.fixture(params=["parquet", "arrow"])
def name(request):
    return f"a/b/table.{request.param}"


TABLE = pa.table({"x": [1, 2, 3], "y": ["a", "b", None]})


def test_written_table_is_read_back(lake, name):
    assert lake.read(name) is None
    lake.write(name, TABLE)
    assert lake.read(name).equals(TABLE)
    assert lake.columns(name, ["y"]).column_names == ["y"]


def test_write_replaces(lake, name):
    lake.write(name, TABLE)
    lake.write(name, TABLE.slice(0, 1))
    assert lake.read(name).num_rows == 1


def test_table_keeps_its_schema_metadata(lake, name):
    lake.write(name, TABLE.replace_schema_metadata({"k": "v"}))
    assert lake.read(name).schema.metadata[b"k"] == b"v"


def test_texts_are_stored(lake):
    assert lake.read_text("t/x.json") is None
    lake.write_text("t/x.json", "grün")
    lake.write_text("t/x.json", "blau")
    assert lake.read_text("t/x.json") == "blau"


def test_names_lists_what_is_below_a_folder(lake):
    for name in ("a/1.parquet", "a/b/2.parquet", "ab/3.parquet"):
        lake.write(name, TABLE)
    assert lake.names("a") == ["a/1.parquet", "a/b/2.parquet"]
    lake.remove(["a/1.parquet", "a/never.parquet"])
    assert lake.names("a") == ["a/b/2.parquet"]


@pytest.mark.parametrize("bad", ["../x", "/x", "a/../../x", "", "a\\..\\x"])
def test_names_never_leave_the_root(tmp_path, bad):
    for url in (str(tmp_path / "lake"), f"memory://{uuid.uuid4().hex}"):
        with pytest.raises(EngineError, match="not a name in the lake"):
            open_lake(url, locks=tmp_path).write(bad, TABLE)


def test_damaged_table_is_corrupt_state(tmp_path):
    lake = open_lake(str(tmp_path), locks=tmp_path)
    for name, remedy in (
        ("knowledge/docs/chunks/a.parquet", "delete knowledge/docs/chunks"),
        ("behavior/evaluation/sets/main/a.parquet", "restore it from a backup"),  # nothing makes them again
    ):
        lake.write(name, TABLE)
        (tmp_path / name).write_bytes(b"PAR1 nonsense")
        with pytest.raises(CorruptState, match=rf"a\.parquet.*Next: {remedy}"):
            lake.read(name)


def test_unfinished_write_is_no_name(tmp_path):
    lake = open_lake(str(tmp_path), locks=tmp_path)
    lake.write("a/x.parquet", TABLE)
    (tmp_path / "a" / ".tmp-killed").write_bytes(b"half")
    assert lake.names("a") == ["a/x.parquet"]


def test_full_disk_keeps_the_former_table_and_says_so(tmp_path, monkeypatch):
    lake = open_lake(str(tmp_path), locks=tmp_path)
    lake.write("a.parquet", TABLE)

    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFull, match=r"No space left while writing a\.parquet.*Next: free disk space"):
        lake.write("a.parquet", TABLE.slice(0, 1))
    assert lake.read("a.parquet").equals(TABLE)
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def _hold(path: str, ready) -> None:
    with open_lake(path, locks=None).lock("slice", 5):
        ready.send(True)
        time.sleep(60)  # it is killed long before


def test_lock_has_one_holder_and_names_it(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, ours = context.Pipe(duplex=False)
    holder = context.Process(target=_hold, args=(str(tmp_path), ours), daemon=True)
    holder.start()
    try:
        assert ready.poll(30)
        lake = open_lake(str(tmp_path), locks=tmp_path)
        with pytest.raises(EngineBusy, match=f"pid {holder.pid}"), lake.lock("slice", 0.2):
            pass
        with lake.lock("other", 0.2):
            pass
        holder.kill()
        holder.join()
        with lake.lock("slice", 5):
            pass
    finally:
        holder.kill()
        holder.join()


def test_unknown_url_says_what_to_install(tmp_path):
    with pytest.raises(EngineError, match="pip install"):
        open_lake("nosuch://bucket", locks=tmp_path)
