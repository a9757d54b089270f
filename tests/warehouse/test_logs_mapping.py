"""The mapping model: one of the team's own, one that does not fit, one that was edited; and what dbt's docs show."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta

import pytest

from assets.behavior.landing.folder import Landing
from assets.behavior.landing.lines import Limits
from assets.errors import ConfigError, EngineError
from orchestration.engines.lake import open_lake
from orchestration.engines.warehouse import Warehouse
from orchestration.engines.warehouse_logs import WarehouseLogs
from orchestration.engines.warehouse_mapping import COLUMNS, LogTable, differences
from tests.warehouse.conftest import PROJECT
from tests.warehouse.team import Team
from tests.warehouse.test_logs import DAY

OLD = DAY - timedelta(days=100)
OWN = """
select
  cast(said_at as date) as day, cast(key as text) as id, said_at as occurred_at, said_at as received_at,
  question as prompt, answer as response, '[]' as passages, 'r1' as release_id, {more}
from {{{{ source('warehouse_logs', 'chat_logs') }}}}
"""


class Desk:
    """A landing over a team's table, with a dbt project of its own to write models into."""

    def __init__(self, folder) -> None:
        self.team = Team(folder)
        self.project = folder / "dbt_project"
        shutil.copytree(PROJECT, self.project)
        self.lake = open_lake(str(self.team.home / "lake"), locks=folder / "locks")

    def write(self, name: str, sql: str) -> None:
        (self.project / "models" / "warehouse_logs" / f"{name}.sql").write_text(sql)

    def opened(self, model: str) -> Landing:
        table = LogTable("logs", "chat_logs", model)
        self.warehouse = Warehouse(
            project=self.project, home=self.team.home, lake=self.lake, lake_root=str(self.team.home / "lake"),
            variables=table.variables(),
        )  # fmt: skip
        return Landing(self.lake, None, logs=WarehouseLogs(self.warehouse, table), limits=Limits())


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Desk:
    """A table in columns that no example has, with a row three days and one a hundred days ago."""
    made = Desk(tmp_path_factory.mktemp("mapping") / "team")
    made.team.sql(
        "create schema logs",
        "create table logs.chat_logs (key integer, said_at timestamptz, question text, answer text, subject text)",
        f"insert into logs.chat_logs values (1, '{DAY} 09:00:00Z', 'q', 'a', 'ferry'), "  # noqa: S608
        f"(2, '{OLD} 09:00:00Z', 'q', 'a', 'ferry')",
    )
    return made


def test_model_of_another_name_that_is_not_there_names_those_that_are(desk):
    with pytest.raises(ConfigError, match=r"received 'my_logs'.*one of warehouse_interactions.*Next: copy"):
        desk.opened("my_logs").tick()


def test_model_that_does_not_show_the_contract_names_every_difference(desk):
    desk.write("my_logs", OWN.format(more="42 as topic, cast('x' as json) as tags").replace("'r1' as release_id,", ""))
    with pytest.raises(EngineError) as told:
        desk.opened("my_logs").tick()
    assert "topic is integer, not text" in told.value.problem
    assert "there is no column release_id" in told.value.problem
    assert "tags" not in told.value.problem
    assert "release_id text" in told.value.expected
    assert "dbt_project/models/warehouse_logs/my_logs.sql" in told.value.next_step


def test_edited_model_is_built_once_and_every_day_that_was_read_is_looked_at_again(desk):
    desk.write("my_logs", OWN.format(more="subject as topic"))
    landing = desk.opened("my_logs")
    assert landing.tick(days=None).days == (OLD, DAY)
    assert landing.pending().files == 0
    desk.write("my_logs", OWN.format(more="upper(subject) as topic"))
    assert landing.pending().files == 1
    assert (landing.tick().files, landing.pending().files) == (2, 0)
    desk.write("my_logs", OWN.format(more="upper(subject) as topic -- the same again"))
    assert (landing.tick().files, landing.pending().files) == (0, 0)


def test_look_that_was_not_finished_is_taken_again(desk, monkeypatch):
    desk.write("my_logs", OWN.format(more="subject || '!' as topic"))
    landing = desk.opened("my_logs")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(WarehouseLogs, "looked", killed)
        with pytest.raises(KeyboardInterrupt):
            landing.tick()
    assert landing.pending().files == 1
    landing.tick()
    assert landing.pending().files == 0


def test_marts_do_not_depend_on_the_mapping(desk):
    before = desk.warehouse.inputs([DAY])
    desk.write("my_logs", OWN.format(more="null as topic"))
    assert desk.warehouse.inputs([DAY]) == before
    (desk.project / "models" / "marts" / "other.sql").write_text("select 1 as one")
    assert desk.warehouse.inputs([DAY]) != before
    (desk.project / "models" / "marts" / "other.sql").unlink()


def test_docs_show_the_source_and_the_mapping_and_builds_leave_it_alone(desk):
    desk.write("my_logs", OWN.format(more="subject as topic"))
    desk.opened("my_logs").tick()
    manifest = json.loads(desk.warehouse.manifest().read_text())
    assert manifest["sources"]["source.twohands.warehouse_logs.chat_logs"]["description"]
    assert manifest["nodes"]["model.twohands.my_logs"]["depends_on"]["nodes"] == [
        "source.twohands.warehouse_logs.chat_logs"
    ]
    report = desk.warehouse.build([DAY])
    assert "int_outcomes" in report.models
    assert not {"my_logs", "warehouse_interactions"} & set(report.models)


def test_missing_table_is_named_before_dbt_is_started(tmp_path):
    team = Team(tmp_path / "team")
    data = team.data()
    for _ in range(2):  # without a DuckDB file, and with one
        assert data.landing.pending().files == 1
        with pytest.raises(
            EngineError, match=r"there is no table logs\.chat_logs.*Next: correct schema_name and table"
        ):
            data.ingest()
        team.sql("select 1")


def test_documented_columns_are_those_that_are_checked():
    text = (PROJECT.parent / "docs" / "interactions.md").read_text().split("## Logs in a warehouse")[1]
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    told = {name.strip(" `"): kind.strip() for _, names, kind, *_ in rows for name in names.split(",")}
    assert told == {name: {"json": "text, json or jsonb"}.get(kind, kind) for name, kind in COLUMNS.items()}


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ({}, []),
        ({"id": "varchar(50)", "passages": "jsonb", "tags": "varchar", "occurred_at": "timestamptz(3)"}, []),
        ({"id": "bigint"}, ["id is bigint, not text"]),
        ({"id": "uuid"}, ["id is uuid, not text"]),
        ({"occurred_at": "timestamp"}, ["occurred_at is timestamp, not timestamptz"]),
        ({"day": "timestamptz"}, ["day is timestamptz, not date"]),
        ({"schema_ok": "integer"}, ["schema_ok is integer, not boolean"]),
        ({"passages": "varchar[]"}, ["passages is varchar[], not json"]),
        ({"day": ""}, ["there is no column day"]),
        ({"topic": "", "deleted": "", "user_id": ""}, []),
        ({"own_column": "bytea"}, []),
    ],
)
def test_differences_are_those_that_matter(shown, expected):
    whole = {**COLUMNS, **shown}
    assert list(differences({name: kind for name, kind in whole.items() if kind})) == expected
