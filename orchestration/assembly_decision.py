"""From settings to the decision: what the test is told, and what the policy may spend."""

from __future__ import annotations

from assets.decision.config import ShiftConfig
from assets.decision.policy import Rules
from orchestration.settings import DecisionSettings


def shift_config(settings: DecisionSettings) -> ShiftConfig:
    """What the sequential test of a variant is told."""
    return ShiftConfig(alpha=settings.alpha, horizon_days=settings.horizon_days, reference_days=settings.reference_days)


def rules(settings: DecisionSettings) -> Rules:
    """What the policy of a variant holds against a fine-tune."""
    budget = settings.budget
    return Rules(
        min_examples=settings.min_examples,
        cool_down_days=settings.cool_down_days,
        require_approval=settings.require_approval,
        currency=budget.currency,
        per_month=budget.per_month,
        per_gpu_hour=budget.per_gpu_hour,
        gpu_hours_per_month=budget.gpu_hours_per_month,
        finetune_hours=settings.finetune_hours,
        value_per_failure=settings.value_per_failure,
        payback_days=settings.payback_days,
    )
