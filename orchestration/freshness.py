"""Until when each asset counts as fresh: a limit in the UI, which starts nothing.

    what                                        is made                                is marked after
    ------------------------------------------  -------------------------------------  ------------------------------
    documents to index; landed files to marts;  by sensors, and once a day in any      checks.freshness_hours
    evidence, verdict, taint; the ledger;       case: nightly_reconciliation,
    the overview                                close_day, evidence_due, daily_ledger
    candidates, dataset, adapter, evaluation,   by a fine-tune, which age alone        decision.horizon_days, for
    release                                     never starts                           which alpha is promised
    logs in the warehouse, answers              not in this graph                      never: there is nothing to mark

A manner is stable, so an old adapter is no fault: whether it still fits is what evidence and verdict say. Beyond the
horizon nobody has promised anything of it, and a person should look.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import dagster as dg

from orchestration.settings import Settings

MANNERS = ("finetune", "serving")  # groups of what a fine-tune makes


def limited(assets: Iterable[Any], settings: Settings) -> list[Any]:
    """The assets, each with a freshness policy, but for those that are not made here."""
    daily = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=settings.checks.freshness_hours))
    days = max(variant.horizon_days for variant in settings.variants.values())
    slow = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=days))

    def policy(spec: dg.AssetSpec) -> dg.AssetSpec:
        if spec.freshness_policy is not None:
            return spec
        return spec.replace_attributes(freshness_policy=slow if spec.group_name in MANNERS else daily)

    return [one if isinstance(one, dg.AssetSpec) else dg.map_asset_specs(policy, [one])[0] for one in assets]
