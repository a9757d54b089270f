"""The state of the slow hand in facts: for `twohands status` and `twohands doctor`. Imports no torch, opens no engine
but where a check is about one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from assets.behavior.variants import told
from assets.errors import ConfigError, CorruptState, SourceError, TwohandsError
from assets.rendering import counted
from orchestration import overview_adapters, questions
from orchestration.settings import Settings

if TYPE_CHECKING:
    from assets.behavior.pipeline import BehaviorData
    from assets.decision.pipeline import Decision

Check = tuple[str, Callable[[], str]]
_WAIT, _QUERY = 2.0, 10.0  # seconds that a check waits for the warehouse, and for an answer of a server
_SHOWN = 5  # days that are named


def overview(settings: Settings, data: BehaviorData, decision: Decision, today: date | None = None) -> dict[str, Any]:
    """Logs, evidence and verdict of each variant, the month's spend. A part that cannot be read is {"error": ...}."""
    today = today or datetime.now(UTC).date()
    return {
        "behavior": _told(lambda: _logs(data, decision.closed())),
        "variants": [
            {
                "variant": v,
                **_told(lambda v=v: _variant(decision, v)),
                "adapters": _told(lambda v=v: overview_adapters.facts(settings, data.lake, v)),
            }
            for v in settings.variants
        ],
        "spend": _told(lambda: _spend(settings, decision, today)),
    }


def _told(look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return look()
    except TwohandsError as error:
        return {"error": str(error)}


def _logs(data: BehaviorData, closed: date) -> dict[str, Any]:
    counts, dirty = data.landing.counts(), sorted(data.dirty_inputs())
    return {
        "files": counts.files,
        "events": counts.events,
        "waiting_files": counts.waiting,
        "quarantined": counts.quarantined,
        "first_day": _iso(counts.first_day),
        "last_day": _iso(counts.last_day),
        "closed_day": _iso(closed),
        "dirty_days": [day.isoformat() for day in dirty],
        "overdue_days": [day.isoformat() for day in dirty if day <= closed],
        "report_is_old": bool(data.report_inputs()),
        "unknown_variants": data.unknown_variants(),
    }


def _variant(decision: Decision, variant: str) -> dict[str, Any]:
    record, said = decision.store.latest(variant), next(iter(decision.history(variant, 1)), None)
    evidence = record and {
        "day": _iso(record.day),
        "M": record.evidence,
        "highest": record.highest,
        "threshold": record.threshold,
        "M_of_threshold": record.evidence / record.threshold,
        "fired": _iso(record.fired),
        "release": record.release,
    }
    verdict = said and {
        "day": said.day,
        "action": said.action,
        "sentence": said.sentence,
        "retracted": said.retracted or None,
    }
    old = said is not None and bool(decision.overdue(variant))
    return {"evidence": evidence, "verdict": verdict, "verdict_is_old": old}


def _spend(settings: Settings, decision: Decision, today: date) -> dict[str, Any]:
    from assets.decision.ledger import Kind
    from assets.decision.spending.costs import bounds, month

    since, until = bounds(today)
    kinds = (Kind.SPEND, Kind.REQUEST, Kind.FINISHED)
    found, budget = month(decision.ledger.entries(kinds, since=since, until=until), today), settings.decision.budget
    return {
        "month": f"{today:%Y-%m}",
        "spent": found.amount(budget.currency),
        "budget": budget.per_month,
        "currency": budget.currency,
        "finetunes": found.requested,
    }


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None


def as_text(facts: Mapping[str, Any]) -> list[str]:
    """The overview for a terminal."""
    made = [overview_adapters.line(found["variant"], found["adapters"]) for found in facts["variants"]]
    variants = [*map(_variant_line, facts["variants"]), *filter(None, made)]
    unjudged = told(facts["behavior"].get("unknown_variants", {}))
    lines = [_logs_line(facts["behavior"]), *([f"never judged: {unjudged}"] if unjudged else [])]
    return [*lines, *variants, _spend_line(facts["spend"])]


def _logs_line(found: Mapping[str, Any]) -> str:
    if "error" in found:
        return f"interactions: {found['error']}"
    if found["last_day"] is None:
        return "interactions: none yet"
    parts = [
        f"interactions: {found['events']:,} events of {found['first_day']} to {found['last_day']} "
        f"in {counted(found['files'], 'file')}",
        f"{counted(found['quarantined'], 'line')} quarantined",
    ]
    if found["waiting_files"]:
        parts.append(f"{counted(found['waiting_files'], 'file')} still being written")
    dirty = found["dirty_days"]
    if dirty:
        named = ", ".join(dirty[:_SHOWN]) + (", ..." if len(dirty) > _SHOWN else "")
        parts.append(f"{counted(len(dirty), 'day')} to rebuild, {len(found['overdue_days'])} of them closed: {named}")
    else:
        parts.append("every day is built")
    if found["report_is_old"]:
        parts.append("the corpus report is old")
    return "; ".join(parts)


def _variant_line(found: Mapping[str, Any]) -> str:
    name = found["variant"]
    if "error" in found:
        return f"{name}: {found['error']}"
    evidence, verdict = found["evidence"], found["verdict"]
    if verdict is None:
        return f"{name}: no verdict yet"
    measured = f" (M {evidence['M']:.3g} of {evidence['threshold']:,.0f})" if evidence else ""
    old = ", and days have changed since" if found["verdict_is_old"] else ""
    taken_back = ", retracted" if verdict["retracted"] else ""
    return f"{name}: {verdict['action']} as of {verdict['day']}{measured}{taken_back}{old}: {verdict['sentence']}"


def _spend_line(found: Mapping[str, Any]) -> str:
    if "error" in found:
        return f"spend: {found['error']}"
    return (
        f"spend: {found['month']}: {found['spent']:.2f} of {found['budget']:.2f} {found['currency']}, "
        f"{found['finetunes']} fine-tunes"
    )


def checks(settings: Settings, data: Callable[[], BehaviorData], decision: Callable[[], Decision]) -> list[Check]:
    """What `twohands doctor` tries of the slow hand: (name, what says how it is, or raises)."""
    return [
        ("landing", lambda: _landing(settings, data())),
        ("landing ledger", lambda: _landed(data())),
        ("ledger", lambda: f"{len(decision().ledger.entries())} entries"),
        ("warehouse", lambda: _warehouse(settings)),
        ("dbt project", lambda: _project(settings)),
        ("questions", lambda: _questions(settings)),
        *([("judge", lambda: _judge(settings))] if settings.evaluation.judge else []),
        *((f"decision {name}", _decision_check(settings, decision, name)) for name in settings.variants),
        *((f"adapters {name}", _adapters_check(settings, data, name)) for name in settings.variants),
    ]


def _questions(settings: Settings) -> str:
    of_gate, kept = len(questions.judged(settings)), len(questions.kept(settings))
    return f"{of_gate} in files for the gate, {kept} by which an adapter goes on declining; none is in both"


def _judge(settings: Settings) -> str:
    from orchestration.assembly_evaluation import judge

    said, found = settings.evaluation.judge, judge(settings)
    if said is None or found is None:
        return "none"
    if said.key_env and not os.environ.get(said.key_env):
        raise ConfigError(
            f"evaluation.judge.key_env: {said.key_env} is not set",
            expected="the judge's key in this environment variable",
            next_step=f"set {said.key_env} where evaluations run",
        )
    return f"{said.model} at {said.url}, pinned as {found.pin}; it is asked when an adapter is evaluated"


def _adapters_check(settings: Settings, data: Callable[[], BehaviorData], variant: str) -> Callable[[], str]:
    return lambda: overview_adapters.check(settings, data().lake, variant)


def _landing(settings: Settings, data: BehaviorData) -> str:
    folder, logs = settings.behavior.landing, settings.warehouse.logs
    try:
        pending = data.landing.pending()
    except SourceError:
        if folder or logs:
            raise
        return "no logs are configured: [behavior] landing"  # and the sample is not here
    for error in pending.problems.values():
        raise error
    places = [folder] if folder else [] if logs else ["the sample's logs"]
    places += [f"{logs.schema_name}.{logs.table}"] if logs else []
    return f"{' and '.join(places)}: {pending.files} files to read"


def _landed(data: BehaviorData) -> str:
    counts, missing = data.landing.counts(), data.landing.missing()
    if missing:
        raise CorruptState(
            f"{len(missing)} tables that the ledger of the landing folder names are missing: {missing[0]}",
            expected="every part that the ledger names",
            next_step="restore them from a backup, or run `twohands ingest --recover`",
        )
    unjudged = told(data.unknown_variants())
    said = f"{counts.files} files, {counts.events:,} events, every part is there"
    return f"{said}; never judged: {unjudged}" if unjudged else said


def _warehouse(settings: Settings) -> str:
    from orchestration.assembly_behavior import open_warehouse
    from orchestration.engines.warehouse_sessions import Outdated

    warehouse = open_warehouse(settings)
    where = settings.warehouse.engine
    try:
        with warehouse.look(_WAIT, _QUERY) as session:
            session.rows("select 1")
    except Outdated:
        return f"{where}: nothing is built yet"
    return f"{where}: it can be read"


def _project(settings: Settings) -> str:
    from orchestration.assembly_behavior import open_warehouse

    open_warehouse(settings).manifest()
    return "it can be parsed"


def _decision_check(settings: Settings, decision: Callable[[], Decision], variant: str) -> Callable[[], str]:
    def check() -> str:
        found, rules = decision(), settings.variants[variant]
        config, budget = found.config(variant), rules.budget
        cost, hours = rules.finetune_hours * budget.per_gpu_hour, budget.gpu_hours_per_month
        if 0 < budget.per_month < cost or (hours is not None and 0 < hours < rules.finetune_hours):
            raise ConfigError(
                f"decision.budget: one fine-tune of {variant!r} takes {rules.finetune_hours:g} h and costs {cost:g} "
                f"{budget.currency}, more than a month's budget: every verdict would be blocked",
                expected="a budget of at least one fine-tune a month, or 0 where none is ever wanted",
                next_step="raise per_month or gpu_hours_per_month, or correct finetune_hours and per_gpu_hour",
            )
        contract = found.store.contract(variant)
        found.store.latest(variant)
        frozen = f"{contract.first_day} to {contract.last_day} are usual" if contract else "nothing is frozen yet"
        price = f"a fine-tune costs {cost:g} {budget.currency}"
        return f"alpha {config.alpha:g} in {config.horizon_days} days; {frozen}; {price}"

    return check
