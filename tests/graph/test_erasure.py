"""Somebody wants to be forgotten: nothing they wrote is left in lake, warehouse, report or Dagster's event log."""

from __future__ import annotations

import gzip
import json
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import duckdb
import pytest

from assets.behavior.dataset import store
from assets.behavior.dataset.rows import Example
from assets.behavior.landing import erased
from orchestration.assembly import fast_hand
from orchestration.assembly_behavior import behavior_data
from orchestration.config import load
from orchestration.definitions import build
from orchestration.engines.lake import open_lake
from tests.test_cli import Project
from tests.test_cli_behavior import DAY, event
from tests.web.world import World, error

SECRETS = ("Quetzalcoatl", "Nebuchadnezzar", "pier 4711", "Popocatepetl", "Tenochtitlan", "u-xylophone", "Axolotl")
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
PASSAGES = [{"chunk_id": "c", "doc_id": "docs/ferry.md", "text_sha": "0" * 64, "text": "Popocatepetl"}]


def mine(number: int, **more) -> dict:
    said = {"prompt": f"Quetzalcoatl {number}?", "response": "Nebuchadnezzar leaves at seven.", "user": "u-xylophone"}
    return event(number, **{**said, "passages": PASSAGES, "tags": ["Tenochtitlan"], **more})


class Home:
    """A project whose days were built by Dagster, on an instance in its home."""

    def __init__(self, folder, project, more: str = "") -> None:
        self.project, self.dbt = Project(folder), project
        self.project.configure(f'[behavior]\nlanding = "landing"\n{more}')
        self.landing = self.project.folder / "landing"
        self.landing.mkdir()
        self.settings = load(str(self.project.folder / "twohands.toml"))
        self.home = self.settings.home
        hand = fast_hand(self.settings)
        hand.documents("docs")
        hand.chunks("docs")
        (self.home / "dagster").mkdir()
        (self.home / "dagster" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        self.others = [event(1), event(2, feedback="up"), event(3, feedback="down", corrected_response="From pier 9.")]
        lost = mine(4, feedback="down", corrected_response="The ferry leaves from pier 4711 for Axolotl at 08:45.")
        self.mine = [lost, mine(5, feedback="up"), mine(6, occurred_at=f"{DAY - timedelta(2)}T08:00:00Z")]
        self.write(self.mine + self.others)

    def write(self, rows, name="a.jsonl") -> None:
        text = "".join(json.dumps(row) + "\n" for row in rows).encode()
        (self.landing / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)

    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(self.home / "dagster"))

    def run(self, assets: list[str] | None = None) -> None:
        job = build(self.settings, project=self.dbt).resolve_job_def("rebuild_days")
        tags = dict(zip(RANGE, (str(DAY - timedelta(2)), str(DAY)), strict=True))
        chosen = [dg.AssetKey(["behavior", name]) for name in assets] if assets else None
        with self.instance() as instance:
            assert job.execute_in_process(
                instance=instance, tags=tags, asset_selection=chosen, raise_on_error=False
            ).success

    def freeze(self) -> None:
        behavior_data(self.settings).freeze("main", DAY - timedelta(2), DAY, "request")

    def dataset(self) -> str:
        """Stores a dataset that was made of a row of theirs and one of somebody else; returns its digest."""
        chats = ({"role": "user", "content": "Quetzalcoatl?"}, {"role": "assistant", "content": "Nebuchadnezzar."})
        row = Example(
            chats, ("e5",), "ferry", "accepted", "accepted", DAY, "u-xylophone", "train", "Axolotl", "pier 4711"
        )
        other = replace(row, messages=(), interaction_ids=("e2",), group="g", prompt="When?", completion="At seven.")
        lake = open_lake(str(self.home / "lake"), locks=self.home / "locks")
        card = {"examples": ["Tenochtitlan"]}
        return store.write(lake, "main", [row, other], [], request="r", frozen="f", made_of={}, card=card).digest

    def found(self, warehouse: bool = True) -> set[str]:
        """Where which of the secrets is: in tables, and as bytes of any file of the home."""
        places = {}
        lake = open_lake(str(self.home / "lake"), locks=self.home / "locks")
        for name in lake.names("behavior"):
            table = name.endswith((".parquet", ".arrow"))
            places[f"lake {name}"] = repr(lake.read(name).to_pylist()) if table else lake.read_text(name) or ""
        if warehouse:
            with duckdb.connect(str(self.home / "warehouse.duckdb"), read_only=True) as connection:
                for (name,) in connection.sql("select table_name from information_schema.tables").fetchall():
                    places[f"warehouse {name}"] = repr(connection.sql(f'from "{name}"').fetchall())
        for file in self.home.rglob("*"):
            if file.is_file():
                places[f"file {file.relative_to(self.home)}"] = file.read_bytes().decode("latin-1")
        return {f"{secret} in {place}" for place, text in places.items() for secret in SECRETS if secret in text}

    def latest(self, name: str, partition: str | None) -> dg.AssetMaterialization:
        wanted = dg.AssetRecordsFilter(
            asset_key=dg.AssetKey(["behavior", name]), asset_partitions=[partition] if partition else None
        )
        with self.instance() as instance:
            return instance.fetch_materializations(wanted, limit=1).records[0].asset_materialization


@pytest.mark.timeout(300)
def test_erased_person_is_nowhere_any_more(tmp_path, project):
    made = Home(tmp_path, project)
    made.run()
    made.freeze()
    digest = made.dataset()
    assert made.project.json("taint")["variants"][0]["datasets"][0]["touched"] == 0
    before = made.found()
    assert {place.split(" in ")[0] for place in before} == set(SECRETS)
    for place in (
        "warehouse.duckdb",
        "in file dagster",
        "lake behavior/frozen",
        "lake behavior/dataset",
        "lake behavior/events",
    ):
        assert any(place in found for found in before), place
    version = made.latest("interactions", str(DAY - timedelta(1))).tags["dagster/data_version"]
    made.write(made.others)  # the lines leave their file first
    said = made.project.json("erase", "--user", "u-xylophone", "--purge-runs")
    assert (said["erased"], said["unknown"], said["files"]) == (["e4", "e5", "e6"], [], [])
    assert said["days"] == [str(DAY - timedelta(2)), str(DAY)]
    assert (said["candidates_removed"], len(said["runs"])) == (1, 1)
    assert said["datasets"] == {digest: 1}
    assert open_lake(str(made.home / "lake"), locks=made.home / "locks").names("behavior/taint") == []
    [tainted] = made.project.json("taint")["variants"][0]["datasets"]
    assert (tainted["digest"], tainted["rows"], tainted["by_reason"], tainted["ids"]) == (digest, 2, {"erased": 1}, {})
    assert made.found() == set()
    data = behavior_data(made.settings)
    assert (data.dirty_inputs(), data.report_inputs()) == ({}, "")
    assert [row["failures"] for row in made.project.json("gaps")["gaps"]] == [1]  # of somebody else
    kept = made.latest("attributions", str(DAY))
    assert "examples" not in kept.metadata
    assert "dagster/data_version" in kept.tags
    assert made.latest("interactions", str(DAY - timedelta(1))).tags["dagster/data_version"] == version


def test_erased_interaction_whose_line_stays_in_its_file_does_not_come_back(tmp_path, project):
    made = Home(tmp_path, project)
    (made.landing / "a.jsonl").unlink()
    made.write(made.mine + made.others, "a.jsonl.gz")
    made.project.json("backfill", "--days", f"{DAY - timedelta(2)}..{DAY}")
    said = made.project.json("erase", "e4")
    assert (said["files"], said["runs"], said["tombstones"]) == (["a.jsonl.gz"], [], 1)
    left = set(SECRETS) - {"pier 4711", "Axolotl"}
    assert {place.split(" in ")[0] for place in made.found()} == left
    made.write([*made.mine, *made.others, event(7)], "a.jsonl.gz")  # another version of the file, with the line
    made.project.json("backfill", "--days", str(DAY))
    rows = behavior_data(made.settings).lake.read(f"behavior/interactions/day={DAY}/data.parquet").to_pylist()
    assert [row["id"] for row in rows] == ["e1", "e2", "e3", "e5", "e7"]
    assert {place.split(" in ")[0] for place in made.found()} == left  # nor does its text, anywhere
    again = made.project.json("erase", "e4")
    assert (again["tombstones"], again["rows_scrubbed"], again["erased"]) == (0, 0, ["e4"])


@pytest.mark.timeout(300)
def test_feedback_on_an_erased_answer_brings_nothing_of_it_back(tmp_path, project):
    made = Home(tmp_path, project)
    data = behavior_data(made.settings)
    thumb = {"feedback": "up", "corrected_response": "Axolotl."}
    with ExitStack() as stack:
        one = World(made.landing, stack, erased=lambda: erased.read(data.lake))
        late = World(made.landing, stack)  # it never hears of erasures
        mine, other = one.ask("say Nebuchadnezzar", user="u-xylophone").json(), one.ask("say it", user="u-1").json()
        today = str(datetime.fromtimestamp(mine["created"], UTC).date())
        made.project.json("backfill", "--days", today)
        assert any("Nebuchadnezzar in warehouse" in place for place in made.found())
        said = made.project.json("erase", "--user", "u-xylophone")
        assert {mine["id"], "e4"} <= set(said["erased"])
        assert made.found() == set()
        noted = len(one.events())
        assert error(one.client.post("/v1/feedback", json={"id": mine["id"], **thumb})) == (410, "erased")
        assert len(one.events()) == noted
        assert one.client.post("/v1/feedback", json={"id": other["id"], "feedback": "up"}).status_code == 200
        assert late.client.post("/v1/feedback", json={"id": mine["id"], **thumb}).status_code == 200
        assert "Axolotl" in repr(late.events())  # a whole event, later than the tombstone
    made.project.json("backfill", "--days", today)
    assert made.found() == set()
    rows = data.lake.read(f"behavior/interactions/day={today}/data.parquet").to_pylist()
    assert [(row["id"], row["feedback"]) for row in rows] == [(other["id"], "up")]


def test_erasing_says_what_it_would_do_and_what_it_does_not_know(tmp_path, project):
    made = Home(tmp_path, project)
    made.project.json("ingest")
    before = made.home.joinpath("lake/behavior/landing/ledger.parquet").read_bytes()
    code, out, _ = made.project.run("erase", "e4", "nobody", "--dry-run", "--json")
    said = json.loads(out)
    assert (code, said["erased"], said["found"], said["unknown"]) == (1, [], ["e4"], ["nobody"])
    assert (said["days"], said["files"]) == ([str(DAY)], ["a.jsonl"])
    assert made.home.joinpath("lake/behavior/landing/ledger.parquet").read_bytes() == before
    assert "1 interaction would be forgotten, 1 day to rebuild" in made.project.run("erase", "e4", "--dry-run")[1]
    assert made.project.run("erase")[0] == 2


def test_without_quotes_the_event_log_never_holds_what_people_wrote(tmp_path, project):
    made = Home(tmp_path, project, "quote = false\n")
    made.run(assets=["interactions", "reference", "attributions"])
    assert not [place for place in made.found(warehouse=False) if "in file dagster" in place]
    shown = made.latest("attributions", str(DAY)).metadata
    assert "e4: " in shown["failed"].md_str
    assert made.project.json("erase", "e4", "--dry-run")["runs"] == []


def test_with_quotes_the_runs_that_hold_them_are_named(tmp_path, project):
    made = Home(tmp_path, project)
    made.run(assets=["interactions", "reference", "attributions"])
    found = made.project.json("erase", "e4", "--dry-run")
    with made.instance() as instance:
        assert found["runs"] == [run.run_id for run in instance.get_runs()]
