"""Events that are served where the landing folder is an object store: ingestion reads them in the home."""

from __future__ import annotations

from contextlib import ExitStack

import fsspec
import pytest

from assets.behavior.landing.served import PREFIX
from orchestration.assembly_behavior import behavior_data, journal_folder
from orchestration.config import load
from tests.behavior.landing_tools import event, line
from tests.test_cli import Project
from tests.web.world import World

BUCKET = "memory://twohands-served/logs"


class Apart:
    """A project with a bucket that it lands in, and a server's app over the folder that the settings name."""

    def __init__(self, folder, stack: ExitStack) -> None:
        self.project = Project(folder)
        self.project.configure(f'[behavior]\nlanding = "{BUCKET}"\n')
        self.settings = load(str(self.project.folder / "twohands.toml"))
        self.store = fsspec.filesystem("memory")
        self.store.makedirs("/twohands-served/logs", exist_ok=True)
        self.served = journal_folder(self.settings)[0]
        self.world = World(self.served, stack)

    def put(self, name: str, data: bytes) -> None:
        self.store.pipe_file(f"/twohands-served/logs/{name}", data)

    def ingest(self) -> tuple[int, int]:
        said = self.project.json("ingest")
        assert said["quarantined"] == 0
        return said["accepted"], said["corrected"]

    def ids(self) -> list[str]:
        data = behavior_data(self.settings)
        for day in data.landing.dirty_days():
            data.interactions(day)
        return sorted(id for day in data.landing.days() for id in data.lake.columns(
            f"behavior/interactions/day={day}/data.parquet", ["id"]).column("id").to_pylist())  # fmt: skip


@pytest.fixture
def apart(tmp_path):
    with ExitStack() as stack:
        made = Apart(tmp_path, stack)
        yield made
        made.store.rm("/twohands-served", recursive=True)


def test_what_is_served_is_read_beside_the_object_store(apart):
    assert apart.served == apart.settings.home / "served"
    apart.put("a.jsonl", line(event("landed")))
    id = apart.world.ask().json()["id"]
    assert apart.ingest() == (2, 0)
    assert apart.ids() == sorted(["landed", id])
    apart.world.client.post("/v1/feedback", json={"id": id, "feedback": "up"})
    assert apart.ingest() == (1, 1)  # the line that came, and no other
    assert apart.ingest() == (0, 0)
    assert apart.project.json("status")["behavior"]["files"] == 2


def test_copy_of_the_journal_in_the_object_store_doubles_nothing(apart):
    id = apart.world.ask().json()["id"]
    apart.ingest()
    [file] = apart.served.iterdir()
    apart.put(f"served/{file.name}", file.read_bytes())
    apart.ingest()
    apart.world.client.post("/v1/feedback", json={"id": id, "feedback": "up"})
    apart.ingest()  # the copy is older than the journal now, and each stays its own file
    assert apart.ids() == [id]
    found = apart.project.json("status")["behavior"]
    assert (found["files"], found["events"]) == (2, 3)


def test_erasure_names_the_journal_as_a_file_that_holds_lines(apart):
    id = apart.world.ask().json()["id"]
    apart.ingest()
    [file] = apart.served.iterdir()
    assert apart.project.json("erase", id, "--dry-run")["files"] == [PREFIX + file.name]


def test_half_a_line_of_a_killed_server_waits_and_is_not_lost(apart):
    apart.world.ask()
    [file] = apart.served.iterdir()
    with file.open("ab") as journal:
        journal.write(b'{"id":"int-half"')
    assert apart.ingest() == (1, 0)
    with file.open("ab") as journal:
        journal.write(line(event("int-half"))[len(b'{"id": "int-half"') :])
    assert apart.ingest() == (1, 0)


def test_object_store_that_is_down_keeps_no_served_event_from_being_read(apart):
    apart.world.ask()
    apart.store.rm("/twohands-served/logs", recursive=True)
    code, out, _ = apart.project.run("ingest", "--json")
    assert (code, '"accepted": 1' in out) == (1, True)
    assert "the landing folder" in out
    for file in apart.served.iterdir():
        file.unlink()
    apart.served.rmdir()  # nothing was ever served here: the store alone counts
    assert "accepted" not in apart.project.run("ingest", "--json")[1]
    apart.store.makedirs("/twohands-served/logs", exist_ok=True)
