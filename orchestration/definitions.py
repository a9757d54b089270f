"""The only assembly point of the Dagster project. Loading it touches no network and imports no torch."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from assets.behavior import assets as behavior
from assets.behavior.adapter import assets as adapter
from assets.behavior.adapter.pipeline import Fitting
from assets.behavior.dataset import assets as dataset
from assets.behavior.dataset.pipeline import Datasets
from assets.behavior.evaluation import assets as evaluation
from assets.behavior.evaluation.trials import Trials
from assets.behavior.marts import assets as marts
from assets.behavior.pipeline import BehaviorData
from assets.behavior.taint import assets as tainting
from assets.behavior.taint.checks import key as standing
from assets.decision import assets as deciding
from assets.decision.pipeline import Decision
from assets.decision.spending import assets as spending
from assets.deployment import assets as deployment
from assets.deployment.overview import Overview
from assets.knowledge import assets as knowledge
from assets.knowledge.checks import INDEX
from assets.knowledge.pipeline import FastHand
from assets.serving import assets as serving
from orchestration import (
    assembly,
    assembly_adapter,
    assembly_alerts,
    assembly_behavior,
    assembly_dataset,
    assembly_decision,
    assembly_evaluation,
    assembly_serving,
    assembly_taint,
    jobs,
    overview_status,
    partitions,
    schedules,
    sensors,
)
from orchestration.alert_sensor import run_failed
from orchestration.config import load
from orchestration.decision_sensors import behavior_shifted, evidence_due
from orchestration.freshness import limited
from orchestration.landing_sensor import interactions_landed
from orchestration.overview_sensor import overview_due
from orchestration.overview_words import words
from orchestration.settings import Settings
from orchestration.stale_marks import dated

TAINTED = {"dataset": dataset.DATASET, "adapter": adapter.ADAPTER, "release": serving.RELEASE}  # the check is on them


def build(
    settings: Settings,
    hand: FastHand | None = None,
    data: BehaviorData | None = None,
    project: marts.Project | None = None,
    decision: Decision | None = None,
    datasets: Datasets | None = None,
    adapters: Fitting | None = None,
    trials: Trials | None = None,
) -> dg.Definitions:
    """All definitions for these settings; what else is given stands in for what is configured."""
    fast, logs, built = _fast(settings), *_slow(settings, project or assembly_behavior.project(settings))
    data, hand = data or assembly_behavior.behavior_data(settings), hand or assembly.fast_hand(settings)
    releases = assembly_serving.releases(settings, data.lake)
    resources = {
        "fast_hand": hand,
        "behavior_data": data,
        "decision": decision or assembly_decision.decision(settings, data),
        "datasets": datasets or assembly_dataset.datasets(settings, data),
        "adapters": adapters or assembly_adapter.fitting(settings, data),
        "trials": trials or assembly_evaluation.trials(settings, data, lambda: hand, releases),
        "releases": releases,
        "taints": assembly_taint.taints(settings, data.lake),
        "dbt": assembly_behavior.dbt(),
    }
    resources["deployment"] = Overview(
        words(settings),
        lambda: overview_status.facts(settings, lambda: hand, data, resources["decision"]),
        overview_status.text,
    )
    taint, stands = _taint(settings)
    sync, reconcile = jobs.sync(), jobs.reconcile()
    ingest, rebuild, report = jobs.ingest(), jobs.rebuild(), jobs.report(marts.report_keys(built))
    decide, finetune, books, release = (
        jobs.decide([*map(standing, TAINTED.values())]),
        jobs.finetune(),
        jobs.books(),
        jobs.release(),
    )
    return dg.Definitions(
        assets=limited(
            [
                *fast,
                *logs,
                *built,
                *_decision(settings),
                *taint,
                *dated(_slow_made(settings)),
                serving.answers(INDEX),
                *_deployment(settings),
            ],
            settings,
        ),
        asset_checks=stands,
        jobs=[sync, reconcile, ingest, rebuild, report, decide, finetune, books, release, jobs.maintain],
        sensors=[
            sensors.content_changed(settings, sync),
            interactions_landed(settings, ingest, rebuild, report),
            evidence_due(settings, decide),
            behavior_shifted(settings, finetune),
            overview_due(books),
            run_failed(settings, assembly_alerts.sinks(settings)),
        ],
        schedules=schedules.build(settings, reconcile, rebuild, books, finetune),
        resources=resources,
        executor=dg.in_process_executor,
    )


def _fast(settings: Settings) -> Sequence[Any]:
    policy = knowledge.Policy(
        retries=settings.automation.retries,
        retry_seconds=settings.automation.retry_seconds,
        max_refused_share=settings.checks.max_refused_share,
        max_document_age_days=settings.checks.max_document_age_days,
        freshness=timedelta(hours=settings.checks.freshness_hours),
    )
    return knowledge.build(partitions.slices(settings), policy, settings.index.engine)


def _decision(settings: Settings) -> Sequence[Any]:
    policy = deciding.Policy(retries=settings.automation.retries, retry_seconds=settings.automation.retry_seconds)
    books = spending.Policy(
        retries=settings.automation.retries,
        retry_seconds=settings.automation.retry_seconds,
        budget=assembly.budget(settings),
        freshness=timedelta(hours=settings.checks.freshness_hours),
    )
    return [*deciding.build(partitions.variants(settings), policy), *spending.build(books)]


def _dataset(settings: Settings) -> Sequence[Any]:
    """The dataset, the adapter that is made of it, and whether that is better."""
    policy = dataset.Policy(retries=settings.automation.retries, retry_seconds=settings.automation.retry_seconds)
    training = adapter.Policy(retries=settings.automation.retries, retry_seconds=settings.automation.retry_seconds)
    trying = evaluation.Policy(retries=settings.automation.retries, retry_seconds=settings.automation.retry_seconds)
    variants = partitions.variants(settings)
    return [
        *dataset.build(variants, policy),
        *adapter.build(variants, training),
        *evaluation.build(variants, trying),
    ]


def _deployment(settings: Settings) -> Sequence[Any]:
    automation = settings.automation
    return deployment.build(words(settings), deployment.Policy(automation.retries, automation.retry_seconds))


def _serving(settings: Settings) -> Sequence[Any]:
    policy = serving.Policy(retries=settings.automation.retries, retry_seconds=settings.automation.retry_seconds)
    return serving.build(partitions.variants(settings), policy, deps=[evaluation.EVALUATION])


def _slow_made(settings: Settings) -> Sequence[Any]:
    """What a fine-tune makes of its candidates."""
    return [*_dataset(settings), *_serving(settings)]


def _taint(settings: Settings) -> tuple[Sequence[Any], Sequence[Any]]:
    """The asset, and the check on what it is about."""
    automation = settings.automation
    policy = tainting.Policy(assembly_taint.limits(settings), automation.retries, automation.retry_seconds)
    return tainting.build(partitions.variants(settings), policy, TAINTED)


def _slow(settings: Settings, project: marts.Project) -> tuple[Sequence[Any], Sequence[Any]]:
    """From landed files to attributions, and the marts."""
    policy = behavior.Policy(
        retries=settings.automation.retries,
        retry_seconds=settings.automation.retry_seconds,
        max_quarantined_share=settings.behavior.max_quarantined_share,
        close_after_days=settings.behavior.close_after_days,
        quote=settings.behavior.quote,
        freshness=timedelta(hours=settings.checks.freshness_hours),
    )
    days = partitions.days(settings)
    table = assembly_behavior.log_table(settings)
    logs = marts.logs(table.schema, table.table, table.model) if table else []
    return behavior.build(days, policy, logs), marts.build(days, policy, project)


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions of the twohands.toml that is found from here."""
    return build(load())
