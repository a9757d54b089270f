"""The table [evaluation] of twohands.toml: what is wanted of a manner, how much may be lost, and who else judges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from orchestration.settings_types import OptionalVariable

Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Format = Literal["", "json", "xml", "sql", "code", "table", "list", "fields", "prose"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class MarginSettings(_Table):
    """[evaluation.margins]: what may be lost, in shares: of grounded correctness, on earlier manners, of refusals."""

    facts: Annotated[float, Field(gt=0, le=1)] = 0.02
    earlier: Annotated[float, Field(gt=0, le=1)] = 0.05
    refusals: Annotated[float, Field(gt=0, le=1)] = 0.05


class MannerSettings(_Table):
    """[evaluation.manners.VARIANT]: what is wanted of every answer. `schema_file` is a JSON Schema, `checks` are
    functions as "module:function"; `must` and `must_not` are regular expressions."""

    schema_file: str | None = None
    format: Format = ""
    must: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()
    min_words: Annotated[int, Field(ge=0)] = 0
    max_words: Annotated[int, Field(ge=0)] = 0
    checks: tuple[str, ...] = ()

    @field_validator("must", "must_not", "checks", mode="before")
    @classmethod
    def _tuples(cls, value: Any) -> Any:
        return _tuple(value)


class JudgeSettings(_Table):
    """[evaluation.judge]: a language model as a judge, behind an OpenAI-compatible URL. `model` is an exact version,
    `key_env` the NAME of the variable that holds the key, `anchors` a file of pairs whose better answer is known."""

    url: Annotated[str, Field(min_length=1)]
    model: Annotated[str, Field(min_length=1)]
    anchors: Annotated[str, Field(min_length=1)]
    guideline: Annotated[str, Field(min_length=1)]
    key_env: OptionalVariable = ""
    agreement: Share = 0.9
    seconds: Annotated[float, Field(gt=0)] = 60


class EvaluationSettings(_Table):
    """[evaluation]: `facts` are files of held-out questions (JSON lines: question, answers, passages); those without
    passages get `passages` retrieved ones. `batch` prompts are answered at a time, with `max_new_tokens` at most."""

    facts: tuple[str, ...] = ()
    seed: Annotated[int, Field(ge=0)] = 0
    resamples: Annotated[int, Field(ge=1_000, le=1_000_000)] = 10_000
    passages: Annotated[int, Field(ge=1, le=100)] = 5
    max_new_tokens: Annotated[int, Field(ge=1, le=8_192)] = 256
    batch: Annotated[int, Field(ge=1, le=4_096)] = 32
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    margins: MarginSettings = Field(default_factory=MarginSettings)
    manners: Mapping[Name, MannerSettings] = Field(default_factory=dict)
    judge: JudgeSettings | None = None

    @field_validator("facts", mode="before")
    @classmethod
    def _tuples(cls, value: Any) -> Any:
        return _tuple(value)
