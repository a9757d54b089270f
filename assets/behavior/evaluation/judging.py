"""The judge's part in an evaluation: which answers it is shown, and what the report says of it. It decides nothing, and
whatever it does, the evaluation is kept: the models' answers cost more than its word.

the judge                                                          outcome        of the pairs is said
agrees with its anchors, and gives a verdict on every pair         judged         whose answers it prefers, how surely
agrees with too few anchors, or is another than was pinned         not trusted    nothing: its word is not asked for
is not there, refuses, is too slow, or what it says is no verdict  failed         nothing, and how to ask it again
has no answers of the manner to compare                            not asked      nothing
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from assets.behavior.evaluation.comparing import Comparison
from assets.behavior.evaluation.items import Kind
from assets.behavior.evaluation.judge import Judge, JudgeChanged, Judged, Pair
from assets.behavior.evaluation.paired import RESAMPLES
from assets.errors import Final, TwohandsError
from assets.ports import Progress

PAIRS = 500  # at most: a judge is asked about each of them twice, one after the other
AGAIN = (
    "ask it again with `twohands evaluate --again` (run config: again)"  # the same trial would be found, and not made
)
_NO_VERDICTS = (TwohandsError, ValueError, RecursionError)  # the last two: of replies that nobody foresaw


class Outcome(StrEnum):
    """What came of asking the judge; see the table above."""

    JUDGED = "judged"
    NOT_TRUSTED = "not trusted"
    FAILED = "failed"
    NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True)
class Opinion:
    """What came of it, in a sentence; the judge's pinned model and its pin; what it said of the pairs, where it was
    trusted to. `agreement` is the share of its anchors that it agreed with, None where that is not known; `next_step`:
    what to do where it said nothing."""

    outcome: Outcome
    sentence: str
    model: str
    pin: str
    agreement: float | None = None
    judged: Judged | None = None
    next_step: str = ""


def pairs(comparison: Comparison, but: Collection[str] = (), most: int = PAIRS) -> list[Pair]:
    """The answers of both models to the items of the manner, by id, without those whose ids are in `but`: of more than
    `most`, that many, evenly drawn."""
    sides = zip(comparison.items, comparison.before.answers, comparison.after.answers, strict=True)
    found = [
        Pair(item.id, item.question, before.text, after.text, item.group)
        for item, before, after in sides
        if item.kind is Kind.BEHAVIOR and item.id not in but
    ]
    found.sort(key=lambda pair: pair.id)
    return found if len(found) <= most else [found[n * len(found) // most] for n in range(most)]


def asked(
    judge: Judge, shown: Sequence[Pair], *, seed: int = 0, resamples: int = RESAMPLES, progress: Progress | None = None
) -> Opinion:
    """What the judge says of these pairs. Never an error of the judge's: that is an opinion too."""
    model, pin = judge.model, judge.pin
    if not shown:
        return Opinion(Outcome.NOT_ASKED, "There are no answers of the manner to compare.", model, pin)
    told = None if progress is None else lambda done, of: progress("judging", done, of)
    try:
        judged = judge.judge(shown, seed, told, resamples)
    except JudgeChanged as error:
        sentence = f"Not to be trusted, and nothing was judged: {_problem(error)}"
        return Opinion(Outcome.NOT_TRUSTED, sentence, model, pin, error.agreement, next_step=error.next_step)
    except _NO_VERDICTS as error:
        mend = f"{error.next_step}; then " if isinstance(error, Final) else "when it answers, "
        return Opinion(Outcome.FAILED, f"No verdict: {_problem(error)}", model, pin, next_step=mend + AGAIN)
    return Opinion(Outcome.JUDGED, _preferred(judged), model, pin, agreement=judged.agreement, judged=judged)


def _problem(error: Exception) -> str:
    if not isinstance(error, TwohandsError):
        return f"{type(error).__name__}: {error}."
    return f"{error.problem}. Expected: {error.expected}." if error.expected else f"{error.problem}."


def _preferred(judged: Judged) -> str:
    one = judged.preference
    whose = "neither model's answers"
    if one.low > 0:
        whose = "the candidate's answers"
    elif one.high < 0:
        whose = "the answers of before"
    return f"The judge prefers {whose}: {judged.wins} wins, {judged.ties} ties, {judged.losses} losses."


def rows(opinion: Opinion) -> list[tuple[str, str]]:
    """Every number of it, as it is shown to a person."""
    found = [("outcome", str(opinion.outcome)), ("model", opinion.model), ("pin", opinion.pin)]
    if opinion.agreement is not None:
        found.append(("agrees with anchors", f"{opinion.agreement:.1%}"))
    if judged := opinion.judged:
        one = judged.preference
        found += [
            ("pairs", str(one.items)),
            ("wins, ties, losses", f"{judged.wins}, {judged.ties}, {judged.losses}"),
            ("wins less losses", f"{100 * one.mean:+.1f} points"),
            ("95% interval", f"{100 * one.low:+.1f} to {100 * one.high:+.1f}"),
            ("contradicts itself", f"{judged.contradicted:.1%}"),
        ]
    if opinion.next_step:
        found.append(("next step", opinion.next_step))
    return found


def record(opinion: Opinion) -> dict[str, Any]:
    """For JSON; no NaN, no texts of items, and no key."""
    row: dict[str, Any] = {
        "outcome": str(opinion.outcome),
        "sentence": opinion.sentence,
        "model": opinion.model,
        "pin": opinion.pin,
        "agreement": opinion.agreement,
        "next_step": opinion.next_step,
    }
    if judged := opinion.judged:
        preference = {name: one if math.isfinite(one) else None for name, one in asdict(judged.preference).items()}
        row |= {"wins": judged.wins, "ties": judged.ties, "losses": judged.losses}
        row |= {"contradicted": judged.contradicted, "preference": preference}
    return row
