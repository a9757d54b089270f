"""From settings to the decision: what the test is told, and what the policy may spend."""

from __future__ import annotations

from assets.behavior.pipeline import BehaviorData
from assets.decision.config import ShiftConfig
from assets.decision.measuring import FromWarehouse
from assets.decision.pipeline import Decision
from assets.decision.policy import Rules
from assets.decision.tainted import FromTaints
from orchestration.assembly_serving import answering, releases
from orchestration.assembly_taint import taints
from orchestration.ledger import LakeLedger
from orchestration.settings import DecisionSettings, Settings


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
        max_tainted_share=settings.max_tainted_share,
    )


def decision(settings: Settings, data: BehaviorData) -> Decision:
    """What stands between the hands, over the slow hand's data."""
    variants = settings.variants
    return Decision(
        lake=data.lake,
        ledger=LakeLedger(data.lake),
        variants=tuple(variants),
        config=lambda variant: shift_config(variants[variant]),
        rules=lambda variant: rules(variants[variant]),
        measured=FromWarehouse(data.warehouse),
        release=answering(releases(settings, data.lake)),
        tainting=FromTaints(taints(settings, data.lake)),
        close_after_days=settings.behavior.close_after_days,
    )
