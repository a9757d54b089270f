"""Acting on a verdict: claiming its fine-tune once, approving it, overriding it. The ledger says who has what."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime

from assets.decision.ledger import Approval, Decided, Entry, Finished, Kind, Outcome, Override, Request, Retraction
from assets.decision.policy import Action
from assets.decision.store import Store
from assets.errors import GateRefused
from assets.ports import Lake, Ledger

LOCK_SECONDS = 600.0
_MONEY = "decisions-budget"  # the lock of the money that all variants share; no variant's own is named like it
_TRY = "#"  # and a number: the try of a run that failed before


@dataclass(frozen=True, slots=True)
class Claim:
    """A fine-tune that was claimed: the ledger's request, and the days whose candidates it is made of."""

    request: str
    cause: str
    variant: str
    first: date
    last: date
    resumed: bool


def locked(lake: Lake, variant: str) -> AbstractContextManager[object]:
    """The decisions of a variant for ourselves."""
    return lake.lock(f"decision-{variant}", LOCK_SECONDS)


class Finetunes:
    """Who may fine-tune what, by the ledger. `over_budget` says why one more of a variant does not fit into the month;
    nothing where it does."""

    def __init__(self, lake: Lake, ledger: Ledger, store: Store, over_budget: Callable[[str], str]) -> None:
        self._lake, self._ledger, self._store, self._over_budget = lake, ledger, store, over_budget

    def due(self, variant: str) -> tuple[str, str] | None:
        """The verdict that asks for a fine-tune which nobody has claimed: its id and its run key."""
        found = self.verdict(variant)
        if found is None or not self._asks(variant, *found) or self.requests(variant, found[0]):
            return None
        return found[0], found[1].evidence_key

    def _asks(self, variant: str, id: str, verdict: Decided) -> bool:
        """Whether a verdict says finetune, and still does: a kill may come between a retraction and the next one."""
        return verdict.action == Action.FINETUNE and not self._retracted(variant, id)

    def _retracted(self, variant: str, verdict: str) -> bool:
        return self._ledger.get(Retraction(verdict=verdict, why="asked for").id(variant)) is not None

    def begin(self, variant: str, cause: str, run: str, by: str) -> Claim:
        """Claims the fine-tune that a verdict asks for, for a run.

        GateRefused when it asks for none any more, another run has it, or the month's money is claimed by now; the same
        run may ask again, and goes on. So may any run where the one before is known to have failed.
        """
        with locked(self._lake, variant):
            held = self.requests(variant, cause)
            if held and held[0].data["run_key"] != run and not self._failed(variant, held[0].id):
                raise GateRefused(
                    f"the fine-tune of verdict {cause} was claimed by run {held[0].data['run_key']}",
                    expected="one fine-tune for a verdict",
                    next_step="look at that run; `twohands finetune --force --why TEXT` starts another on purpose",
                )
            if held:
                return self._claim(variant, cause, held[0].data["day"], held[0].id, resumed=True)
            found = self.verdict(variant)
            if found is None or found[0] != cause or not self._asks(variant, *found):
                said = found[1].sentence if found else "there is no verdict yet"
                raise GateRefused(
                    f"no verdict asks for a fine-tune of variant {variant!r}: {said}",
                    expected="the newest verdict to be `finetune`",
                    next_step="`twohands shift` shows the evidence; `twohands finetune --force --why TEXT` overrides",
                )
            day = str(found[1].evidence["day"])
            request = Request(cause=cause, run_key=run, by=by, day=day).entry(at=datetime.now(UTC), variant=variant)
            with self._lake.lock(_MONEY, LOCK_SECONDS):
                self._check_budget(variant)
                self._ledger.append(request)
            return self._claim(variant, cause, day, request.id, resumed=False)

    def _check_budget(self, variant: str) -> None:
        """GateRefused where other variants claimed the money since the verdict was said."""
        if why := self._over_budget(variant):
            raise GateRefused(
                f"the verdict asks for a fine-tune of variant {variant!r}, {why}",
                expected="money and GPU hours for it in this month's budget",
                next_step="wait for the fine-tunes that have not ended (`twohands ledger --kind request`), raise "
                "decision.budget, or override it (`twohands finetune --force --why TEXT`)",
            )

    def override(self, variant: str, last: date, why: str, by: str, run: str) -> Claim:
        """Claims a fine-tune of the days up to `last` that no verdict asks for: a person (`by`) says why.

        GateRefused while another run's is under way.
        """
        with locked(self._lake, variant):
            newest = self._ledger.entries([Kind.REQUEST], variant=variant)[-1:]
            if newest and newest[0].data["run_key"] != run and self.under_way(variant):
                raise GateRefused(
                    f"a fine-tune of variant {variant!r} is under way: run {newest[0].data['run_key']}",
                    expected="one fine-tune of a variant at a time",
                    next_step="wait for its end, or cancel that run; `twohands finetune` goes on with one that died",
                )
            fact = Override(request_key=run, by=by, why=why)
            self._ledger.append(fact.entry(at=datetime.now(UTC), variant=variant))
            cause, day = fact.id(variant), last.isoformat()
            request = Request(cause=cause, run_key=run, by=by, day=day).entry(at=datetime.now(UTC), variant=variant)
            added = self._ledger.append(request)
            return self._claim(variant, cause, day, request.id, resumed=not added)

    def resumable(self, variant: str, run_prefix: str) -> str | None:
        """The cause of the newest claim, where it may be brought to its end: its run failed, or it was such a run and
        a kill came between."""
        claims = self._ledger.entries([Kind.REQUEST], variant=variant)
        if not claims:
            return None
        newest, ends = claims[-1], self._ends(variant, claims[-1].id)
        mine = str(newest.data["run_key"]).startswith(run_prefix) and not ends
        return str(newest.data["cause"]) if mine or self._failed(variant, newest.id) else None

    def under_way(self, variant: str) -> bool:
        """Whether the newest claim has not ended."""
        claims = self._ledger.entries([Kind.REQUEST], variant=variant)
        return bool(claims) and not self._ends(variant, claims[-1].id)

    def _ends(self, variant: str, request: str) -> list[Finished]:
        entries = self._ledger.entries([Kind.FINISHED], variant=variant)
        return [end for end in map(Finished.of, entries) if end.request == request]

    def _failed(self, variant: str, request: str) -> bool:
        ends = self._ends(variant, request)
        return bool(ends) and all(end.outcome == "failed" for end in ends)

    def approve(self, variant: str, by: str, why: str = "", *, granted: bool = True) -> str:
        """Records a person's yes or no to the newest verdict; returns its id. GateRefused where nothing is asked."""
        found = self.verdict(variant)
        gone = found is not None and (self.requests(variant, found[0]) or self._retracted(variant, found[0]))
        if found is None or gone or not _may_be_answered(found[1]):
            said = found[1].sentence if found else "There is no verdict yet."
            raise GateRefused(
                f"variant {variant!r} has no verdict to approve: {said}",
                expected="a verdict `propose`, or one that was answered and not acted on",
                next_step="`twohands shift` shows what it waits for",
            )
        fact = Approval(verdict=found[0], by=by, why=why, granted=granted)
        self._ledger.append(fact.entry(at=datetime.now(UTC), variant=variant))
        return found[0]

    def _claim(self, variant: str, cause: str, day: str, request: str, *, resumed: bool) -> Claim:
        entry = self._ledger.get(cause)
        evidence = entry.data.get("evidence", {}) if entry else {}
        contract = self._store.contract(variant)
        last = date.fromisoformat(day)
        first = contract.first_day if contract else last
        if evidence.get("fired") and evidence.get("changed"):
            first = date.fromisoformat(evidence["changed"])
        elif (evidence.get("tainted") or {}).get("first_day"):  # what the tainted adapter was made of, and since
            first = min(first, date.fromisoformat(evidence["tainted"]["first_day"]))
        return Claim(request, cause, variant, min(first, last), last, resumed)

    def verdict(self, variant: str) -> tuple[str, Decided] | None:
        """The newest verdict, with its id."""
        entries = self._ledger.entries([Kind.VERDICT], variant=variant)
        return (entries[-1].id, Decided.of(entries[-1])) if entries else None

    def requests(self, variant: str, cause: str) -> list[Entry]:
        """The request that a verdict or an override led to, if any."""
        return [e for e in self._ledger.entries([Kind.REQUEST], variant=variant) if e.data.get("cause") == cause]

    def consumed(self, variant: str) -> date | None:
        """The last day of evidence that was acted on."""
        days = [Request.of(entry).day for entry in self._ledger.entries([Kind.REQUEST], variant=variant)]
        return max(map(date.fromisoformat, days), default=None)

    def finish(self, claim: Claim, run: str, outcome: Outcome, detail: str = "", *, released: bool = False) -> None:
        """Records how a run of a request ended. One that failed may end again: each try of a run has its own entry."""
        ends = self._ends(claim.variant, claim.request)
        if any(end.outcome != "failed" for end in ends):
            return
        tries = sum(end.run.split(_TRY)[0] == run for end in ends)
        name = f"{run}{_TRY}{tries + 1}" if tries else run
        fact = Finished(request=claim.request, run=name, outcome=outcome, detail=detail, released=released)
        self._ledger.append(fact.entry(at=datetime.now(UTC), variant=claim.variant))

    def note_failed(self, variant: str, request: str, run: str, detail: str) -> None:
        """Records that the run of a request died without recording it itself."""
        fact = Finished(request=request, run=run, outcome="failed", detail=detail)
        self._ledger.append(fact.entry(at=datetime.now(UTC), variant=variant))


def _may_be_answered(verdict: Decided) -> bool:
    """A proposal, a fine-tune, and what a person refused: they may change their mind."""
    gates = {gate["name"]: gate["measured"] for gate in verdict.evidence.get("gates", ())}
    refused = verdict.action == Action.BLOCKED and gates.get("approval") == "denied"
    return refused or verdict.action in (Action.PROPOSE, Action.FINETUNE)
