"""The month's budget, which all variants share: what is spent, what is claimed, and whether one more fine-tune fits.

A claim that has not ended counts with what its variant's rules expect it to cost: two variants cannot each spend the
same money. What a person forces counts too, and is not refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

from assets.decision.ledger import Entry, Finished, Kind, Request, Spend
from assets.decision.situation import Rules, Situation
from assets.ports import Ledger

ATTEMPT = "#"  # between a run and its attempt, as spends name it


class Month(NamedTuple):
    """A calendar month of all variants, who share one budget: money and GPU hours that were spent, and those that
    fine-tunes which have not ended are still expected to cost."""

    spent: float = 0.0
    gpu_hours: float = 0.0
    claimed: float = 0.0
    claimed_hours: float = 0.0


class Money:
    """The month, from the ledger; `rules` gives a variant's, `today` the clock's day (UTC)."""

    def __init__(
        self, ledger: Ledger, variants: Sequence[str], rules: Callable[[str], Rules], today: Callable[[], date]
    ) -> None:
        self._ledger, self._variants, self._rules, self._today = ledger, variants, rules, today

    def month(self, variant: str) -> Month:
        """The month as a verdict of this variant sees it: without its own claims, which stand in its way already."""
        return self._month(variant, but=variant)

    def over(self, variant: str) -> str:
        """Why one more fine-tune of this variant, beside all that have not ended, does not fit in; empty where it
        does."""
        return over_budget(Situation(self._today(), **self._month(variant)._asdict()), self._rules(variant))

    def _month(self, variant: str, but: str = "") -> Month:
        """A claim of this month that has not ended counts with what its variant's rules expect, less what its run has
        spent; those of the variant `but` are left out. Claims of a variant that is no more are expected to cost what
        one of `variant` would."""
        today = self._today()
        first = datetime(today.year, today.month, 1, tzinfo=UTC)
        spends = [Spend.of(entry) for entry in self._ledger.entries([Kind.SPEND], since=first)]
        claimed = claimed_hours = 0.0
        for claim in _open_claims(self._ledger.entries([Kind.REQUEST, Kind.FINISHED])):
            if claim.at < first or claim.variant == but:
                continue
            expected = self._rules(claim.variant if claim.variant in self._variants else variant)
            run = Request.of(claim).run_key
            mine = [spend for spend in spends if spend.run.split(ATTEMPT)[0] == run]
            claimed += max(expected.cost - _money(mine), 0.0)
            claimed_hours += max(expected.finetune_hours - _gpu_hours(mine), 0.0)
        return Month(_money(spends), _gpu_hours(spends), claimed, claimed_hours)


def _open_claims(entries: Sequence[Entry]) -> list[Entry]:
    """Requests without an end, of all variants that `entries` are of."""
    ended = {Finished.of(entry).request for entry in entries if entry.kind is Kind.FINISHED}
    return [entry for entry in entries if entry.kind is Kind.REQUEST and entry.id not in ended]


def _money(spends: Sequence[Spend]) -> float:
    return sum(spend.amount for spend in spends)


def _gpu_hours(spends: Sequence[Spend]) -> float:
    return sum(spend.seconds for spend in spends if spend.what == "gpu") / 3600


def over_budget(now: Situation, rules: Rules) -> str:
    """The words for it where one more fine-tune would exceed the month's money or GPU hours; empty where not."""
    money, hours = rules.currency, rules.gpu_hours_per_month
    if not affordable(now, rules):
        return (
            f"and {rules.cost:.2f} {money} more would exceed the month's budget ({now.spent:.2f} of "
            f"{rules.per_month:.2f} {money} are spent{_open(now.claimed)})"
        )
    if not in_hours(now, rules):
        return (
            f"and {rules.finetune_hours:g} more GPU hours would exceed the month's {hours} ({now.gpu_hours:.2f} are "
            f"used{_open(now.claimed_hours)})"
        )
    return ""


def _open(amount: float) -> str:
    return f", {amount:.2f} are claimed by fine-tunes that have not ended" if amount else ""


def affordable(now: Situation, rules: Rules) -> bool:
    """Whether the month has money for one more fine-tune."""
    return now.spent + now.claimed + rules.cost <= rules.per_month


def in_hours(now: Situation, rules: Rules) -> bool:
    """Whether the month has GPU hours for one more fine-tune."""
    hours = rules.gpu_hours_per_month
    return hours is None or now.gpu_hours + now.claimed_hours + rules.finetune_hours <= hours


def claimed(amount: float) -> str:
    """For a gate: what was claimed and not spent yet."""
    return f" + {amount:.2f} claimed" if amount else ""
