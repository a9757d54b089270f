"""How a claimed fine-tune ends, in the ledger. The claim stays open from the first step to the last.

what happens                                                 recorded
too few clean rows, or the gate refuses the candidate        done, not released, with the gate's sentence
the candidate is promoted                                    done, released
the gate passed it, and something else answers by now        done, not released
a step fails, or the run dies                                failed: by the sensor behavior_shifted, or the command line
a run ends that had fewer steps                              done, not released: by the sensor
a release by hand, after any of these                        done, released, on top
"""

from __future__ import annotations

from datetime import UTC, datetime

from assets.decision.ledger import Entry, Finished, Kind, Outcome, Request
from assets.ports import Ledger

DETAIL = 500  # characters


def end(
    ledger: Ledger,
    variant: str,
    run: str,
    detail: str,
    *,
    released: bool = False,
    outcome: Outcome = "done",
    attempt: str = "",
    request: str = "",
    newest: bool = False,
) -> bool:
    """Records the end of the claim that `run` made, or of `request` (its id), or (`newest`) of the newest one; False
    where there is none, or it ended already. `attempt` is the run that tells, where it is another try of `run`."""
    claims = ledger.entries([Kind.REQUEST], variant=variant)
    mine = [one for one in claims if Request.of(one).run_key == run or one.id == request] or claims[-1:] * newest
    if not mine:
        return False
    ends = ends_of(ledger, variant, mine[-1])
    well = [one for one in ends if one.outcome != "failed"]
    if well and (any(one.released for one in well) or not released):
        return False
    teller = attempt or run
    tries = sum(one.run.split("#")[0] == teller for one in ends)
    name = f"{teller}#{tries + 1}" if tries else teller
    fact = Finished(request=mine[-1].id, run=name, outcome=outcome, detail=detail[:DETAIL], released=released)
    return ledger.append(fact.entry(at=datetime.now(UTC), variant=variant))


def ends_of(ledger: Ledger, variant: str, claim: Entry) -> list[Finished]:
    """How the runs of a claim ended, the first one first."""
    entries = ledger.entries([Kind.FINISHED], variant=variant)
    return [one for one in map(Finished.of, entries) if one.request == claim.id]


def open_claim(ledger: Ledger, variant: str) -> Request | None:
    """The newest claim, where it has not ended; None where there is none."""
    claims = ledger.entries([Kind.REQUEST], variant=variant)
    return Request.of(claims[-1]) if claims and not ends_of(ledger, variant, claims[-1]) else None
