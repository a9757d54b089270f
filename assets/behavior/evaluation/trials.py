"""A trial: an adapter on the configured base against what its variant is served from, and the gate's word on it.

The asset and the command line call it. What it comes to is kept twice: the report in the lake (records.py), and the
candidate of a release with the verdict (serving/candidates.py).

the adapter                                                    what happens
was made for another base, or for other prompts                ModelError: it answers nothing that it was made for
is what answers already                                        GateRefused: there is nothing to compare it with
was tried against what answers now, on the same sets, by the   its verdict is found; nothing is generated (`again`:
same rules, shown by the same encoder                          generated once more)
none of that                                                   both models answer every item; the gate judges
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from assets.behavior.adapter.retired import retired
from assets.behavior.adapter.store import Adapter, Adapters
from assets.behavior.dataset import store as datasets
from assets.behavior.dataset.passages import numbered, passage_of
from assets.behavior.dataset.rows import example_table
from assets.behavior.dataset.writing import Ask, Render
from assets.behavior.evaluation import reading, records, sets
from assets.behavior.evaluation.items import Answer, Item
from assets.behavior.evaluation.pipeline import FACTS, MANNER, Evaluations, Model
from assets.behavior.evaluation.sets import FrozenSet, set_digest
from assets.errors import Final, GateRefused, ModelError
from assets.ports import Progress
from assets.ports.generation import Generator
from assets.serving import candidates
from assets.serving.candidates import Candidate
from assets.serving.files import Files
from assets.serving.release import Release
from assets.serving.releases import Releases

HELD_OUT = ("test",)  # splits that no training saw
INDEX = "index"  # among a report's facts: noted, and no reason to answer again


@dataclass(frozen=True, slots=True)
class Answering:
    """What answers: the configured base by its id and files, how it is shown what it answers from, and the generator.

    `template` is the version of the prompts, `prompt` their name with it; `encoder` is whose vectors rank
    evidence, `index` the published version, empty where there is none.
    """

    base: str
    files: Files
    template: str
    prompt: str
    encoder: str
    index: str
    render: Render
    generator: Generator


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it: the candidate with the gate's verdict, and the stored report (its lake name, its row).
    `found`: it was tried before."""

    adapter: Adapter
    candidate: Candidate
    row: Mapping[str, Any]
    found: bool

    @property
    def promoted(self) -> bool:
        """Whether every gate holds."""
        return self.candidate.promoted


class Trials:
    """Trials of every variant. `answering` opens the base; `facts` are people's own questions, and `retrieve` gives
    passages for those that have none. All three are asked when a trial needs them, and not before. `spent` is told the
    variant and the seconds of every evaluation, also of one that fails."""

    def __init__(
        self,
        evaluations: Evaluations,
        adapters: Adapters,
        releases: Releases,
        *,
        answering: Callable[[], Answering],
        facts: Callable[[], Sequence[Item]],
        retrieve: Callable[[Sequence[str]], Sequence[Sequence[str]]],
        spent: Callable[[str, float], None] = lambda _variant, _seconds: None,
    ) -> None:
        self.evaluations, self.adapters, self.releases = evaluations, adapters, releases
        self.lake = evaluations.lake
        self._answering, self._facts, self._retrieve, self._spent = answering, facts, retrieve, spent

    def run(self, variant: str, id: str = "", *, again: bool = False, progress: Progress | None = None) -> Trial:
        """Tries an adapter of a variant, the newest one by default; see the table above."""
        adapter, now, served = self._adapter(variant, id), self._answering(), self.releases.served(variant)
        check(adapter, now)
        self.adapters.verify(adapter)
        former = served.move.release if served.move else None
        if former is not None and former.adapter == adapter.id:
            raise GateRefused(
                f"the adapter {adapter.id} of variant {variant!r} is what answers already",
                expected="an adapter that is not released yet",
                next_step="fine-tune when there is something new to learn",
            )
        current, trained = self._sets(variant, adapter, now)
        facts = self._said(variant, adapter, now)
        known = None if again else self._known(variant, adapter, served.id, current, facts)
        if known is None:
            folder = self.adapters.folder_of(former.adapter) if former and former.adapter else None
            asked, began = _Asked(now, progress), time.monotonic()
            try:
                self.evaluations.evaluate(
                    variant,
                    Model(adapter.id, partial(asked.answers, folder=self.adapters.folder_of(adapter.id))),
                    Model(served.id, partial(asked.answers, folder=folder)),
                    current=current,
                    trained=trained,
                    facts=facts,
                    fits=asked.fits,
                    progress=progress,
                )
            finally:
                self._spent(variant, time.monotonic() - began)
        row = known or records.load(self.lake, variant, adapter.id) or {}
        return Trial(adapter, self._candidate(variant, adapter, now, served.id, row, known), row, known is not None)

    def _adapter(self, variant: str, id: str) -> Adapter:
        found = self.adapters.get(id) if id else self.adapters.newest(variant)
        if found is not None and found.variant == variant:
            return found
        known = ", ".join(one.id for one in self.adapters.all_of(variant)[-5:])
        said = f"has no adapter {id!r}" if id else "has no adapter yet"
        raise Final(
            f"variant {variant!r} {said}",
            expected=f"one of {known}" if known else "an adapter that behavior/adapter published",
            next_step="materialize behavior/adapter first; `twohands finetune` and the job finetune do",
        )

    # ------------------------------------------------------------------------------------------------ what is asked

    def _sets(self, variant: str, adapter: Adapter, now: Answering) -> tuple[list[FrozenSet], list[Mapping[str, Any]]]:
        """The frozen sets, and the rows that the adapter was trained on."""
        manifest = next((m for m in datasets.manifests(self.lake, variant) if m.digest == adapter.dataset), None)
        if manifest is None:
            raise Final(
                f"the dataset {adapter.dataset[:16]} of the adapter {adapter.id} is not in the lake",
                expected="what it was trained on: its held-out rows say what it should have learned",
                next_step="restore lake/behavior/dataset from a backup, or fine-tune again",
            )
        rows = example_table(datasets.read(self.lake, manifest)[0]).to_pylist()
        held = reading.of_rows(rows)
        found = [self.evaluations.freeze(variant, MANNER, held)] if held else []
        if facts := list(self._facts()):
            found.append(self._frozen(variant, facts, now))
        return found, [row for row in rows if row["split"] not in HELD_OUT]

    def _frozen(self, variant: str, facts: Sequence[Item], now: Answering) -> FrozenSet:
        """The facts as they were frozen when they were asked first. Those that came without passages are frozen anew
        for another encoder, which finds others."""
        bare = [item for item in facts if not item.passages]
        name = f"{FACTS}-{set_digest(facts)[:12]}" + (f"-{now.encoder[:8]}" if bare else "")
        held = sets.load(self.lake, variant, name)
        if held is not None or not bare:
            return held or sets.freeze(self.lake, variant, name, facts)
        questions = [item.question for item in bare]
        shown = dict(zip(questions, self._retrieve(questions), strict=True))
        if not any(shown.values()):
            raise Final(
                f"{len(bare)} questions of evaluation.facts have no passages, and nothing is published to find some in",
                expected="a published index, or passages in the file",
                next_step="run `twohands sync`, and this again",
            )
        return sets.freeze(self.lake, variant, name, reading.shown(facts, shown.__getitem__))

    # ------------------------------------------------------------------------------------------------ what is kept

    def _said(self, variant: str, adapter: Adapter, now: Answering) -> dict[str, str]:
        """What a verdict rests on beside the sets."""
        return {
            "base": now.base,
            "dataset": adapter.dataset[:16],
            "prompt": now.prompt,
            "encoder": now.encoder[:16],
            "rules": self.evaluations.settings(variant),
            INDEX: now.index or "none",
        }

    def _known(
        self, variant: str, adapter: Adapter, against: str, current: Sequence[FrozenSet], facts: Mapping[str, str]
    ) -> Mapping[str, Any] | None:
        row = records.load(self.lake, variant, adapter.id)
        if row is None or row["released"] != against or row["sets"] != self.evaluations.sets_of(variant, current):
            return None
        same = all(row["facts"].get(name) == value for name, value in facts.items() if name != INDEX)
        return row if same else None

    def _candidate(
        self,
        variant: str,
        adapter: Adapter,
        now: Answering,
        against: str,
        row: Mapping[str, Any],
        known: Mapping[str, Any] | None,
    ) -> Candidate:
        release = self.releases.sealed(
            Release(now.base, adapter.id, now.prompt, now.encoder, now.index, base_files=now.files)
        )
        stored = records.name_of(variant, adapter.id)
        promoted = row["action"] == "promote"
        held = candidates.load(self.lake, variant, release.id) if known else None
        if held is not None and (held.promoted, held.against, held.evaluation) == (promoted, against, stored):
            return held
        return self.releases.propose(
            variant, release, promoted=promoted, sentence=row["sentence"], against=against, evaluation=stored
        )


def check(adapter: Adapter, now: Answering) -> None:
    """ModelError where an adapter was made for another base, or for other prompts, than are configured."""
    if why := retired(adapter, now.base, now.template):
        raise ModelError(
            f"the adapter {adapter.id} was {why}",
            expected="the base and the prompts that it was trained with",
            next_step="restore them, or fine-tune again: an adapter is of no use to others",
        )


class _Asked:
    """Items as chats, rendered once for both models."""

    def __init__(self, now: Answering, progress: Progress | None) -> None:
        self._now, self._progress = now, progress
        self._chats: dict[str, Any] = {}

    def fits(self, items: Sequence[Item]) -> list[bool]:
        """Which prompts leave room for an answer."""
        lengths = self._now.generator.lengths(self._rendered(items))
        return [length < self._now.generator.context for length in lengths]

    def answers(self, items: Sequence[Item], folder: Path | None) -> list[Answer]:
        """What the base says, with an adapter (its folder) or alone."""
        made = self._now.generator.generate(self._rendered(items), folder, self._progress)
        return [Answer(one.text, one.seconds) for one in made]

    def _rendered(self, items: Sequence[Item]) -> list[Any]:
        new = [item for item in items if item.id not in self._chats]
        asks = [Ask(item.question, numbered([passage_of(text, "", "") for text in item.passages])) for item in new]
        self._chats |= dict(zip((item.id for item in new), self._now.render(asks), strict=True))
        return [self._chats[item.id] for item in items]
