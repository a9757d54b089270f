"""How an adapter is trained: every hyperparameter, and which of them decide its bits.

The defaults suit the bundled base (5 million parameters, a manner from a few hundred rows in a minute on two cores).
For bases of half a billion parameters and more: rank 16, alpha 32, learning_rate 2e-4, precision bf16.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Method = Literal["lora", "rslora", "dora"]
Precision = Literal["auto", "fp32", "bf16"]
_BESIDE = ("checkpoints", "wait_seconds", "cpu_watts", "gpu_watts")  # they change no bit
MAX_THREADS = 16  # more do not pay off for one small base


@dataclass(frozen=True, slots=True)
class DpoConfig:
    """After the fine-tune, preference pairs (DPO, Rafailov et al. 2023): corrected answers over produced ones."""

    enabled: bool = False
    beta: float = 0.1
    learning_rate: float = 5e-5
    epochs: int = 1


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """Hyperparameters. `threads` 0, `precision` and `device` "auto" are settled by the machine (`settled`).

    `batch_rows` rows make an update, in `accumulation` parts; `epochs` decide how many there are; where these
    make fewer than `min_steps`, more epochs follow, and `max_steps` above 0 ends them. A training is evaluated
    `evaluations` times, evenly, and stops after `patience` of them without a better one; the best weights are kept.
    `strength` is the share of what was learned that is published: the update is scaled by it. Between the base and what
    was fine-tuned lies a model that holds more of both (WiSE-FT, Wortsman et al. 2022): a manner is there before 1, and
    some of what it cost of the facts comes back.
    `recompute` trades time for memory: "auto" does for bases above a billion parameters.
    """

    method: Method = "lora"
    quantize: Literal["none", "4bit"] = "none"
    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    strength: float = 1.0
    targets: str | tuple[str, ...] = "all-linear"
    epochs: int = 3
    min_steps: int = 100
    max_steps: int = 0
    learning_rate: float = 2e-3
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_share: float = 0.06
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    batch_rows: int = 8
    accumulation: int = 1
    evaluations: int = 6
    patience: int = 3
    checkpoints: int = 12
    seed: int = 0
    threads: int = 0
    precision: Precision = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    recompute: Literal["auto", "on", "off"] = "auto"
    dpo: DpoConfig = DpoConfig()
    wait_seconds: float = 600.0
    cpu_watts: float = 65.0
    gpu_watts: float = 400.0

    def settled(self, device: str, cores: int) -> AdapterConfig:
        """With what the machine decides: `device` is what "auto" comes to on it."""
        where = device if self.device == "auto" else self.device
        exact = ("bf16" if where == "cuda" else "fp32") if self.precision == "auto" else self.precision
        return replace(
            self,
            device=where,  # type: ignore[arg-type]
            precision=exact,
            threads=self.threads or min(cores, MAX_THREADS),
        )

    def halved(self) -> AdapterConfig | None:
        """The same updates in parts of half the size, where memory did not do; None where there is no half."""
        return replace(self, accumulation=self.accumulation * 2) if self.accumulation < self.batch_rows else None

    def recipe(self) -> dict[str, Any]:
        """What decides the weights, as JSON: part of the adapter's id. Evaluations do: the best weights are kept."""
        said = {name: value for name, value in asdict(self).items() if name not in _BESIDE}
        targets = self.targets if isinstance(self.targets, str) else sorted(self.targets)
        return {**said, "targets": targets}

    def said(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return asdict(self) | {"targets": self.targets if isinstance(self.targets, str) else list(self.targets)}

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> AdapterConfig:
        """As `said` was."""
        targets = said["targets"] if isinstance(said["targets"], str) else tuple(said["targets"])
        return cls(**{**said, "targets": targets, "dpo": DpoConfig(**said["dpo"])})
