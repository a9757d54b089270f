"""Typed settings of [serve]: where the server listens, who may ask, and what one of them may cost."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from orchestration.settings_types import Variable

EVERYTHING = "*"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class TokenSettings(_Table):
    """One of [serve] tokens: the NAME of the variable that holds it, and which groups its owner is in.

    Without groups only public documents are read; the group "*" reads every document. Whoever has a `name` is in the
    group `user:NAME` as well.
    """

    token_env: Variable
    groups: tuple[str, ...] = ()
    name: Annotated[str | None, Field(min_length=1, max_length=128)] = None

    @field_validator("groups", mode="before")
    @classmethod
    def _tuples(cls, value: Any) -> Any:
        return _tuple(value)

    @model_validator(mode="after")
    def _own_group(self) -> Self:
        own = f"user:{self.name}"
        if self.name and own not in self.groups:
            object.__setattr__(self, "groups", (*self.groups, own))  # frozen
        return self


class ServeSettings(_Table):
    """[serve]: the ask page, the OpenAI-compatible API and the feedback journal."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)] = 3_001
    hosts: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    tokens: tuple[TokenSettings, ...] = ()
    body_kilobytes: Annotated[int, Field(ge=1, le=16_384)] = 256
    concurrent: Annotated[int, Field(ge=1, le=1_000)] = 8
    questions_per_minute: Annotated[int, Field(ge=0)] = 300
    feedback_days: Annotated[int, Field(ge=1, le=31)] = 2
    backlog: Annotated[int, Field(ge=1, le=1_000_000)] = 2_000

    @field_validator("hosts", "tokens", mode="before")
    @classmethod
    def _tuples(cls, value: Any) -> Any:
        return _tuple(value)
