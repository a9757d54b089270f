"""From evidence to a verdict. The policy can only suppress: it never starts what the sequential test has not shown.

The first row that fits decides. "may" is what a person's approval turns into `finetune`.

contract  fired  what else holds                                                       action
no        yes    a new release fails more than the former one's contract allows        rollback_suggested
no        no     the reference is still being learnt                                   wait
yes       -      the run of the last fine-tune failed                                  blocked
yes       no     knowledge failures have risen                                         fix_corpus
yes       no     they have not                                                         wait
yes       yes    the change began when another release or prompt was deployed          rollback_suggested
yes       yes    a fine-tune was requested and has not ended                           blocked
yes       yes    the last fine-tune is less than `cool_down_days` old                  wait
yes       yes    fewer than `min_examples` corrected examples since the change         wait
yes       yes    this fine-tune would exceed the month's money or GPU hours            blocked
yes       yes    a person said no to this change                                       blocked
yes       yes    it would cost more than it brings within `payback_days`               propose (may)
yes       yes    labels moved, and events that see only labelled rows carry it         propose (may)
yes       yes    the last fine-tune of this release was not released                   propose (may)
yes       yes    `require_approval`                                                    propose (may)
yes       yes    nothing of that                                                       finetune

A verdict that was acted on is consumed: evidence begins anew on the day after its last day (pipeline.py), so the same
evidence cannot fire twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from assets.decision.config import LABELED_EVENTS


class Action(StrEnum):
    """What a verdict asks for."""

    WAIT = "wait"
    PROPOSE = "propose"
    FINETUNE = "finetune"
    ROLLBACK = "rollback_suggested"
    FIX_CORPUS = "fix_corpus"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the deployment decides. Money is in `currency`; `finetune_hours` is the GPU time that one is expected to
    take, `value_per_failure` what one avoided failure is worth, `payback_days` how long it may take to pay off."""

    min_examples: int = 200
    cool_down_days: int = 7
    require_approval: bool = False
    currency: str = "EUR"
    per_month: float = 500.0
    per_gpu_hour: float = 4.0
    gpu_hours_per_month: float | None = None
    finetune_hours: float = 1.0
    value_per_failure: float = 0.5
    payback_days: int = 90

    @property
    def cost(self) -> float:
        """What one fine-tune is expected to cost."""
        return self.finetune_hours * self.per_gpu_hour


@dataclass(frozen=True, slots=True)
class Deploy:
    """Another release began to answer."""

    day: date
    release: str
    former: str


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a verdict is made of.

    `evidence` is M of the newest day and `highest` the most that it was; `fired` the first day on which it reached the
    threshold (of this restatement). `examples` are corrected ones since `changed`; `excess` is by how much the share
    of failures among all interactions rose since then, `traffic` interactions a day. `knowledge` holds the rate of
    knowledge failures in the reference and in the last 14 days, and how many standard errors apart they are.
    """

    day: date
    learning: int = 0  # reference days that are still missing
    reference_days: int = 28
    evidence: float = 0.0
    highest: float = 0.0
    threshold: float = 7300.0
    restatements: int = 0
    fired: date | None = None
    changed: date | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    labels_moved: bool = False
    examples: int = 0
    excess: float = 0.0
    traffic: float = 0.0
    knowledge: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deploy: Deploy | None = None
    pending: bool = False
    failed: str = ""  # why the last fine-tune's run failed, if it did
    last_finetune: date | None = None
    last_released: bool = True
    spent: float = 0.0
    gpu_hours: float = 0.0
    approval: str = ""  # "approved", "denied" or nothing


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition: what was measured, what was required, whether it holds."""

    name: str
    passed: bool
    measured: str
    required: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, in one word and one sentence, with every gate's value, the evidence and what it would cost."""

    action: Action
    sentence: str
    reasons: tuple[Gate, ...]
    evidence: Mapping[str, Any]
    cost: Mapping[str, float]


KNOWLEDGE_ERRORS, KNOWLEDGE_RISE = 3.0, 0.03  # a rise counts from here on: standard errors, and points


def decide(now: Situation, rules: Rules) -> Verdict:
    """The verdict of a situation, by the table above."""
    gates = tuple(_gates(now, rules))
    action, sentence = next(_rows(now, rules))
    evidence = {
        "M": now.evidence,
        "highest": now.highest,
        "threshold": now.threshold,
        "restatements": now.restatements,
        "fired": now.fired.isoformat() if now.fired else None,
        "changed": now.changed.isoformat() if now.changed else None,
        "shares": dict(now.shares),
    }
    cost = {"finetune": rules.cost, "hours": rules.finetune_hours, "gain_a_day": gain(now, rules), "spent": now.spent}
    return Verdict(action, sentence, gates, evidence, cost)


def gain(now: Situation, rules: Rules) -> float:
    """What undoing the shift would be worth a day: excess failures x traffic x value."""
    return max(now.excess, 0.0) * now.traffic * rules.value_per_failure


def knowledge_rose(now: Situation) -> bool:
    """Whether knowledge failures are well above the reference: facts that the index lacks."""
    before, after, errors = now.knowledge
    return errors >= KNOWLEDGE_ERRORS and after - before >= KNOWLEDGE_RISE


def labels_carry(now: Situation) -> bool:
    """Whether most of the evidence comes from events that see labelled rows only."""
    return sum(share for event, share in now.shares.items() if event in LABELED_EVENTS) > 0.5


def _rows(now: Situation, rules: Rules) -> Iterator[tuple[Action, str]]:
    """The table, from the top: every row that fits."""
    seen = _seen(now)
    before, after, _ = now.knowledge
    if now.learning and now.fired and now.deploy:
        yield (
            Action.ROLLBACK,
            f"Release {now.deploy.release} fails more often than {now.deploy.former} did ({seen}): roll back first.",
        )
    if now.learning:
        days = now.reference_days - now.learning
        yield Action.WAIT, f"Learning what is usual: {days} of {now.reference_days} reference days are closed."
    if now.failed:
        yield (
            Action.BLOCKED,
            f"The fine-tune of the evidence up to {now.last_finetune} failed ({now.failed}): run it again "
            "(re-execute its run, or `twohands finetune`).",
        )
    if not now.fired and knowledge_rose(now):
        yield (
            Action.FIX_CORPUS,
            f"Knowledge failures rose from {before:.1%} to {after:.1%} of labelled answers, and behavior has not "
            f"shifted ({seen}): fix the corpus (`twohands gaps`).",
        )
    if not now.fired:
        yield Action.WAIT, f"No shift of behavior is shown: {seen}."
    began = f"Behavior shifted around {now.changed or now.fired} ({seen})"
    for refused, action, why in _suppressed(now, rules):
        if refused:
            yield action, f"{began}, {why}."
    yield (
        Action.FINETUNE,
        f"{began}; {now.examples} corrected examples, about {rules.cost:.2f} {rules.currency} to spend, "
        f"{gain(now, rules):.2f} {rules.currency} a day to win: fine-tune.",
    )


def _suppressed(now: Situation, rules: Rules) -> Iterator[tuple[bool, Action, str]]:
    """What may stand against a fine-tune, in the table's order: (does it, what then, why)."""
    money = rules.currency
    until = now.last_finetune + timedelta(days=rules.cool_down_days) if now.last_finetune else None
    yield (
        now.deploy is not None,
        Action.ROLLBACK,
        f"when release {now.deploy.release} took over from {now.deploy.former}: roll back first" if now.deploy else "",
    )
    yield now.pending, Action.BLOCKED, "and a fine-tune was requested and has not ended"
    yield until is not None and now.day < until, Action.WAIT, f"and the last fine-tune cools down until {until}"
    yield (
        now.examples < rules.min_examples,
        Action.WAIT,
        f"and {now.examples} of {rules.min_examples} corrected examples are there since then",
    )
    yield (
        now.spent + rules.cost > rules.per_month,
        Action.BLOCKED,
        f"and {rules.cost:.2f} {money} more would exceed the month's budget ({now.spent:.2f} of "
        f"{rules.per_month:.2f} {money} are spent)",
    )
    hours = rules.gpu_hours_per_month
    yield (
        hours is not None and now.gpu_hours + rules.finetune_hours > hours,
        Action.BLOCKED,
        f"and {rules.finetune_hours:g} more GPU hours would exceed the month's {hours} ({now.gpu_hours:.2f} are used)",
    )
    yield now.approval == "denied", Action.BLOCKED, "and a person decided against a fine-tune"
    if now.approval == "approved":
        return
    worth = gain(now, rules) * rules.payback_days
    yield (
        worth < rules.cost,
        Action.PROPOSE,
        f"and a fine-tune for {rules.cost:.2f} {money} would bring {worth:.2f} {money} in {rules.payback_days} days: "
        "approve it if it is worth more to you",
    )
    yield (
        now.labels_moved and labels_carry(now),
        Action.PROPOSE,
        "and so did the share of answers that get a label, so what is labelled may have changed and not the answers: "
        "look at some, then approve",
    )
    yield (
        not now.last_released,
        Action.PROPOSE,
        "and the last fine-tune of this release was not released: find out why, then approve",
    )
    yield rules.require_approval, Action.PROPOSE, "and fine-tunes need approval here (`twohands approve`)"


def _seen(now: Situation) -> str:
    ratio = now.highest / now.threshold if now.threshold else 0.0
    text = f"evidence {_number(now.highest)} of the {_number(now.threshold)} needed, {ratio:.1%}"
    if ratio > 10:
        text = f"evidence {_number(now.highest)}, {_number(now.threshold)} needed"
    revised = f", closed days were corrected {_times(now.restatements)}" if now.restatements else ""
    if now.last_finetune and not now.fired:
        revised += f", counted anew after the fine-tune of {now.last_finetune}"
    main = max(now.shares, key=lambda event: now.shares[event], default=None)
    return f"{text}{revised}" + (f", most of it from {main!r}" if main and now.fired else "")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _number(value: float) -> str:
    return f"{value:,.0f}" if 10 <= value < 1e6 else f"{value:.3g}"


def _gates(now: Situation, rules: Rules) -> Iterator[Gate]:
    """Every condition that was looked at, with its value, whichever of them decided."""
    yield Gate("reference", not now.learning, f"{now.learning} days missing", f"{now.reference_days} closed days")
    yield Gate("evidence", now.fired is not None, _number(now.highest), f">= {_number(now.threshold)}")
    yield Gate("last_run", not now.failed, now.failed or "no failure", "the last fine-tune's run did not fail")
    before, after, _ = now.knowledge
    yield Gate(
        "knowledge", not knowledge_rose(now), f"{after:.1%}", f"about {before:.1%} of labelled answers, as usual"
    )
    if now.fired is None:
        return  # what stands against a fine-tune is looked at when there is something for it
    yield Gate(
        "no_deploy",
        now.deploy is None,
        now.deploy.release if now.deploy else "none",
        "no release began with the change",
    )
    yield Gate("not_under_way", not now.pending, "under way" if now.pending else "none", "no fine-tune under way")
    since = (now.day - now.last_finetune).days if now.last_finetune else None
    yield Gate(
        "cool_down",
        since is None or since >= rules.cool_down_days,
        "no fine-tune yet" if since is None else f"{since} days",
        f">= {rules.cool_down_days} days since the last",
    )
    yield Gate("examples", now.examples >= rules.min_examples, str(now.examples), f">= {rules.min_examples}")
    yield Gate(
        "budget",
        now.spent + rules.cost <= rules.per_month,
        f"{now.spent:.2f} + {rules.cost:.2f} {rules.currency}",
        f"<= {rules.per_month:.2f} {rules.currency} a month",
    )
    if rules.gpu_hours_per_month is not None:
        yield Gate(
            "gpu_hours",
            now.gpu_hours + rules.finetune_hours <= rules.gpu_hours_per_month,
            f"{now.gpu_hours:.2f} + {rules.finetune_hours:g} h",
            f"<= {rules.gpu_hours_per_month:g} h a month",
        )
    worth = gain(now, rules) * rules.payback_days
    yield Gate(
        "worth_it",
        worth >= rules.cost,
        f"{worth:.2f} {rules.currency} in {rules.payback_days} days",
        f">= {rules.cost:.2f} {rules.currency}",
    )
    yield Gate(
        "labels",
        not (now.labels_moved and labels_carry(now)),
        "moved" if now.labels_moved else "as usual",
        "as usual, or other events carry the evidence",
    )
    released = ("released" if now.last_released else "not released") if now.last_finetune else "no fine-tune yet"
    yield Gate("released", now.last_released, released, "the last fine-tune of this release was released")
    needed = "approved" if rules.require_approval else "not denied"
    yield Gate(
        "approval",
        now.approval == "approved" if rules.require_approval else now.approval != "denied",
        now.approval or "none",
        needed,
    )
