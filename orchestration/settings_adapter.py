"""The tables [base] and [adapter] of twohands.toml: what is adapted, and how an adapter is trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from assets.behavior.adapter.config import AdapterConfig, DpoConfig

Share = Annotated[float, Field(ge=0, lt=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class BaseModelSettings(_Table):
    """[base]: the language model, and what it is shown: sentences of evidence, or whole passages. Of the slow hand."""

    model: Annotated[str, Field(min_length=1)] = "models/tiny-reader"
    revision: str | None = None
    template: Literal["evidence", "passages"] = "evidence"


class DpoSettings(_Table):
    """[adapter.dpo]: preference pairs after the fine-tune. Needs the extra `dpo`."""

    enabled: bool = False
    beta: Annotated[float, Field(gt=0)] = 0.1
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-5
    epochs: Annotated[int, Field(ge=1, le=100)] = 1


class AdapterSettings(_Table):
    """[adapter]: assets/behavior/adapter/config.py says what each does."""

    method: Literal["lora", "rslora", "dora"] = "lora"
    quantize: Literal["none", "4bit"] = "none"
    rank: Annotated[int, Field(ge=1, le=1_024)] = 8
    alpha: Annotated[float, Field(gt=0)] = 16
    dropout: Share = 0
    strength: Annotated[float, Field(gt=0, le=1)] = 1
    declining: tuple[str, ...] = ()
    targets: Annotated[str, Field(min_length=1)] | tuple[str, ...] = "all-linear"
    epochs: Annotated[int, Field(ge=1, le=1_000)] = 3
    min_steps: Annotated[int, Field(ge=0, le=100_000)] = 100
    max_steps: Annotated[int, Field(ge=0)] = 0
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-3
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_share: Share = 0.06
    weight_decay: Annotated[float, Field(ge=0)] = 0
    max_grad_norm: Annotated[float, Field(gt=0)] = 1
    batch_rows: Annotated[int, Field(ge=1, le=4_096)] = 8
    accumulation: Annotated[int, Field(ge=1, le=4_096)] = 1
    evaluations: Annotated[int, Field(ge=1, le=1_000)] = 6
    patience: Annotated[int, Field(ge=1)] = 3
    checkpoints: Annotated[int, Field(ge=1, le=1_000)] = 12
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    threads: Annotated[int, Field(ge=0, le=1_024)] = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    recompute: Literal["auto", "on", "off"] = "auto"
    dpo: DpoSettings = Field(default_factory=DpoSettings)
    wait_seconds: Annotated[float, Field(ge=0, le=86_400)] = 600
    cpu_watts: Annotated[float, Field(ge=0)] = 65
    gpu_watts: Annotated[float, Field(ge=0)] = 400

    @field_validator("targets", "declining", mode="before")
    @classmethod
    def _tuples(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _can_be_trained(self) -> AdapterSettings:
        if self.accumulation > self.batch_rows:
            raise ValueError(
                f"accumulation: received {self.accumulation}. Expected at most batch_rows ({self.batch_rows}): a part "
                "of an update has one row at least"
            )
        if self.quantize == "4bit" and self.device == "cpu":
            raise ValueError('quantize: received "4bit" with device = "cpu". Expected a GPU: no CPU has 4-bit kernels')
        if not self.targets:
            raise ValueError('targets: received none. Expected "all-linear", or names of layers')
        return self

    def config(self) -> AdapterConfig:
        """As a training takes it."""
        said = {name: getattr(self, name) for name in AdapterConfig.__slots__ if name != "dpo"}
        return AdapterConfig(**said, dpo=DpoConfig(**{name: getattr(self.dpo, name) for name in DpoConfig.__slots__}))
