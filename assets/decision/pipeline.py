"""The decision: from daily counts to evidence, from evidence to a verdict, from a verdict to one request.

    observe   the as-of snapshot, read through the contract in force      -> an evidence record
    judge     the newest record, the ledger and the rules                 -> a verdict in the ledger
    begin     whoever claims the verdict's fine-tune first has it         -> a request in the ledger (acting.py)

Everything is added and nothing changed. The assets, the sensor and the command line call the same methods, and a kill
between any two of them leaves something that the next call goes on from.

day d is closed     `close_after_days` after it; only closed days are read
a contract          is frozen from the first closed days of a release; anew when the release, the settings or the
                    horizon end. It is never touched by a correction
a correction        of a closed day that was read is a restatement: the whole history is read again, and the threshold
                    rises (config.restated)
an acted verdict    is consumed: days are monitored from the day after its last day on
the clock goes back the newest day that was read stays
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute

from assets.behavior.pipeline import BUILT
from assets.decision import baselines
from assets.decision.acting import Claim, Finetunes, locked
from assets.decision.baselines import Contract
from assets.decision.budget import Money
from assets.decision.config import ShiftConfig
from assets.decision.counts import EMPTY, BadCounts, DailyCounts, from_table
from assets.decision.judging import Measured, situation, with_taint
from assets.decision.ledger import Decided, Entry, Kind, Override, Retraction
from assets.decision.policy import Action, Rules, Situation, Verdict, decide
from assets.decision.reading import Watch, day_after, read, same_watch
from assets.decision.store import Record, Store
from assets.decision.tainted import Tainting, Untainted
from assets.errors import EngineBusy
from assets.fingerprints import digest
from assets.ports import Lake, Ledger

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them
HARM = frozenset({"fail", "schema_bad"})  # what a new release may not do more often than the former one
_TRIES = 3
_JUDGED = "decision/judged"  # the stamp of the newest verdict, noted as its last act
_OPEN = (Action.FINETUNE, Action.PROPOSE, Action.BLOCKED)
_ANSWERS = (Kind.APPROVAL, Kind.OVERRIDE, Kind.REQUEST, Kind.FINISHED)  # after which a verdict may be another
_SHARED = (Kind.REQUEST, Kind.FINISHED)  # those that another variant's may be other after, too: there is one budget
_AGAIN = "~"  # and a number: a verdict that was said before, and unsaid since


@dataclass(frozen=True, slots=True)
class Release:
    """What answers: its name, and since when; None for as long as there are logs."""

    name: str = "base"
    since: date | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A verdict as it stands in the ledger: its entry's id, the record that it was made of, what it retracted."""

    id: str
    record: Record | None
    verdict: Verdict
    retracted: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """A verdict of the past."""

    id: str
    day: str
    action: str
    sentence: str
    retracted: str


class Decision:
    """All that is decided, over injected engines.

    `config` and `rules` give a variant's settings, `measured` what the warehouse says of it (judging.Measured),
    `release` what answers now, `tainting` what it was trained on and does not stand any more, `today` the clock's day
    (UTC).
    """

    def __init__(
        self,
        *,
        lake: Lake,
        ledger: Ledger,
        variants: Sequence[str],
        config: Callable[[str], ShiftConfig],
        rules: Callable[[str], Rules],
        measured: Measured,
        release: Callable[[str], Release] = lambda _: Release(),
        tainting: Tainting | None = None,
        close_after_days: int = 3,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        self.lake, self.ledger, self.store = lake, ledger, Store(lake)
        self._money = Money(ledger, variants, rules, today)
        self.finetunes = Finetunes(lake, ledger, self.store, self._money.over)
        self.variants, self.config, self.rules = tuple(variants), config, rules
        self._measured, self._release, self._today, self._closing = measured, release, today, close_after_days
        self._tainting = tainting or Untainted()

    # ------------------------------------------------------------------------------------------------ observing

    def snapshot(self, variant: str) -> DailyCounts:
        """Counts of the closed days of a variant."""
        last, latest = self.closed(), self.store.latest(variant)
        last = max(last, latest.day) if latest else last
        for _ in range(_TRIES):
            stamp = self.lake.read_text(BUILT)
            found = [_of(table, variant) for table in self._daily(last)]
            if self.lake.read_text(BUILT) == stamp:
                return from_table(pa.concat_tables(found)) if found else EMPTY
        raise EngineBusy(
            "The daily counts changed while they were read",
            expected="a moment in which no day is rebuilt",
            next_step="wait for the backfill to end, and run this again",
        )

    def closed(self) -> date:
        """The newest closed day."""
        return self._today() - timedelta(days=self._closing)

    def _daily(self, last: date) -> Iterator[pa.Table]:
        for name in self.lake.names("behavior/daily"):
            if date.fromisoformat(name.split("/")[2].removeprefix("day=")) <= last:
                table = self.lake.read(name)
                if table is not None:
                    yield table

    def overdue(self, variant: str) -> str:
        """The stamp of what the newest verdict has not seen; empty where it has seen all."""
        stamp = self.stamp(variant)
        return "" if self.lake.read_text(f"{_JUDGED}/{variant}") == stamp else stamp

    def stamp(self, variant: str) -> str:
        """Changes whenever an observation might: cheap, for sensors."""
        return digest(
            [
                self.lake.read_text(BUILT) or "",
                str(self.closed()),
                self.config(variant).digest,
                repr(self.rules(variant)),
                repr(self._release(variant)),
                self._tainting.stamp(variant),
                *(e.id for e in self.ledger.entries(_ANSWERS) if e.variant == variant or e.kind in _SHARED),
            ]
        )

    def observe(self, variant: str) -> Record | None:
        """The evidence of the newest snapshot; None while the reference is still being learnt.

        The record of an equal snapshot, contract and settings is found again and not made anew.
        """
        with locked(self.lake, variant):
            return self._observe(variant, self.snapshot(variant))

    def _observe(self, variant: str, counts: DailyCounts) -> Record | None:
        watch, latest = self._watch(variant, counts), self.store.latest(variant)
        if watch is None:
            return None
        record = read(variant, self._release(variant).name, counts, watch, latest)
        if latest is not None and latest.key == record.key:
            return latest
        self.store.add(record)
        return record

    def _watch(self, variant: str, counts: DailyCounts) -> Watch | None:
        """What the counts are compared with, and from which day on; freezes a contract when one is due. None while
        there is none, or nothing to compare with it."""
        if not counts.days:
            return None
        config, release = self.config(variant), self._release(variant)
        contract = self.store.contract(variant)
        acted = self.finetunes.consumed(variant)
        if contract is None or contract.release != release.name:
            first = max(release.since or counts.first_day, counts.first_day)
            fresh = self._frozen(variant, counts, first, release.name, config)
            if fresh is None and contract is not None and release.since:  # seen through the former one meanwhile
                return Watch(contract, max(release.since, day_after(contract, acted)), config, HARM)
            contract = fresh
        elif contract.config != config.digest:
            contract = self._frozen(variant, counts, contract.first_day, release.name, config)
        if contract is None:
            return None
        since = day_after(contract, acted)
        while (counts.last_day - since).days >= config.horizon_days and not self._stands(variant, contract, since):
            over = since + timedelta(days=config.horizon_days - config.reference_days)
            contract = self._frozen(variant, counts, over, release.name, config) or contract
            since = day_after(contract, acted)
        return Watch(contract, since, config)

    def _stands(self, variant: str, contract: Contract, since: date) -> bool:
        """Whether a shift was shown under this contract and waits to be acted on: the end of the horizon, and another
        reference, would make the shifted days what is usual."""
        latest = self.store.latest(variant)
        return latest is not None and same_watch(latest, contract, since) and latest.fired is not None

    def _frozen(
        self, variant: str, counts: DailyCounts, first: date, release: str, config: ShiftConfig
    ) -> Contract | None:
        """A contract of the reference days from `first` on, put in force; None where they are not all closed."""
        if not counts.days or (counts.last_day - first).days + 1 < config.reference_days:
            return None
        days = counts.between(first, first + timedelta(days=config.reference_days - 1))
        contract = baselines.freeze(days, config, variant=variant, release=release)
        self.store.add_contract(contract)
        return contract

    def refreeze(self, variant: str, why: str, by: str) -> Contract:
        """Freezes the newest closed days as what is usual, because a person says so (an override in the ledger)."""
        with locked(self.lake, variant):
            counts, config = self.snapshot(variant), self.config(variant)
            first = counts.last_day - timedelta(days=config.reference_days - 1)
            days = counts.between(first, counts.last_day) if counts.days >= config.reference_days else counts
            contract = baselines.freeze(days, config, variant=variant, release=self._release(variant).name)
            self.ledger.append(
                Override(request_key=f"freeze:{contract.digest[:16]}", by=by, why=why).entry(
                    at=datetime.now(UTC), variant=variant
                )
            )
            self.store.add_contract(contract)
            return contract

    # ------------------------------------------------------------------------------------------------ judging

    def judge(self, variant: str) -> Made:
        """The verdict on the newest snapshot, in the ledger; an equal one is found again.

        A verdict that asked for money, was not acted on and does not hold on the corrected history is retracted.
        """
        with locked(self.lake, variant):
            tainted = self._tainting.of(variant)  # it notes what it saw, which the stamp is of
            stamp = self.stamp(variant)
            counts, rules, config = self.snapshot(variant), self.rules(variant), self.config(variant)
            record = self._observe(variant, counts)
            contract = self.store.contract(variant)
            entries = self.ledger.entries(variant=variant)
            month = self._money.month(variant)
            now = situation(variant, record, counts, contract, config, entries, self._measured, month)
            now = with_taint(now, tainted, entries, rules.max_tainted_share)
            verdict = decide(now, rules)
            fact = Decided(
                evidence_key=_key(record, now, rules),
                action=str(verdict.action),
                sentence=verdict.sentence,
                reasons=tuple(f"{gate.name}: {gate.measured} ({gate.required})" for gate in verdict.reasons),
                evidence={
                    **verdict.evidence,
                    "day": now.day.isoformat() if counts.days else "",
                    "gates": _gates(verdict),
                },
                cost=verdict.cost,
            )
            fact = _again(fact, [entry for entry in entries if entry.kind is Kind.VERDICT], variant)
            taken_back = self._retract(variant, fact, record, now.fired)
            self.ledger.append(fact.entry(at=datetime.now(UTC), variant=variant))
            self.lake.write_text(f"{_JUDGED}/{variant}", stamp)
            return Made(fact.id(variant), record, verdict, taken_back)

    def _retract(self, variant: str, fact: Decided, record: Record | None, fired: date | None) -> str:
        former = self.finetunes.verdict(variant)
        if former is None or former[0] == fact.id(variant) or fired is not None:
            return ""
        id, said = former
        if said.action not in _OPEN or not said.evidence.get("fired") or self.finetunes.requests(variant, id):
            return ""
        if record is not None and date.fromisoformat(said.evidence["fired"]) < record.since:
            return ""  # it was consumed
        why = fact.sentence
        self.ledger.append(Retraction(verdict=id, why=why).entry(at=datetime.now(UTC), variant=variant))
        return id

    # ------------------------------------------------------------------------------------------------ looking

    def history(self, variant: str, limit: int = 30) -> list[Said]:
        """Verdicts, newest first, each with why it was retracted, if it was."""
        entries = self.ledger.entries([Kind.VERDICT, Kind.RETRACTION], variant=variant)
        why = {e.data["verdict"]: str(e.data["why"]) for e in entries if e.kind is Kind.RETRACTION}
        said = [
            Said(
                e.id,
                str(e.data["evidence"].get("day") or "no closed day"),
                e.data["action"],
                e.data["sentence"],
                why.get(e.id, ""),
            )
            for e in entries
            if e.kind is Kind.VERDICT
        ]
        return said[::-1][:limit]

    def force(self, variant: str, why: str, by: str, run: str) -> Claim:
        """A fine-tune that no verdict asks for: recorded as an override, and claimed. BadCounts before the first closed
        day: there is nothing to train on."""
        counts = self.snapshot(variant)
        if not counts.days:
            raise BadCounts(
                f"variant {variant!r} has no closed day up to {self.closed()}",
                expected="days of interactions that are built and closed (behavior.close_after_days)",
                next_step="land logs, build their days (`twohands backfill --days A..B`), and run this again",
            )
        return self.finetunes.override(variant, counts.last_day, why, by, run)


def _key(record: Record | None, now: Situation, rules: Rules) -> str:
    """What a verdict was made from: the record, and rows that ask for a fine-tune without one."""
    key = record.key if record else f"none:{now.day}:{now.learning}"
    asks = now.tainted.asks(rules.max_tainted_share)
    return f"{key}+{now.tainted.adapter}:{now.tainted.touched}" if asks else key


def _of(table: pa.Table, variant: str) -> pa.Table:
    return table.filter(pc.equal(table["variant"], variant))


def _again(fact: Decided, said: Sequence[Entry], variant: str) -> Decided:
    """The fact, under a key that makes it the newest verdict: what money, examples, a person or a correction brought
    back is said again, or the verdict in between would still stand."""
    if said and said[-1].data["action"] == fact.action:
        newest = str(said[-1].data["evidence_key"])
        if newest.split(_AGAIN)[0] == fact.evidence_key:
            return replace(fact, evidence_key=newest)
    known, number, one = {entry.id for entry in said}, 1, fact
    while one.id(variant) in known:
        number += 1
        one = replace(fact, evidence_key=f"{fact.evidence_key}{_AGAIN}{number}")
    return one


def _gates(verdict: Verdict) -> list[dict[str, Any]]:
    return [
        {"name": gate.name, "passed": gate.passed, "measured": gate.measured, "required": gate.required}
        for gate in verdict.reasons
    ]
