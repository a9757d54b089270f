"""From held-out items and two models to a verdict that is kept, over injected models. The graph and the command line
call it.

    manner-<hash>   the test rows of a dataset, frozen when its adapter is evaluated
    facts-<hash>    people's own questions of facts, with the passages of the day on which they were frozen

Every earlier `manner-` set is evaluated as well, as far as what it shows is still wanted (sets.py). A judge, where
there is one, is asked last and decides nothing (judging.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from assets.behavior.evaluation import gate, judging, records, sets
from assets.behavior.evaluation.comparing import compare
from assets.behavior.evaluation.items import Answer, Item
from assets.behavior.evaluation.judge import Judge
from assets.behavior.evaluation.leaks import Row, leaks
from assets.behavior.evaluation.manner import Manner, sourced
from assets.behavior.evaluation.report import Report
from assets.behavior.evaluation.sets import FrozenSet
from assets.fingerprints import digest
from assets.ports import Lake, Progress

MANNER, FACTS = "manner", "facts"
LEFT_OUT = "longer than the base reads"  # among a report's facts

Generate = Callable[[Sequence[Item]], Sequence[Answer]]  # batched: an answer for each item, in their order


@dataclass(frozen=True, slots=True)
class Model:
    """A model that answers: `name` is the id of its release, or of its adapter."""

    name: str
    generate: Generate


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation as it stands in the lake under `stored` (without ending)."""

    report: Report
    stored: str
    sets: Mapping[str, str]

    @property
    def verdict(self) -> gate.Verdict:
        """What the gate said."""
        return self.report.verdict


class Evaluations:
    """Evaluates candidates of every variant. `manner` gives what is wanted of a variant's manner, `judge` a judge or
    None; both are asked when an evaluation needs them, and not before."""

    def __init__(
        self,
        lake: Lake,
        *,
        manner: Callable[[str], Manner],
        judge: Callable[[], Judge | None] = lambda: None,
        margins: gate.Margins | None = None,
        seed: int = 0,
        resamples: int = 10_000,
    ) -> None:
        self.lake, self._manner, self._judge = lake, manner, judge
        self._margins, self._seed, self._resamples = margins or gate.Margins(), seed, resamples

    def freeze(self, variant: str, kind: str, items: Iterable[Item]) -> FrozenSet:
        """The held-out set of these items, named by what it holds; frozen once, and found again."""
        held = list(items)
        return sets.freeze(self.lake, variant, f"{kind}-{sets.set_digest(held)[:12]}", held)

    def evaluate(
        self,
        variant: str,
        candidate: Model,
        released: Model,
        *,
        current: Sequence[FrozenSet],
        trained: Sequence[Row],
        facts: Mapping[str, str] | None = None,
        fits: Callable[[Sequence[Item]], Sequence[bool]] | None = None,
        progress: Progress | None = None,
    ) -> Evaluated:
        """Both models on the `current` sets and on what still counts of earlier ones; the verdict, kept in the lake.

        `trained` are the rows that the candidate was trained on, rehearsal included: an item among them refuses it.
        Items that do not fit the base (`fits`) are not asked; the report says how many. `progress` is the judge's.
        """
        judge = self._judge()  # a wrong configuration of it is told before anything is generated
        asked, ids, digests = self._asked(variant, current)
        kept = fits(asked) if fits else [True] * len(asked)
        left_out = [item.id for item, fit in zip(asked, kept, strict=True) if not fit]
        asked = [item for item, fit in zip(asked, kept, strict=True) if fit]
        facts = dict(facts or {}) | ({LEFT_OUT: f"{len(left_out)}: {', '.join(left_out[:3])}"} if left_out else {})
        found = compare(
            asked,
            (released.name, released.generate(asked)),
            (candidate.name, candidate.generate(asked)),
            self._manner(variant),
            earlier=ids,
            seed=self._seed,
            resamples=self._resamples,
        )
        verdict = gate.judge(found.compared(leaks(asked, trained)), self._margins)
        opinion = None
        if judge is not None:
            shown = judging.pairs(found, {id for some in ids.values() for id in some})
            opinion = judging.asked(judge, shown, seed=self._seed, resamples=self._resamples, progress=progress)
        report = Report(variant, candidate.name, released.name, found, verdict, list(digests), facts, opinion)
        return Evaluated(report, records.save(self.lake, report, digests), digests)

    def sets_of(self, variant: str, current: Sequence[FrozenSet]) -> dict[str, str]:
        """The digest of every set that `evaluate` would ask, by its name."""
        return self._asked(variant, current)[2]

    def settings(self, variant: str) -> str:
        """Names all that the report rests on beside items and answers: a project's checks by name and source, the judge
        by its pin. ConfigError where one of them cannot be had."""
        manner, judge = self._manner(variant), self._judge()
        said = [manner.schema, asdict(manner.style), sourced(manner.checks), asdict(self._margins)]
        more = {"judge": judge.pin} if judge is not None else {}
        more |= {"framed": "yes"} if manner.framed else {}
        said += [self._seed, self._resamples, *([more] if more else [])]
        return digest([json.dumps(said, sort_keys=True)])[:16]

    def _asked(
        self, variant: str, current: Sequence[FrozenSet]
    ) -> tuple[list[Item], dict[str, list[str]], dict[str, str]]:
        """Every item once; the ids of those that only earlier sets hold, by set; the digests of all sets."""
        items = {item.id: item for one in current for item in one.items}
        earlier = self._earlier(variant, current, list(items.values()))
        ids: dict[str, list[str]] = {}
        for one, kept in earlier:
            fresh = [item for item in kept if item.id not in items]
            items |= {item.id: item for item in fresh}
            if fresh:
                ids[one.name] = [item.id for item in fresh]
        digests = {one.name: one.digest for one in (*current, *(one for one, _ in earlier))}
        return list(items.values()), ids, digests

    def _earlier(
        self, variant: str, current: Sequence[FrozenSet], items: Sequence[Item]
    ) -> list[tuple[FrozenSet, list[Item]]]:
        now = {one.name for one in current}
        found = []
        for name in sets.names(self.lake, variant):
            if name in now or not name.startswith(f"{MANNER}-"):
                continue
            one = sets.load(self.lake, variant, name)
            kept = sets.wanted(one.items, items) if one else []
            if one and kept:
                found.append((one, kept))
        return found
