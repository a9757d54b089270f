"""The deployment in its own words: what twohands.toml comes to, in Markdown, for the UI.

Built from the settings alone, so it is there before anything ran. A secret is never in it: of a url only what names a
place is shown, and of variables only their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from assets.ports.index import values
from assets.rendering import code, counted
from orchestration.settings import Settings, VariantSettings

EVERY = 30  # seconds between two ticks of the sensor of the overview

ROWS = 30  # of a table
_SECRETS = re.compile(r"(?<=://)[^/]*@|[?#].*$")  # a name and password before the host; a query or a fragment


def place(url: str) -> str:
    """A url as far as it may be shown: without user, password, query and fragment."""
    return _SECRETS.sub("", url)


def words(settings: Settings) -> str:
    """The whole text."""
    return "\n\n".join(_parts(settings))


def _parts(settings: Settings) -> Iterator[str]:
    slices, variants = settings.slices(), settings.variants
    manners = counted(len(variants), "variant")
    yield (
        f"**{counted(len(slices), 'slice')} of documents in one index, {manners} of manner.** "
        "Facts come from the index, which follows its sources by itself. Manners come from adapters, which change when "
        "a sequential test over what people did shows a shift that is worth its price; never because a document "
        "changed."
    )
    yield "**What is retrieved.** " + _knowledge(settings)
    rows = [(s.name, place(settings.sources[s.source].url), _pairs(s.metadata)) for s in slices]
    yield _table(("slice", "source", "metadata"), rows, 2)
    yield "**What is learned.** " + _behavior(settings)
    rows = [(name, *_variant(one, settings.evaluation.manners.get(name) is not None)) for name, one in variants.items()]
    yield _table(("variant", "answers", "false trigger", "examples", "pause", "starts"), rows, 1)
    yield "**What it may cost.** " + _budget(settings)
    yield "**When it moves.**"
    yield _table(("what", "when", "does"), _schedules(settings), 2)
    yield "**Who is told.** " + _told(settings)


def _knowledge(settings: Settings) -> str:
    index, encoder = settings.index, settings.encoder
    golden = f"Golden questions ({code(index.golden)}) guard it" if index.golden else "No golden question guards it"
    drop = f": a version whose recall@5 falls by more than {index.gate.max_recall_drop:g} is not published."
    return (
        f"Index: {index.engine}. Encoder: {code(encoder.model)}. Lake: {code(place(settings.lake or 'in the home'))}. "
        f"{golden}{drop if index.golden else '.'} Documents carry who may read them in the field "
        f"{code(settings.access.field)}; everybody reads {', '.join(map(code, settings.access.public)) or 'none'}."
    )


def _behavior(settings: Settings) -> str:
    logs, folder = settings.warehouse.logs, settings.behavior.landing
    places = [code(f"{logs.schema_name}.{logs.table}")] if logs else []
    places += [code(place(folder))] if folder else [] if logs else ["the sample"]
    generator = code(place(settings.generator.url)) if settings.generator.url else "this process"
    lost = f"{settings.evaluation.margins.facts:.0%}"
    return (
        f"Base: {code(settings.base.model)}, answering from {generator}. Logs: {' and '.join(places)}, built in "
        f"{settings.warehouse.engine}. A day closes {counted(settings.behavior.close_after_days, 'day')} after it. An "
        f"adapter answers when it is better in manner and loses no more than {lost} of grounded correctness, with 95% "
        "confidence."
    )


def _variant(one: VariantSettings, checked: bool) -> tuple[str, str, str, str, str]:
    starts = "a person says yes" if one.require_approval else "by a verdict"
    return (
        one.answer + (", with a schema or rules" if checked else ""),
        f"at most {one.alpha:.1%} in {one.horizon_days} days",
        f"at least {one.min_examples}",
        f"{one.cool_down_days} days",
        starts,
    )


def _budget(settings: Settings) -> str:
    money = settings.decision.budget
    hours = f" and {money.gpu_hours_per_month:g} GPU hours" if money.gpu_hours_per_month is not None else ""
    taken, worth = settings.decision.finetune_hours, settings.decision.value_per_failure
    return (
        f"{money.per_month:,.2f} {money.currency}{hours} a month. One fine-tune is expected to cost "
        f"{taken * money.per_gpu_hour:,.2f} {money.currency} ({taken:g} GPU hours at {money.per_gpu_hour:g}); an "
        f"avoided failure is worth {worth:g} {money.currency}."
    )


def _schedules(settings: Settings) -> Sequence[tuple[str, str, str]]:
    auto, behavior, zone = settings.automation, settings.behavior, settings.automation.timezone
    return [
        ("content_changed", f"every {auto.sensor_seconds} s", "re-indexes the slices whose content changed"),
        ("interactions_landed", f"every {behavior.sensor_seconds} s", "reads logs, rebuilds the days they touch"),
        ("evidence_due", f"every {behavior.sensor_seconds} s", "evidence and verdict, when there is something new"),
        ("behavior_shifted", f"every {behavior.sensor_seconds} s", "one fine-tune for a verdict that says so"),
        ("overview_due", f"every {EVERY} s", "looks at this overview after runs, at most every ten minutes"),
        ("run_failed", f"every {settings.alerts.sensor_seconds} s", "one alert for a failed run"),
        ("nightly_reconciliation", f"{auto.reconcile} {zone}", "every file read again, every passage compared"),
        ("nightly_housekeeping", f"{auto.housekeeping} {zone}", "compacts lake, index and ledger"),
        ("close_day", f"{behavior.close} UTC", "rebuilds the day that closes"),
        ("daily_ledger", f"{auto.ledger} {zone}", "adds up what was spent, and looks at this overview"),
        ("scheduled_finetune", f"{auto.finetune} {zone}", "off until somebody turns it on"),
    ]


def _told(settings: Settings) -> str:
    alerts, told = settings.alerts, []
    if alerts.log:
        told.append("the log")
    if alerts.webhook:
        where = urlsplit(alerts.webhook.url).hostname or alerts.webhook.url_env  # the rest of such an address is a key
        told.append(f"a webhook ({code(where)})")
    if alerts.mail:
        told.append(f"{counted(len(alerts.mail.to), 'address', 'addresses')} by e-mail")
    return f"When a run fails: {', '.join(told) or 'nobody'}."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], coded: int) -> str:
    """A table, whose first `coded` columns are quoted as code: names, places and times."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows[:ROWS]:
        cells = [code(cell) if n < coded else cell.replace("|", "¦") for n, cell in enumerate(row)]
        lines.append("| " + " | ".join(cells) + " |")
    more = [f"\n... and {len(rows) - ROWS} more"] if len(rows) > ROWS else []
    return "\n".join([*lines, *more])


def _pairs(metadata: Mapping[str, str]) -> str:
    return ", ".join(f"{key} = {' or '.join(values(held))}" for key, held in metadata.items()) or "-"
