"""From evidence to a verdict. The policy can only suppress: by itself it never starts what the sequential test has not
shown.

The first row that fits decides. "may" is what a person's approval turns into `finetune`. What other
fine-tunes that have not ended are expected to cost counts as spent (budget.py). "tainted" is: more than
`max_tainted_share` of the rows that the released adapter was trained on were corrected, deleted or erased since, and
no person said no to a fine-tune for that.

contract  fired  what else holds                                                       action
no        yes    a new release fails more than the former one's contract allows        rollback_suggested
-         no     tainted, and the run of the last fine-tune failed                     blocked
-         no     tainted, and a fine-tune was requested and has not ended              blocked
-         no     tainted, and it would exceed the month's money or GPU hours           blocked
-         no     tainted                                                               propose (may)
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

from collections.abc import Iterator
from datetime import timedelta

from assets.decision.budget import affordable, claimed, in_hours, over_budget
from assets.decision.config import LABELED_EVENTS
from assets.decision.situation import Action, Deploy, Gate, Rules, Situation, Verdict

__all__ = ["Action", "Deploy", "Gate", "Rules", "Situation", "Verdict", "decide", "gain", "knowledge_rose"]


KNOWLEDGE_ERRORS, KNOWLEDGE_RISE = 3.0, 0.03  # a rise counts from here on: standard errors, and points


def decide(now: Situation, rules: Rules) -> Verdict:
    """The verdict of a situation, by the table above."""
    gates = tuple(_gates(now, rules))
    action, sentence = next(_rows(now, rules))
    if now.tainted.erased and now.tainted.known() not in sentence:
        sentence += f" The released adapter does not forget by itself: {now.tainted.known()}."
    evidence = {
        "M": now.evidence,
        "highest": now.highest,
        "threshold": now.threshold,
        "restatements": now.restatements,
        "fired": now.fired.isoformat() if now.fired else None,
        "changed": now.changed.isoformat() if now.changed else None,
        "shares": dict(now.shares),
        "tainted": now.tainted.facts() if now.tainted.adapter else None,
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
    if not now.fired and now.tainted.asks(rules.max_tainted_share):
        yield from _tainted(now, rules)
    if now.learning:
        days = now.reference_days - now.learning
        yield Action.WAIT, f"Learning what is usual: {days} of {now.reference_days} reference days are closed."
    if now.failed:
        yield Action.BLOCKED, _failed(now)
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


def _tainted(now: Situation, rules: Rules) -> Iterator[tuple[Action, str]]:
    """The rows of an adapter whose rows do not stand any more: no evidence is needed, but a person is."""
    said, money = now.tainted.sentence(), rules.currency
    if now.failed:
        yield Action.BLOCKED, _failed(now)
    if now.pending:
        yield Action.BLOCKED, f"{said}, and a fine-tune was requested and has not ended."
    if why := over_budget(now, rules):
        yield Action.BLOCKED, f"{said}, {why}."
    limit, cost = f"more than {rules.max_tainted_share:.1%}", f"about {rules.cost:.2f} {money}"
    if now.tainted.answer == "approved":
        yield Action.FINETUNE, f"{said}, {limit}, and a person approved: fine-tune without them, for {cost}."
    released = "" if now.last_released else " The last fine-tune of this release was not released: find out why first."
    yield (
        Action.PROPOSE,
        f"{said}, {limit}: approve a fine-tune without them, for {cost} (`twohands taint` shows which).{released}",
    )


def _failed(now: Situation) -> str:
    return (
        f"The fine-tune of the evidence up to {now.last_finetune} failed ({now.failed}): run it again "
        "(re-execute its run, or `twohands finetune`)."
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
    why = over_budget(now, rules)
    yield bool(why), Action.BLOCKED, why
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
    if now.tainted.adapter:
        share = f"{now.tainted.share:.1%} of {now.tainted.rows:,} rows ({now.tainted.reasons})"
        told = f"{share}, {now.tainted.answer}" if now.tainted.answer else share
        yield Gate(
            "still_stands",
            now.tainted.share <= rules.max_tainted_share,
            told,
            f"<= {rules.max_tainted_share:.1%} of what the released adapter was trained on was touched since",
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
        affordable(now, rules),
        f"{now.spent:.2f}{claimed(now.claimed)} + {rules.cost:.2f} {rules.currency}",
        f"<= {rules.per_month:.2f} {rules.currency} a month",
    )
    if rules.gpu_hours_per_month is not None:
        yield Gate(
            "gpu_hours",
            in_hours(now, rules),
            f"{now.gpu_hours:.2f}{claimed(now.claimed_hours)} + {rules.finetune_hours:g} h",
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
