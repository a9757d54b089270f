"""The table [dataset] of twohands.toml: what may teach, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from assets.behavior.dataset.config import KINDS, DatasetConfig, PiiRules
from assets.errors import ConfigError

Share = Annotated[float, Field(ge=0, le=1)]
Kind = Literal["email", "phone", "card", "iban", "id", "birthdate", "name", "ip", "secret"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class PiiSettings(_Table):
    """[dataset.pii]: what is taken for personal data, and replaced by placeholders. `patterns` are LABEL = "regex"."""

    kinds: tuple[Kind, ...] = KINDS  # type: ignore[assignment]
    phone_regions: tuple[str, ...] = ("US", "GB", "DE", "FR", "NL")
    national_ids: tuple[str, ...] = ()
    patterns: Mapping[str, str] = Field(default_factory=dict)

    @field_validator("kinds", "phone_regions", "national_ids", mode="before")
    @classmethod
    def _tuples(cls, value: Any) -> Any:
        return _tuple(value)


class DatasetSettings(_Table):
    """[dataset]: what a fine-tune learns from. assets/behavior/dataset has a file for each rule."""

    min_rows: Annotated[int, Field(ge=1)] = 200
    max_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    max_characters: Annotated[int, Field(ge=100, le=1_000_000)] = 20_000
    max_tokens: Annotated[int, Field(ge=32, le=1_000_000)] = 1_024
    max_unsupported: Share = 0.3
    near_duplicate: Annotated[float, Field(gt=0, le=1)] = 0.8
    max_per_prompt: Annotated[int, Field(ge=1)] = 1
    group_by: Literal["user", "document"] = "user"
    split_key: Annotated[str, Field(min_length=1)] = "twohands"
    validation_share: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    test_share: Annotated[float, Field(ge=0, lt=0.5)] = 0.15
    ngram: Annotated[int, Field(ge=2, le=50)] = 5
    max_overlap: Annotated[float, Field(gt=0, le=1)] = 0.7
    held_out: tuple[str, ...] = ()
    accepted_per_correction: Annotated[float, Field(ge=0, le=100)] = 1.0
    max_times_median: Annotated[float, Field(ge=1)] = 5.0
    max_passages: Annotated[int, Field(ge=1, le=50)] = 5
    distractor_share: Share = 0.25
    distractors: Annotated[int, Field(ge=1, le=20)] = 2
    rehearsal_share: Share = 0.2
    refusal_share: Share = 0.3
    seed: Annotated[int, Field(ge=0)] = 0
    workers: Annotated[int, Field(ge=0, le=64)] = 0
    pii: PiiSettings = Field(default_factory=PiiSettings)

    @field_validator("held_out", mode="before")
    @classmethod
    def _tuples(cls, value: Any) -> Any:
        return _tuple(value)

    def config(self) -> DatasetConfig:
        """As the dataset's rules take it."""
        said = {name: getattr(self, name) for name in DatasetConfig.__slots__ if name != "pii"}
        pii = self.pii
        return DatasetConfig(**said, pii=PiiRules(pii.kinds, pii.phone_regions, pii.national_ids, dict(pii.patterns)))

    @model_validator(mode="after")
    def _rules_can_be_used(self) -> DatasetSettings:
        """Patterns, countries and modules are tried now, and not when a fine-tune is due."""
        from assets.behavior.dataset.pii import Redactor  # its telephone numbers take a while to import

        if self.pii != PiiSettings():
            try:
                Redactor(self.config().pii)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return self
