"""What the policy reads and says: rules, a situation, a verdict. The table from one to the other is in policy.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from assets.decision.tainted import Tainted


class Action(StrEnum):
    """What a verdict asks for."""

    WAIT = "wait"
    PROPOSE = "propose"
    FINETUNE = "finetune"
    ROLLBACK = "rollback_suggested"
    FIX_CORPUS = "fix_corpus"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the deployment decides. Money is in `currency`; `finetune_hours` is the GPU time that one is expected to
    take, `value_per_failure` what one avoided failure is worth, `payback_days` how long it may take to pay off."""

    min_examples: int = 200
    cool_down_days: int = 7
    require_approval: bool = False
    currency: str = "EUR"
    per_month: float = 500.0
    per_gpu_hour: float = 4.0
    gpu_hours_per_month: float | None = None
    finetune_hours: float = 1.0
    value_per_failure: float = 0.5
    payback_days: int = 90
    max_tainted_share: float = 0.05

    @property
    def cost(self) -> float:
        """What one fine-tune is expected to cost."""
        return self.finetune_hours * self.per_gpu_hour


@dataclass(frozen=True, slots=True)
class Deploy:
    """Another release began to answer."""

    day: date
    release: str
    former: str


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a verdict is made of.

    `evidence` is M of the newest day and `highest` the most that it was; `fired` the first day on which it reached the
    threshold (of this restatement). `examples` are corrected ones since `changed`; `excess` is by how much the share
    of failures among all interactions rose since then, `traffic` interactions a day. `knowledge` holds the rate of
    knowledge failures in the reference and in the last 14 days, and how many standard errors apart they are. `spent`,
    `gpu_hours`, `claimed` and `claimed_hours` are those of the month (budget.Month).
    """

    day: date
    learning: int = 0  # reference days that are still missing
    reference_days: int = 28
    evidence: float = 0.0
    highest: float = 0.0
    threshold: float = 7300.0
    restatements: int = 0
    fired: date | None = None
    changed: date | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    labels_moved: bool = False
    examples: int = 0
    excess: float = 0.0
    traffic: float = 0.0
    knowledge: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deploy: Deploy | None = None
    pending: bool = False
    failed: str = ""  # why the last fine-tune's run failed, if it did
    last_finetune: date | None = None
    last_released: bool = True
    spent: float = 0.0
    gpu_hours: float = 0.0
    claimed: float = 0.0
    claimed_hours: float = 0.0
    approval: str = ""  # "approved", "denied" or nothing
    tainted: Tainted = field(default_factory=Tainted)


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition: what was measured, what was required, whether it holds."""

    name: str
    passed: bool
    measured: str
    required: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, in one word and one sentence, with every gate's value, the evidence and what it would cost."""

    action: Action
    sentence: str
    reasons: tuple[Gate, ...]
    evidence: Mapping[str, Any]
    cost: Mapping[str, float]
