"""The command of the ledger: what it all cost, and who decided what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import click

from assets.decision.ledger import Entry, Kind
from orchestration.cli_behavior import json_flag

if TYPE_CHECKING:
    from assets.decision.spending.costs import Books, Budget
    from orchestration.cli import Context


class MonthType(click.ParamType):
    """A calendar month, YYYY-MM; its first day."""

    name = "YYYY-MM"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """The first day of "2026-11"."""
        if isinstance(value, date):
            return value
        try:
            return datetime.strptime(str(value), "%Y-%m").replace(tzinfo=UTC).date()
        except ValueError:
            self.fail(f"received {value!r}. Expected a month, as in 2026-11", param, ctx)


@click.command()
@click.option("--month", type=MonthType(), help="Another month than this one (UTC).")
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice([str(kind) for kind in Kind]), help="Only entries of this kind."
)
@json_flag
@click.pass_obj
def ledger(context: Context, month: date | None, kinds: Sequence[str]) -> None:
    """What a month cost, what was avoided, and every entry: spend, verdicts, approvals, overrides, fine-tunes."""
    from assets.decision.spending.costs import balance, bounds
    from orchestration.assembly import budget, open_the_lake
    from orchestration.ledger import LakeLedger

    books = LakeLedger(open_the_lake(context.settings))
    today = datetime.now(UTC).date()
    since, until = bounds(month or today)
    entries = books.entries([Kind(kind) for kind in kinds], since=since, until=until)
    whole = books.entries((Kind.SPEND, Kind.VERDICT, Kind.REQUEST, Kind.FINISHED))
    money = budget(context.settings)
    total = balance(whole, today, money, since.date())
    context.show(_as_json(total, money, entries), lambda: _as_text(total, money, entries))


COMMANDS: Sequence[click.Command] = (ledger,)


def _as_json(books: Books, budget: Budget, entries: Sequence[Entry]) -> dict[str, Any]:
    month, avoided = books.month, books.avoided
    return {
        "month": f"{month.first:%Y-%m}",
        "currency": budget.prices.currency,
        "spent": month.amounts,
        "budget": budget.per_month,
        "hours": month.hours,
        "encoder_seconds": month.hours["encoder"] * 3_600,
        "finetunes": {"requested": month.requested, "done": month.done},
        "avoided": {
            "since": avoided.since.isoformat() if avoided.since else None,
            "weeks": avoided.weeks,
            "weekly_schedule": avoided.schedule,
            "spent": avoided.spent,
            "amount": avoided.amount,
            "finetune_costs": books.cost.amount,
            "measured": books.cost.measured,
        },
        "entries": [
            {
                "id": entry.id,
                "at": entry.at.isoformat(),
                "kind": str(entry.kind),
                "variant": entry.variant,
                "data": entry.data,
            }
            for entry in entries
        ],
    }


def _as_text(books: Books, budget: Budget, entries: Sequence[Entry]) -> str:
    from assets.decision.spending.preview import sentence, stamp, time_of

    month, currency = books.month, budget.prices.currency
    used = ", ".join(f"{time_of(hours * 3_600)} of {what}" for what, hours in month.hours.items() if hours) or "nothing"
    others = "".join(f" and {amount:.2f} {name}" for name, amount in month.amounts.items() if name != currency)
    lines = [
        f"{month.first:%Y-%m}: {month.amount(currency):.2f} of {budget.per_month:.2f} {currency}{others} spent; "
        f"{used} used; {month.requested} fine-tunes requested, {month.done} done",
        _avoided_line(books, currency),
    ]
    rows = (f"{stamp(e.at)}  {e.kind:<10}  {e.variant or '-':<8}  {sentence(e)}" for e in entries)
    return "\n".join([*lines, *rows])


def _avoided_line(books: Books, currency: str) -> str:
    found, cost = books.avoided, books.cost
    if found.since is None:
        return "nothing was monitored yet: there is no verdict"
    source = f"the average of {cost.measured}" if cost.measured else "expected, none was timed"
    return (
        f"since {found.since}: {found.spent:.2f} {currency} spent on {found.done} fine-tunes; one a week, "
        f"{found.weeks} of {cost.amount:.2f} ({source}), would cost {found.schedule:.2f}: {found.amount:.2f} avoided"
    )
