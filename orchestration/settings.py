"""Typed settings: every table and key of twohands.toml, its type, its limits and its default."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from assets.knowledge.pipeline import SliceSpec
from assets.ports.index import joined
from orchestration.settings_adapter import AdapterSettings, BaseModelSettings
from orchestration.settings_alerts import AlertSettings
from orchestration.settings_answering import AccessSettings, AnsweringSettings, GeneratorSettings
from orchestration.settings_dataset import DatasetSettings
from orchestration.settings_evaluation import EvaluationSettings
from orchestration.settings_serve import ServeSettings
from orchestration.settings_types import OptionalVariable

MAX_SLICES = 10_000  # partitions that the Dagster UI shows with comfort; its own limit is 100,000 an asset

_FIELD = r"[0-9*,/\-A-Za-z]+"
_CRON = re.compile(rf"{_FIELD}( {_FIELD}){{4}}")

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Share = Annotated[float, Field(ge=0, le=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _cron(value: str) -> str:
    if not _CRON.fullmatch(value):
        raise ValueError('Expected five cron fields, as in "0 3 * * *"')
    return value


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) and one for one in value)


class SourceSettings(_Table):
    """[sources.NAME]: where documents come from."""

    url: Annotated[str, Field(min_length=1)]
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    shards: Annotated[int, Field(ge=1, le=1_000)] = 1
    metadata: Mapping[str, str] = Field(default_factory=dict)
    options: Mapping[str, str | int | bool] = Field(default_factory=dict)
    may_be_empty: bool = False

    @field_validator("include", "exclude", mode="before")
    @classmethod
    def _tuples(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("metadata", mode="before")
    @classmethod
    def _lists(cls, value: Any) -> Any:
        """Several values of a field, as ["staff", "board"], are stored as one text."""
        if not isinstance(value, dict):
            return value
        return {name: joined(held) if _texts(held) else held for name, held in value.items()}


class ParsingSettings(_Table):
    """[parsing]: what one file may cost."""

    max_megabytes: Annotated[float, Field(gt=0, le=2_048)] = 64
    timeout_seconds: Annotated[float, Field(gt=0, le=3_600)] = 30
    memory_megabytes: Annotated[int, Field(ge=256)] = 2_048
    workers: Annotated[int, Field(ge=0, le=64)] = 0


class ChunkingSettings(_Table):
    """[chunking]: how documents are cut."""

    max_tokens: Annotated[int | None, Field(ge=32, le=8_192)] = None


class EncoderSettings(_Table):
    """[encoder]: what turns texts into vectors."""

    model: Annotated[str, Field(min_length=1)] = "bundled"
    revision: str | None = None
    device: str = "auto"
    dtype: Literal["auto", "bf16", "fp32"] = "auto"
    keep_vectors_days: Annotated[float, Field(ge=0)] = 30


class GateSettings(_Table):
    """[index.gate]: how much worse a new version may answer the golden questions."""

    max_recall_drop: Share = 0.02
    max_mrr_drop: Share = 0.05
    max_vanished_share: Share = 0.25


class IndexSettings(_Table):
    """[index]: where passages are published. Keys after `keep_versions` are Weaviate's."""

    engine: Literal["lancedb", "weaviate"] = "lancedb"
    uri: str | None = None
    golden: str | None = None
    gate: GateSettings = Field(default_factory=GateSettings)
    ann_threshold: Annotated[int, Field(ge=256)] = 20_000
    keep_versions: Annotated[int, Field(ge=1, le=100)] = 3
    connection: Literal["local", "custom", "cloud", "embedded"] | None = None
    url: str | None = None
    grpc_host: str | None = None
    grpc_port: Annotated[int, Field(ge=1, le=65_535)] = 50_051
    api_key_env: OptionalVariable | None = None
    collection: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9_]{0,62}$")] = "Twohands"
    replication: Annotated[int, Field(ge=1, le=32)] = 1
    consistency: Literal["ONE", "QUORUM", "ALL"] = "QUORUM"
    version: str | None = None


class ChecksSettings(_Table):
    """[checks]: when a check warns or fails."""

    max_refused_share: Share = 0.2
    max_document_age_days: Annotated[float, Field(gt=0)] = 365
    freshness_hours: Annotated[float, Field(gt=0)] = 26


class AutomationSettings(_Table):
    """[automation]: when the fast hand moves by itself. `finetune` is of a schedule that is off."""

    settle_seconds: Annotated[float, Field(ge=0, le=3_600)] = 0.5
    sensor_seconds: Annotated[int, Field(ge=1, le=3_600)] = 1
    reconcile: str = "0 3 * * *"
    housekeeping: str = "30 4 * * *"
    ledger: str = "0 6 * * *"
    finetune: str = "0 4 * * 0"
    timezone: str = "UTC"
    retries: Annotated[int, Field(ge=0, le=20)] = 3
    retry_seconds: Annotated[float, Field(ge=0)] = 5

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("Expected a name of the IANA time zone database, as in Europe/Amsterdam") from error
        return value

    @field_validator("reconcile", "housekeeping", "ledger", "finetune")
    @classmethod
    def _five_fields(cls, value: str) -> str:
        return _cron(value)


class BehaviorSettings(_Table):
    """[behavior]: interactions. `landing` is a folder or an fsspec URL; days before `first_day` are refused.

    Without `landing`, logs are those of the warehouse ([warehouse.logs]), or else the sample's.
    """

    landing: Annotated[str | None, Field(min_length=1)] = None
    options: Mapping[str, str | int | bool] = Field(default_factory=dict)
    close_after_days: Annotated[int, Field(ge=0, le=90)] = 3
    first_day: date = date(2025, 1, 1)
    sensor_seconds: Annotated[int, Field(ge=1, le=3_600)] = 5
    close: str = "15 2 * * *"
    max_line_kilobytes: Annotated[int, Field(ge=1, le=65_536)] = 1_024
    future_minutes: Annotated[float, Field(ge=0, le=1_440)] = 10
    max_quarantined_share: Share = 0.01
    quote: bool = True

    @field_validator("close")
    @classmethod
    def _five_fields(cls, value: str) -> str:
        return _cron(value)

    @field_validator("first_day", mode="before")
    @classmethod
    def _a_date(cls, value: Any) -> Any:
        try:
            return date.fromisoformat(value) if isinstance(value, str) else value
        except ValueError as error:
            raise ValueError("Expected a date, as in 2025-01-01") from error


class LogsSettings(_Table):
    """[warehouse.logs]: a team's own log table, in the database that the marts are built in."""

    schema_name: Annotated[str, Field(pattern=r'^[^"\x00-\x1f]{1,63}$')]
    table: Annotated[str, Field(pattern=r'^[^"\x00-\x1f]{1,63}$')]
    model: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")] = "warehouse_interactions"
    look_back_days: Annotated[int, Field(ge=1, le=36_500)] = 30
    sensor_seconds: Annotated[int, Field(ge=1, le=86_400)] = 60


class WarehouseSettings(_Table):
    """[warehouse]: where dbt builds the marts. Keys after `lock_seconds` are Postgres', but for `logs`."""

    engine: Literal["duckdb", "postgres"] = "duckdb"
    lock_seconds: Annotated[float, Field(ge=0, le=86_400)] = 600
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)] = 5_432
    user: str = "twohands"
    database: str = "twohands"
    schema_name: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")] = "twohands"
    password_env: OptionalVariable = "TWOHANDS_PG_PASSWORD"  # noqa: S105 - the name of a variable, not a password
    logs: LogsSettings | None = None


class BudgetSettings(_Table):
    """[decision] budget: what a calendar month may cost, in money and (where it is set) in GPU hours.

    The encoder's time costs what a CPU's does.
    """

    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "EUR"
    per_month: Annotated[float, Field(ge=0)] = 500
    per_gpu_hour: Annotated[float, Field(ge=0)] = 4
    per_cpu_hour: Annotated[float, Field(ge=0)] = 0
    gpu_hours_per_month: Annotated[float | None, Field(ge=0)] = None


class DecisionSettings(_Table):
    """[decision] and what a variant may override."""

    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    horizon_days: Annotated[int, Field(ge=28)] = 365
    reference_days: Annotated[int, Field(ge=7)] = 28
    cool_down_days: Annotated[int, Field(ge=0)] = 7
    min_examples: Annotated[int, Field(ge=1)] = 200
    finetune_hours: Annotated[float, Field(gt=0)] = 1
    value_per_failure: Annotated[float, Field(ge=0)] = 0.5
    payback_days: Annotated[int, Field(ge=1)] = 90
    max_tainted_share: Share = 0.05
    budget: BudgetSettings = Field(default_factory=BudgetSettings)
    require_approval: bool = False


class VariantSettings(DecisionSettings):
    """[variants.NAME]: keys of [decision], the form of the variant's answers, and how many of its rows decline (as
    [dataset] says where it does not). The schema of "json" answers is that of [evaluation.manners.NAME]."""

    answer: Literal["text", "json"] = "text"
    refusal_share: Share | None = None


class Settings(_Table):
    """The whole file. `root` is the folder that holds it, `home` the folder of all state."""

    sources: Annotated[Mapping[Name, SourceSettings], Field(min_length=1)]
    parsing: ParsingSettings = Field(default_factory=ParsingSettings)
    chunking: ChunkingSettings = Field(default_factory=ChunkingSettings)
    encoder: EncoderSettings = Field(default_factory=EncoderSettings)
    index: IndexSettings = Field(default_factory=IndexSettings)
    checks: ChecksSettings = Field(default_factory=ChecksSettings)
    automation: AutomationSettings = Field(default_factory=AutomationSettings)
    lake: str | None = None
    base: BaseModelSettings = Field(default_factory=BaseModelSettings)
    access: AccessSettings = Field(default_factory=AccessSettings)
    generator: GeneratorSettings = Field(default_factory=GeneratorSettings)
    answering: AnsweringSettings = Field(default_factory=AnsweringSettings)
    variants: Mapping[Name, VariantSettings] = Field(default_factory=lambda: {"main": VariantSettings()})
    behavior: BehaviorSettings = Field(default_factory=BehaviorSettings)
    warehouse: WarehouseSettings = Field(default_factory=WarehouseSettings)
    decision: DecisionSettings = Field(default_factory=DecisionSettings)
    dataset: DatasetSettings = Field(default_factory=DatasetSettings)
    adapter: AdapterSettings = Field(default_factory=AdapterSettings)
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings)
    serve: ServeSettings = Field(default_factory=ServeSettings)
    alerts: AlertSettings = Field(default_factory=AlertSettings)
    root: Path = Path()
    home: Path = Path()
    file: Path = Path()

    @model_validator(mode="after")
    def _slices_are_unique(self) -> Settings:
        names = [spec.name for spec in self.slices()]
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if twice:
            raise ValueError(f"two sources make the same slice {twice[0]!r}; rename one of them")
        if len(names) > MAX_SLICES:
            raise ValueError(f"{len(names)} slices; at most {MAX_SLICES} can be shown as partitions")
        return self

    @model_validator(mode="after")
    def _manners_are_of_variants(self) -> Settings:
        named = (("evaluation.manners", self.evaluation.manners), ("generator.models", self.generator.models))
        for table, tables in named:
            unknown = sorted(tables.keys() - self.variants.keys())
            if unknown:
                names = ", ".join(self.variants)
                raise ValueError(f"{table}.{unknown[0]}: no such variant. Valid variants are: {names}")
        return self

    @model_validator(mode="after")
    def _no_day_closes_unseen(self) -> Settings:
        logs, closing = self.warehouse.logs, self.behavior.close_after_days
        if logs and logs.look_back_days < closing:
            raise ValueError(
                f"warehouse.logs.look_back_days: received {logs.look_back_days}, and behavior.close_after_days is "
                f"{closing}. Expected at least as many: late rows of a day are waited for until it closes"
            )
        return self

    def slices(self) -> list[SliceSpec]:
        """Every slice, in the file's order: `NAME`, or `NAME-00`, `NAME-01` ... for a source with shards."""
        return [spec for name, source in self.sources.items() for spec in _shards(name, source)]

    def path(self, value: str) -> Path:
        """A path of the file, made absolute."""
        return (self.root / value).resolve()


def _shards(name: str, source: SourceSettings) -> Iterator[SliceSpec]:
    if source.shards == 1:
        yield SliceSpec(name, name, metadata=source.metadata, may_be_empty=source.may_be_empty)
        return
    width = max(2, len(str(source.shards - 1)))
    for shard in range(source.shards):
        yield SliceSpec(f"{name}-{shard:0{width}d}", name, shard, source.shards, source.metadata, source.may_be_empty)
