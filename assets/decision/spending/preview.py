"""What a person sees of the ledger: the month against its budget, what a weekly schedule would have cost, entries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from assets.decision.ledger import (
    Approval,
    Decided,
    Entry,
    Finished,
    Kind,
    Override,
    Request,
    Retraction,
    Spend,
)
from assets.decision.spending.costs import Avoided, Books, Budget, FinetuneCost, Month, Series, balance
from assets.rendering import ROWS, Markdown, Metadata, picture, table

PICTURE_DAYS = 2  # that are worth a plot


def of_ledger(entries: Sequence[Entry], today: date, budget: Budget) -> Metadata:
    """Numbers that the UI plots over time, two plots, and the newest entries."""
    books, currency = balance(entries, today, budget), budget.prices.currency
    kinds = Counter(entry.kind for entry in entries)
    metadata: Metadata = {"month": f"{books.month.first:%Y-%m}", "currency": currency}
    metadata |= _of_month(books.month, budget)
    metadata |= _of_avoided(books.avoided, books.cost)
    metadata |= {"entries": len(entries), **{f"entries_{kind}": kinds[kind] for kind in Kind if kinds[kind]}}
    if len(books.series.days) >= PICTURE_DAYS:
        metadata["spent_and_avoided"] = _money(books, currency)
    if sum(books.series.encoder_seconds):
        metadata["encoder_seconds_a_day"] = _encoder(books.series)
    if entries:
        newest = [(stamp(entry.at), entry.kind, entry.variant, sentence(entry)) for entry in entries[-ROWS:]]
        metadata["newest_entries"] = table(("when (UTC)", "kind", "variant", "what"), newest[::-1])
    return metadata


def _of_month(month: Month, budget: Budget) -> Metadata:
    spent = month.amount(budget.prices.currency)
    metadata: Metadata = {
        "spent_this_month": round(spent, 4),
        "budget_per_month": budget.per_month,
        "gpu_hours_this_month": round(month.gpu_hours, 4),
        "cpu_hours_this_month": round(month.hours["cpu"], 4),
        "encoder_seconds_this_month": round(month.hours["encoder"] * 3_600, 3),
        "finetunes_this_month": month.done,
        "finetunes_requested_this_month": month.requested,
    }
    if budget.per_month:
        metadata["budget_used"] = round(spent / budget.per_month, 4)
    if budget.gpu_hours_per_month:
        metadata["gpu_hours_used"] = round(month.gpu_hours / budget.gpu_hours_per_month, 4)
    for currency, amount in month.amounts.items():
        if currency != budget.prices.currency:
            metadata[f"spent_this_month_{currency}"] = round(amount, 4)
    return metadata


def _of_avoided(found: Avoided, cost: FinetuneCost) -> Metadata:
    source = (
        f"the average of {cost.measured}" if cost.measured else "expected (decision.finetune_hours); none was timed"
    )
    metadata: Metadata = {"finetune_costs": round(cost.amount, 4), "finetune_costs_is": source}
    if found.since:
        metadata |= {
            "monitored_since": found.since.isoformat(),
            "weekly_schedule_costs": round(found.schedule, 4),
            "spent_on_finetunes": round(found.spent, 4),
            "avoided": round(found.amount, 4),
            "finetunes_avoided": found.finetunes,
        }
    return metadata


def _money(books: Books, currency: str) -> Markdown:
    series = books.series

    def draw(axes: Any) -> None:
        axes.plot(series.days, series.schedule, color="tab:gray", linestyle="--", label="a fine-tune a week")
        axes.plot(series.days, series.spent, color="tab:orange", label="spent on fine-tunes")
        axes.fill_between(series.days, series.spent, series.schedule, color="tab:green", alpha=0.15, label="avoided")
        axes.set_ylabel(f"{currency}, cumulated", fontsize=7)
        _dated(axes)
        axes.legend(fontsize=7, loc="upper left")

    return picture("spent, and what a weekly schedule would have cost", draw)


def _encoder(series: Series) -> Markdown:
    def draw(axes: Any) -> None:
        axes.bar(series.days, series.encoder_seconds, color="tab:blue")
        axes.set_ylabel("encoder-seconds", fontsize=7)
        _dated(axes)

    return picture("encoder-seconds a day", draw)


def _dated(axes: Any) -> None:
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", labelsize=6, rotation=30)
    axes.tick_params(axis="y", labelsize=6)


def stamp(at: datetime) -> str:
    """A moment for a table."""
    return f"{at:%Y-%m-%d %H:%M:%S}"


def sentence(entry: Entry) -> str:
    """What an entry says, for a person."""
    match entry.kind:
        case Kind.SPEND:
            spend = Spend.of(entry)
            return f"{time_of(spend.seconds)} of {spend.what}, {spend.amount:.2f} {spend.currency}: {spend.by}"
        case Kind.VERDICT:
            verdict = Decided.of(entry)
            return f"{verdict.action}: {verdict.sentence}"
        case Kind.APPROVAL:
            answer = Approval.of(entry)
            return f"{answer.by} said {'yes' if answer.granted else 'no'} to {answer.verdict}{_because(answer.why)}"
        case Kind.RETRACTION:
            back = Retraction.of(entry)
            return f"{back.verdict} is retracted{_because(back.why)}"
        case Kind.OVERRIDE:
            override = Override.of(entry)
            return f"{override.by} overrode the policy{_because(override.why)}"
        case Kind.REQUEST:
            request = Request.of(entry)
            return f"{request.by} requested a fine-tune for {request.cause}"
        case Kind.FINISHED:
            end = Finished.of(entry)
            return f"{end.outcome}: run {end.run}{_because(end.detail)}"


def time_of(seconds: float) -> str:
    """A length of time in a unit that fits it."""
    return f"{seconds:.2f} s" if seconds < 120 else f"{seconds / 60:.1f} min" if seconds < 7_200 else _hours(seconds)


def _hours(seconds: float) -> str:
    return f"{seconds / 3_600:.2f} h"


def _because(why: str) -> str:
    return f": {why}" if why else ""
