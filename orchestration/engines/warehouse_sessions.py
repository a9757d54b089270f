"""One consistent look into the warehouse, read-only: what a relation's columns are, and rows of it.

Times are shown in UTC, whatever the server's or a role's own time zone is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from assets.errors import EngineBusy, EngineError

_ROWS = 2_000  # fetched at once: texts of a batch are held twice


class Outdated(EngineError):
    """A relation or a column is not there, or a view is not what it was made over any more."""


class Session(Protocol):
    """A connection in one transaction. Errors: Outdated, EngineError, EngineBusy."""

    def columns(self, relation: str) -> dict[str, str]:
        """The names of a relation's columns and their types, as the warehouse calls these, in lower case."""
        ...

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        ...

    def batches(self, sql: str) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of a large query, some thousand at once."""
        ...

    def checksum(self, columns: Sequence[str]) -> str:
        """SQL of a number for a row: equal rows have an equal one."""
        ...

    def utc(self, column: str) -> str:
        """SQL of a timestamp with time zone as RFC 3339 text in UTC."""
        ...

    def by_bytes(self, column: str) -> str:
        """SQL that orders texts by their bytes."""
        ...


class DuckSession:
    """A look into a DuckDB file."""

    def __init__(self, connection: Any, where: str) -> None:
        self._connection, self._where = connection, where
        connection.execute("set TimeZone = 'UTC'")

    def columns(self, relation: str) -> dict[str, str]:
        """As the protocol says."""
        return {row[0]: str(row[1]).lower() for row in self.rows(f"describe select * from {relation}")}  # noqa: S608

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """As the protocol says."""
        with self._told():
            return self._connection.execute(sql).fetchall()

    def batches(self, sql: str) -> Iterator[list[tuple[Any, ...]]]:
        """As the protocol says."""
        with self._told():
            result = self._connection.execute(sql)
            while rows := result.fetchmany(_ROWS):
                yield rows

    def checksum(self, columns: Sequence[str]) -> str:
        """As the protocol says."""
        return f"hash({', '.join(columns)})"

    def utc(self, column: str) -> str:
        """As the protocol says."""
        return f"strftime({column}, '%Y-%m-%dT%H:%M:%S.%fZ')"

    def by_bytes(self, column: str) -> str:
        """As the protocol says."""
        return column

    @contextmanager
    def _told(self) -> Iterator[None]:
        import duckdb

        try:
            yield
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            raise Outdated(_first(error)) from error
        except duckdb.Error as error:
            raise _unreadable(self._where, error) from error


class PostgresSession:
    """A look into a Postgres database; `connection` is in a transaction that is repeatable read and read only."""

    def __init__(self, connection: Any, where: str) -> None:
        self._connection, self._where = connection, where

    def columns(self, relation: str) -> dict[str, str]:
        """As the protocol says."""
        with self._told():
            cursor = self._connection.execute(f"select * from {relation} limit 0")  # noqa: S608 -- a checked name
            return {column.name: column.type_display.lower() for column in cursor.description}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """As the protocol says."""
        with self._told():
            return self._connection.execute(sql).fetchall()

    def batches(self, sql: str) -> Iterator[list[tuple[Any, ...]]]:
        """As the protocol says."""
        with self._told(), self._connection.cursor(name="twohands") as cursor:
            cursor.execute(sql)
            while rows := cursor.fetchmany(_ROWS):
                yield rows

    def checksum(self, columns: Sequence[str]) -> str:
        """As the protocol says."""
        return f"hashtextextended(cast(row({', '.join(columns)}) as text), 0)"

    def utc(self, column: str) -> str:
        """As the protocol says."""
        return f'to_char({column}, \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\')'

    def by_bytes(self, column: str) -> str:
        """As the protocol says."""
        return f'{column} collate "C"'

    @contextmanager
    def _told(self) -> Iterator[None]:
        from psycopg import errors

        try:
            yield
        except (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedColumn) as error:
            raise Outdated(_first(error)) from error
        except (errors.QueryCanceled, errors.LockNotAvailable) as error:
            raise EngineBusy(
                f"{self._where} did not answer in time: {_first(error)}",
                expected="a look into the table in seconds",
                next_step="nothing, where somebody had locked the table; else lower warehouse.logs.look_back_days, or "
                "index the expression of `day` (dbt_project/README.md)",
            ) from error
        except errors.InsufficientPrivilege as error:
            raise EngineError(
                f"{self._where} refused: {_first(error)}",
                expected="a role that may read the table of [warehouse.logs]",
                next_step="grant usage on its schema and select on the table to warehouse.user",
            ) from error
        except errors.OperationalError:
            raise  # the connection's own translation knows it
        except errors.Error as error:
            raise _unreadable(self._where, error) from error


def _first(error: Exception) -> str:
    return " ".join((str(error).splitlines() or [type(error).__name__])[0].split())


def _unreadable(where: str, error: Exception) -> EngineError:
    return EngineError(
        f"Rows of the mapping cannot be read in {where}: {_first(error)}",
        expected="right-hand sides of the mapping model that can be computed for every row",
        next_step="correct the rows, or write the model so that such a value becomes null (docs/interactions.md says "
        "which fields may be)",
    )
