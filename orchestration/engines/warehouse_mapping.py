"""The mapping model: a view that shows a team's own log table in the columns of the interactions contract.

dbt builds it when its SQL, its settings or its warehouse have changed; whether they did is noted in a file beside dbt's
others. What the view shows is then compared with the contract, whoever wrote its model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date

from assets.errors import ConfigError, EngineError
from assets.fingerprints import digest
from orchestration.engines import warehouse_inputs
from orchestration.engines.warehouse import Warehouse
from orchestration.engines.warehouse_sessions import Outdated, Session

_TEXT = frozenset({"text", "varchar", "character varying", "bpchar", "character", "char"})
_TYPES = {
    "date": frozenset({"date"}),
    "timestamptz": frozenset({"timestamptz", "timestamp with time zone"}),
    "text": _TEXT,
    "json": _TEXT | {"json", "jsonb"},
    "boolean": frozenset({"boolean", "bool"}),
}
# What a mapping model has to show. The values of a day are checked row by row when they are read.
COLUMNS: Mapping[str, str] = {
    "day": "date",
    "id": "text",
    "occurred_at": "timestamptz",
    "received_at": "timestamptz",
    "user_id": "text",
    "variant": "text",
    "prompt": "text",
    "response": "text",
    "passages": "json",
    "release_id": "text",
    "feedback": "text",
    "corrected_response": "text",
    "schema_ok": "boolean",
    "topic": "text",
    "tags": "json",
    "deleted": "boolean",
}
_MAY_LACK = frozenset({"user_id", "variant", "feedback", "corrected_response", "schema_ok", "topic", "tags", "deleted"})
FOLDER = f"dbt_project/{warehouse_inputs.MAPPINGS.as_posix()}"


@dataclass(frozen=True, slots=True)
class LogTable:
    """A team's own log table, and how it is looked at. Days before `first_day` are none of our business.

    `look_back_days` is how many days before today a tick looks at; `sensor_seconds` how often the sensor does.
    """

    schema: str
    table: str
    model: str = "warehouse_interactions"
    look_back_days: int = 30
    sensor_seconds: float = 60
    first_day: date = date(2000, 1, 1)

    def variables(self) -> dict[str, str]:
        """dbt's vars."""
        return {
            "warehouse_logs": "true",
            "warehouse_logs_schema": self.schema,
            "warehouse_logs_table": self.table,
        }

    @property
    def relation(self) -> str:
        """The table's name in SQL."""
        return f'"{self.schema}"."{self.table}"'


@dataclass(frozen=True, slots=True)
class Built:
    """A view that was built: what it was made of, as a digest, and the contract's columns that it shows."""

    version: str
    columns: tuple[str, ...]


class MappingModel:
    """The view of a mapping model, in one warehouse."""

    def __init__(self, warehouse: Warehouse, table: LogTable) -> None:
        self._warehouse, self._table = warehouse, table
        self._note = warehouse.scratch / "mapping.json"

    @property
    def relation(self) -> str:
        """The view's name in SQL."""
        return self._warehouse.engine.relation(self._table.model)

    def built(self) -> Built | None:
        """The view as it is; None where it has to be built (again)."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            found = Built(str(note["version"]), tuple(map(str, note["columns"])))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return found if found.version == self._version() else None

    def build(self) -> Built:
        """Builds the view; `keep` remembers that it was built.

        ConfigError where there is no such model; EngineError where the table, a column or the type of one is not what
        the model or the contract expects.
        """
        self._find_model()
        version = self._version()
        given = self._given()
        found = self._table
        try:
            self._warehouse.build_mapping(found.model)
        except EngineError as error:
            raise EngineError(
                f"The mapping model {found.model} cannot be built over {found.schema}.{found.table}: {error.problem}",
                expected=f"right-hand sides made of that table's columns, which are {given}",
                next_step=f"correct {FOLDER}/{found.model}.sql; logs of other origins go on meanwhile",
            ) from error
        with self._warehouse.look() as session:
            return Built(version, self._checked(session.columns(self.relation)))

    def keep(self, built: Built) -> None:
        """Notes that the view is built and what it shows, once all that this changes has been read."""
        if self.built() == built:
            return
        self._note.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._note.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(asdict(built)), encoding="utf-8")
        fresh.replace(self._note)

    def _version(self) -> str:
        warehouse, found = self._warehouse, self._table
        place = [f"{key}={value}" for key, value in sorted(warehouse.engine.environment().items())]
        model = [found.schema, found.table, found.model]
        return digest([warehouse_inputs.mappings_digest(warehouse.project), *model, *place])

    def _find_model(self) -> None:
        models = sorted(file.stem for file in (self._warehouse.project / warehouse_inputs.MAPPINGS).glob("*.sql"))
        if self._table.model not in models:
            raise ConfigError(
                f"warehouse.logs.model: received {self._table.model!r}, and {FOLDER} has no {self._table.model}.sql",
                expected=f"one of {', '.join(models)}",
                next_step=f"copy {FOLDER}/warehouse_interactions.sql to that name and write your columns, or correct "
                "the key",
            )

    def _given(self) -> str:
        """The columns of the team's table, for the message of an error."""
        found = self._table
        try:
            with self._warehouse.look() as session:
                return ", ".join(f"{name} {kind}" for name, kind in session.columns(found.relation).items())
        except Outdated as error:
            raise EngineError(
                f"warehouse.logs: there is no table {found.schema}.{found.table} in the warehouse ({error.problem})",
                expected="the name of a table or view, and of its schema, in the database that the marts are built in",
                next_step="correct schema_name and table of [warehouse.logs], or create the table",
            ) from error

    def _checked(self, shown: Mapping[str, str]) -> tuple[str, ...]:
        wrong = list(differences(shown))
        if wrong:
            raise EngineError(
                f"The mapping model {self._table.model} does not show the interactions contract: {'; '.join(wrong)}",
                expected=", ".join(f"{name} {kind}" for name, kind in COLUMNS.items()),
                next_step=f"cast those columns in {FOLDER}/{self._table.model}.sql, as warehouse_interactions.sql does",
            )
        return tuple(name for name in COLUMNS if name in shown)


def differences(shown: Mapping[str, str]) -> Iterator[str]:
    """What a view lacks of the contract, or shows in another type."""
    for name, kind in COLUMNS.items():
        if name not in shown:
            if name not in _MAY_LACK:
                yield f"there is no column {name}"
        elif shown[name].split("(")[0].strip() not in _TYPES[kind]:
            yield f"{name} is {shown[name]}, not {kind}"


def listing_sql(session: Session, relation: str, columns: Sequence[str], where: str) -> str:
    """SQL of (day, rows, newest received_at, checksum) for every day that has rows, all of them texts but `rows`."""
    return (
        f"select cast(day as text), count(*), cast(max(received_at) as text), "  # noqa: S608 -- names of the contract
        f"cast(sum({session.checksum(columns)}) as text) from {relation} where {where} group by day"
    )


def day_sql(session: Session, relation: str, columns: Sequence[str], where: str) -> str:
    """SQL of the rows of a day in the order of `columns`, in an order that depends on nothing but the rows."""
    shown = [_as_shown(session, name) for name in columns if name != "day"]
    order = f"{session.by_bytes('id')}, received_at, {session.checksum(columns)}"
    return f"select {', '.join(shown)} from {relation} where {where} order by {order}"  # noqa: S608


def _as_shown(session: Session, name: str) -> str:
    kind = COLUMNS[name]
    if kind == "timestamptz":
        return session.utc(name)
    return f"cast({name} as text)" if kind == "json" else name
