"""The tables [access], [generator] and [answering]: who may read what, what speaks, how much is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from orchestration.settings_types import OptionalVariable

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
ADAPTER = "{adapter}"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class AccessSettings(_Table):
    """[access]: the metadata field of documents that names the group which may read them, and the values that
    everybody may."""

    field: Annotated[str, Field(min_length=1)] = "audience"
    public: tuple[str, ...] = ("all",)

    @field_validator("public", mode="before")
    @classmethod
    def _tuples(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class GeneratorSettings(_Table):
    """[generator]: what speaks. `adapters` stay loaded side by side; keys from `url` on are of an OpenAI-compatible
    server, whose `model` is the base and whose `models` are the variants ("{adapter}" is the released adapter's id)."""

    engine: Literal["transformers", "openai"] = "transformers"
    max_new_tokens: Annotated[int, Field(ge=1, le=32_768)] = 256
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    adapters: Annotated[int, Field(ge=1, le=1_000)] = 4
    url: str | None = None
    model: str | None = None
    models: Mapping[Name, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    api_key_env: OptionalVariable = ""
    seconds: Annotated[float, Field(gt=0, le=3_600)] = 60
    attempts: Annotated[int, Field(ge=1, le=20)] = 3

    @model_validator(mode="after")
    def _server_is_named(self) -> GeneratorSettings:
        if self.engine == "openai" and not (self.url and self.model):
            raise ValueError('engine: received "openai". Expected url and model beside it')
        if self.engine == "transformers" and self.url:
            raise ValueError(f'url: received {self.url!r} with engine = "transformers". Expected engine = "openai"')
        if self.model and ADAPTER in self.model:
            raise ValueError(f"model: received {self.model!r}. Expected the base's name; {ADAPTER} belongs into models")
        return self


class AnsweringSettings(_Table):
    """[answering]: how many passages an answer is made from, and how long a question may be."""

    passages: Annotated[int, Field(ge=1, le=100)] = 5
    max_characters: Annotated[int, Field(ge=1, le=100_000)] = 4_000
