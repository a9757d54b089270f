"""Where the rows come from: a remote lake, raw tables on a Postgres server."""

from __future__ import annotations

import uuid

import psycopg
import pytest

from assets.errors import EngineBusy
from orchestration.engines.lake import open_lake
from orchestration.engines.warehouse import PostgresSettings, Warehouse
from tests.warehouse import oracle
from tests.warehouse.conftest import PASSWORD_ENV, PROJECT, stale
from tests.warehouse.filling import FIRST, events, fill, remove_day, write_day
from tests.warehouse.filling import days as calendar


def test_a_remote_lake_is_copied_beside_the_warehouse(tmp_path):
    url = f"memory://{uuid.uuid4().hex}"
    lake = open_lake(url, locks=tmp_path / "locks")
    warehouse = Warehouse(project=PROJECT, home=tmp_path, lake=lake, lake_root=url)
    on = calendar(2)
    fill(lake, on, 10)
    remove_day(lake, on[1])
    inputs = warehouse.inputs(on)
    warehouse.build(on)
    warehouse.export_daily(on, inputs)
    assert warehouse.daily().to_pylist() == oracle.daily(lake, on)
    assert stale(warehouse, on) == []
    write_day(lake, on[0], events(on[0], 11))
    assert stale(warehouse, on) == [on[0]]


def raw(warehouse: Warehouse, sql: str) -> list[tuple]:
    """Rows of the raw schema (`{}`) on the server."""
    import os

    found = warehouse.engine.settings
    with psycopg.connect(
        host=found.host, port=found.port, user=found.user, dbname=found.dbname, password=os.environ[PASSWORD_ENV]
    ) as connection:
        return connection.execute(sql.format(found.raw_schema)).fetchall()


def test_load_brings_a_day_to_postgres_as_it_is_and_takes_it_away_again(open_postgres, tmp_path):
    warehouse = open_postgres(tmp_path)
    row = events(FIRST, 1)[0] | {"prompt": 'a\x00b,"c"\\N\n', "response": "", "corrected_response": None, "tags": None}
    write_day(warehouse.lake, FIRST, [row])
    warehouse.load([FIRST])
    warehouse.load([FIRST])  # again changes nothing
    select = "select day, id, occurred_at, prompt, response, corrected_response, tags from {}.interactions"
    assert raw(warehouse, select) == [(FIRST, row["id"], row["occurred_at"], 'a\ufffdb,"c"\\N\n', "", None, None)]
    remove_day(warehouse.lake, FIRST)
    warehouse.load([FIRST])
    assert raw(warehouse, "select count(*) from {}.interactions") == [(0,)]


def test_a_server_that_does_not_answer_is_busy_and_names_the_variable(tmp_path):
    lake = open_lake(str(tmp_path / "lake"), locks=tmp_path)
    nowhere = PostgresSettings(port=1, password_env="MY_PASSWORD")
    warehouse = Warehouse(project=PROJECT, home=tmp_path, lake=lake, lake_root="", target="postgres", postgres=nowhere)
    with pytest.raises(EngineBusy, match=r"127\.0\.0\.1:1 does not answer.*\$MY_PASSWORD"):
        warehouse.load([FIRST])
