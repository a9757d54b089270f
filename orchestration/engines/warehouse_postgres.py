"""A warehouse on a Postgres server: the lake's days are copied into tables of a raw schema, and dbt reads those."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from assets.behavior.schemas import ATTRIBUTIONS, INTERACTIONS, REFERENCE, partition
from assets.errors import ConfigError, EngineBusy, EngineError
from assets.ports import Lake
from orchestration.engines.warehouse_sessions import PostgresSession, Session

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_TYPES = {
    pa.string(): "text",
    pa.timestamp("us", tz="UTC"): "timestamptz",
    pa.bool_(): "boolean",
    pa.float64(): "double precision",
    pa.date32(): "date",
}


@dataclass(frozen=True, slots=True)
class PostgresSettings:
    """Where the server is. `password_env` is the NAME of the variable that holds the password."""

    host: str = "127.0.0.1"
    port: int = 5432
    user: str = "twohands"
    dbname: str = "twohands"
    schema: str = "twohands"
    raw_schema: str = "raw"
    password_env: str = "PGPASSWORD"  # noqa: S105 -- a variable's name

    def __post_init__(self) -> None:
        for key in ("schema", "raw_schema"):
            if not _NAME.fullmatch(value := getattr(self, key)):
                raise ConfigError(
                    f"warehouse.{key}: received {value!r}",
                    expected="lower-case letters, digits and _, not starting with a digit",
                )


class PostgresWarehouse:
    """Marts in `settings.schema`, sources in `settings.raw_schema`."""

    target, alone = "postgres", False

    def __init__(self, settings: PostgresSettings, lake: Lake) -> None:
        self.settings, self.lake = settings, lake

    def environment(self) -> dict[str, str]:
        """What profiles.yml reads; never the password itself."""
        found = self.settings
        return {
            "TWOHANDS_PG_HOST": found.host,
            "TWOHANDS_PG_PORT": str(found.port),
            "TWOHANDS_PG_USER": found.user,
            "TWOHANDS_PG_DBNAME": found.dbname,
            "TWOHANDS_PG_SCHEMA": found.schema,
            "TWOHANDS_PG_RAW_SCHEMA": found.raw_schema,
            "TWOHANDS_PG_PASSWORD_ENV": found.password_env,
        }

    def load(self, days: Sequence[date]) -> None:
        """Copies those days of the lake, each in one transaction; a day that the lake does not hold is emptied."""
        with self._connected() as connection:
            with connection.transaction():
                self._prepare(connection)
                self._replace(connection, "reference", REFERENCE, "behavior/reference/data.parquet", None)
            for day in days:
                with connection.transaction():
                    for table, schema in (("interactions", INTERACTIONS), ("attributions", ATTRIBUTIONS)):
                        self._replace(connection, table, schema, partition(table, day), day)

    def query(self, sql: str, schema: pa.Schema) -> pa.Table:
        """Rows of a mart; none where the mart was never built."""
        import psycopg.errors

        try:
            with self._connected() as connection:
                connection.execute("set time zone 'UTC'")
                rows = connection.execute(sql).fetchall()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return schema.empty_table()
        columns = list(zip(*rows, strict=True)) or [()] * len(schema)
        return pa.table([pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema)

    def relation(self, name: str) -> str:
        """A mart's name in SQL."""
        return f'"{self.settings.schema}"."{name}"'

    @contextmanager
    def look(self, wait: float, most: float) -> Iterator[Session]:
        """One snapshot of the database. A locked table is waited for `wait` s, a query may take `most` s (0: any)."""
        import psycopg

        found = self.settings
        with self._connected() as connection:
            connection.execute("set time zone 'UTC'")
            connection.execute("set datestyle = 'ISO'")
            connection.execute(f"set lock_timeout = {max(1, int(wait * 1000))}")
            connection.execute(f"set statement_timeout = {int(most * 1000)}")
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            with connection.transaction():
                yield PostgresSession(connection, f"database {found.dbname} at {found.host}:{found.port}")

    def changed(self) -> str | None:
        """A server does not tell."""
        return None

    def purge(self) -> None:
        """VACUUM FULL of our tables. (A server's write-ahead log, replicas and backups are its owner's.)"""
        schemas = [self.settings.raw_schema, self.settings.schema]
        with self._connected() as connection:
            found = connection.execute(
                "select schemaname, tablename from pg_tables where schemaname = any(%s) order by 1, 2", (schemas,)
            ).fetchall()
            for schema, table in found:
                connection.execute(f'vacuum (full) "{schema}"."{table}"')

    @contextmanager
    def free(self, deadline: float) -> Iterator[None]:  # noqa: ARG002 -- a server takes many connections
        """A server needs no waiting; batches of two builds wait for each other inside it (macros/portable.sql)."""
        yield

    def _prepare(self, connection: Any) -> None:
        raw = self.settings.raw_schema
        connection.execute(f'create schema if not exists "{raw}"')
        tables = {"interactions": INTERACTIONS, "attributions": ATTRIBUTIONS}
        for table, schema in tables.items():
            connection.execute(f'create table if not exists "{raw}"."{table}" (day date not null, {_columns(schema)})')
            connection.execute(f'create index if not exists "{table}_day" on "{raw}"."{table}" (day)')
        connection.execute(f'create table if not exists "{raw}"."reference" ({_columns(REFERENCE)})')

    def _replace(self, connection: Any, table: str, schema: pa.Schema, name: str, day: date | None) -> None:
        """Delete and insert; the caller's transaction makes it one step."""
        target = f'"{self.settings.raw_schema}"."{table}"'
        if day is None:
            connection.execute(f"delete from {target}")  # noqa: S608 -- a checked name
        else:
            connection.execute(f"delete from {target} where day = %s", (day,))  # noqa: S608
        rows = self.lake.read(name)
        if rows is None or rows.num_rows == 0:
            return
        rows = rows.select(schema.names)
        if day is not None:
            rows = rows.add_column(0, "day", pa.repeat(pa.scalar(day, pa.date32()), rows.num_rows))
        names = ", ".join(f'"{column}"' for column in rows.column_names)
        with connection.cursor().copy(f"copy {target} ({names}) from stdin (format csv)") as copy:
            for batch in rows.to_batches(max_chunksize=20_000):
                copy.write(_csv(batch))

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        try:
            import psycopg
        except ImportError as error:
            raise EngineError(
                "The Postgres driver is not installed",
                expected="psycopg and dbt-postgres",
                next_step="pip install 'twohands[postgres]'",
            ) from error
        found = self.settings
        try:
            connection = psycopg.connect(
                host=found.host,
                port=found.port,
                user=found.user,
                dbname=found.dbname,
                password=os.environ.get(found.password_env) or None,
                connect_timeout=10,
                autocommit=True,
            )
        except psycopg.OperationalError as error:
            raise EngineBusy(
                f"Postgres at {found.host}:{found.port} does not answer: {str(error).splitlines()[0]}",
                expected=f"a server with database {found.dbname}, and {found.user}'s password in ${found.password_env}",
                next_step="check the server, the [warehouse] settings and that variable, and run this again",
            ) from error
        with connection:
            try:
                yield connection
            except psycopg.errors.UndefinedTable:
                raise
            except psycopg.errors.InvalidSchemaName:
                raise
            except psycopg.OperationalError as error:
                raise EngineBusy(
                    f"Postgres at {found.host}:{found.port} went away: {str(error).splitlines()[0]}",
                    next_step="run this again; a day is copied whole or not at all",
                ) from error
            except psycopg.Error as error:
                raise EngineError(
                    f"Postgres refused: {str(error).splitlines()[0]}",
                    expected=f"a role that may create tables in schemas {found.raw_schema} and {found.schema}",
                    next_step="grant it, or drop the raw schema if its tables are of an older version",
                ) from error


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f'"{field.name}" {_TYPES[field.type]}' for field in schema)


def _csv(batch: pa.RecordBatch) -> bytes:
    """CSV as COPY reads it: nulls are bare, texts are quoted. Postgres texts hold no NUL; U+FFFD stands for one."""
    import pyarrow.compute as pc
    import pyarrow.csv

    columns = [
        pc.call_function("replace_substring", [column], pc.ReplaceSubstringOptions("\x00", "\ufffd"))
        if pa.types.is_string(column.type)
        else column
        for column in batch.columns
    ]
    sink = io.BytesIO()
    clean = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    pyarrow.csv.write_csv(clean, sink, pyarrow.csv.WriteOptions(include_header=False))
    return sink.getvalue()
