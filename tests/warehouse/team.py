"""A team whose logs lie in a table of its warehouse, and a twohands.toml that says so; DuckDB or a real Postgres."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import psycopg

from assets.behavior.pipeline import BehaviorData
from orchestration.assembly_behavior import behavior_data
from orchestration.config import load
from orchestration.engines.warehouse import PostgresSettings

COLUMNS = {
    "request_id": "text",
    "asked_at": "timestamp",
    "updated_at": "timestamp",
    "customer": "text",
    "question": "text",
    "answer": "text",
    "retrieved": "text",
    "release": "text",
    "thumb": "integer",
    "agent_edit": "text",
    "json_valid": "boolean",
    "intent": "text",
    "is_deleted": "boolean",
}
MARTS = ("int_outcomes", "behavior_daily", "training_candidates", "knowledge_gaps")
_THUMBS = {"up": 1, "down": -1}


class Team:
    """`folder` holds twohands.toml and the home; `server` is the Postgres to make a database on, None for DuckDB."""

    def __init__(self, folder: Path, server: PostgresSettings | None = None) -> None:
        self.folder, self.home = folder, folder / "home"
        self.home.mkdir(parents=True)
        self.server, self.database = server, f"team_{uuid.uuid4().hex[:10]}"
        if server:
            with self._connected("postgres") as connection:
                connection.execute(f"create database {self.database}")
                # nobody's clock but UTC may matter
                connection.execute(f"alter database {self.database} set timezone = 'America/New_York'")
        self.configure()

    # ------------------------------------------------------------------------------------------------ settings

    def configure(self, logs: str = 'schema_name = "logs"\ntable = "chat_logs"', more: str = "") -> None:
        """Writes twohands.toml; `logs` is what stands below [warehouse.logs], nothing without it."""
        warehouse = ""
        if found := self.server:
            warehouse = (
                f'engine = "postgres"\nhost = "{found.host}"\nport = {found.port}\nuser = "{found.user}"\n'
                f'database = "{self.database}"\npassword_env = "{found.password_env}"\n'
            )
        text = f'[sources.docs]\nurl = "docs"\n{more}\n[warehouse]\n{warehouse}'
        (self.folder / "twohands.toml").write_text(text + (f"[warehouse.logs]\n{logs}\n" if logs else ""))

    def data(self) -> BehaviorData:
        """What twohands.toml says, opened anew."""
        return behavior_data(load(str(self.folder / "twohands.toml"), str(self.home)))

    # ------------------------------------------------------------------------------------------------ the table

    def sql(self, *statements: str) -> list[tuple]:
        """Runs statements as the team; the rows of the last."""
        if self.server:
            with self._connected(self.database) as connection:
                for statement in statements:
                    cursor = connection.execute(statement)
                return cursor.fetchall() if cursor.description else []
        with duckdb.connect(str(self.home / "warehouse.duckdb")) as connection:
            for statement in statements:
                connection.execute(statement)
            return connection.fetchall()

    def create(self, **types: str) -> None:
        """The table, empty; `types` of columns that are others than usual, "" leaves a column out."""
        columns = ", ".join(f"{name} {kind}" for name, kind in {**COLUMNS, **types}.items() if kind)
        self.sql("create schema if not exists logs", f"create table logs.chat_logs ({columns})")

    def fill(self, events: Sequence[dict]) -> None:
        """Events of the contract as rows of the team's own columns."""
        rows = ", ".join(f"({', '.join(_literal(value) for value in row(event).values())})" for event in events)
        self.sql(f"insert into logs.chat_logs ({', '.join(COLUMNS)}) values {rows}")  # noqa: S608

    # ------------------------------------------------------------------------------------------------ what came of it

    def marts(self) -> dict[str, list[tuple]]:
        """Every row of every mart, alike on both warehouses, in an order that depends on nothing but the rows."""
        schema = "twohands" if self.server else "main"
        found = {mart: self.sql(f"select * from {schema}.{mart}") for mart in MARTS}  # noqa: S608
        return {mart: sorted((tuple(map(_alike, row)) for row in rows), key=str) for mart, rows in found.items()}

    @contextmanager
    def _connected(self, database: str):
        found = self.server
        with psycopg.connect(
            host=found.host, port=found.port, user=found.user, dbname=database,
            password=os.environ[found.password_env], autocommit=True,
        ) as connection:  # fmt: skip
            connection.execute("set time zone 'UTC'")
            yield connection


def row(event: dict) -> dict[str, object]:
    """One event in the team's own columns; its times are in UTC, without a zone."""
    passages = event.get("passages")
    return {
        "request_id": event["id"],
        "asked_at": _naive(event["occurred_at"]),
        "updated_at": _naive(event["received_at"]),
        "customer": event.get("user"),
        "question": event.get("prompt"),
        "answer": event.get("response"),
        "retrieved": None if passages is None else json.dumps(passages),
        "release": event.get("release_id"),
        "thumb": _THUMBS.get(event.get("feedback", "none")),
        "agent_edit": event.get("corrected_response"),
        "json_valid": event.get("schema_ok"),
        "intent": event.get("topic"),
        "is_deleted": event.get("deleted"),
    }


def _alike(value: object) -> object:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _naive(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)


def _literal(value: object) -> str:
    if value is None or isinstance(value, bool | int):
        return "null" if value is None else str(value).lower()
    text = value.isoformat(" ") if isinstance(value, datetime) else str(value)
    return "'" + text.replace("'", "''") + "'"
