"""From a frozen snapshot to a stored dataset, over injected engines. The Dagster asset and the command line call it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from assets.behavior import frozen as freezing
from assets.behavior.dataset import building, card, outcomes, store
from assets.behavior.dataset.building import Dataset, Sources, Spread
from assets.behavior.dataset.config import DatasetConfig
from assets.behavior.dataset.contamination import Held
from assets.behavior.dataset.rehearsal import standing
from assets.behavior.dataset.store import Manifest
from assets.behavior.dataset.writing import Length, Render
from assets.behavior.evaluation import sets
from assets.errors import CorruptState
from assets.ports import Lake, Progress


@dataclass(frozen=True, slots=True)
class Base:
    """How the base reads: prompts, and their length. `template` names the version of the prompts, `tokens_by` whose
    tokens are counted."""

    render: Render
    length: Length
    template: str
    tokens_by: str


class Datasets:
    """Makes and keeps datasets.

    `texts` opens the passages by sha, `base` what prompts are written for; both are opened when a dataset is made and
    not before. `held_out` are questions and answers beside the frozen evaluation sets that nothing may be learnt from;
    `framed` the variants whose answers come in a frame; `own` the settings of variants that have others.
    """

    def __init__(
        self,
        *,
        lake: Lake,
        config: DatasetConfig,
        texts: Callable[[], Callable[[str], str | None]],
        base: Callable[[], Base],
        held_out: Callable[[], list[Held]] = list,
        spread: Callable[[int], Spread] = lambda _: map,
        framed: Collection[str] = (),
        own: Mapping[str, DatasetConfig] = {},
    ) -> None:
        self.lake, self.config, self._own, self._framed = lake, config, dict(own), frozenset(framed)
        self._texts, self._base, self._held_out, self._spread = texts, base, held_out, spread

    def make(
        self, variant: str, frozen: str, request: str = "", progress: Progress | None = None
    ) -> tuple[Manifest, Dataset]:
        """The dataset of a frozen snapshot (its lake name), stored. NotEnough where too few rows are clean.

        The same snapshot, settings and documents give the same dataset.
        """
        candidates = self.lake.read(frozen)
        if candidates is None:
            raise CorruptState(
                f"the frozen candidates {frozen} are missing",
                expected=f"a snapshot in {freezing.FOLDER}/{variant}",
                next_step="materialize behavior/frozen_candidates again",
            )
        base, config = self._base(), self._own.get(variant, self.config)
        dataset = building.build(
            outcomes.joined(self.lake, candidates),
            self._sources(variant, frozen),
            config,
            base.render,
            base.length,
            spread=self._spread(candidates.num_rows),
            progress=progress,
        )
        manifest = store.write(
            self.lake,
            variant,
            dataset.examples,
            dataset.pairs,
            request=request,
            frozen=frozen,
            made_of={"frozen": frozen, "settings": config.digest(), "template": base.template} | self._frame(variant),
            card=card.card_of(dataset, config, base.tokens_by),
        )
        return manifest, dataset

    def _sources(self, variant: str, frozen: str) -> Sources:
        before = self._before(variant, frozen)
        return Sources(
            self._texts(),
            lambda wanted: outcomes.produced(self.lake, wanted),
            [*self._held_out(), *frozen_sets(self.lake, variant)],
            standing([store.read(self.lake, manifest)[0] for manifest in before]),
            lambda wanted: outcomes.gone(self.lake, wanted),
            variant in self._framed,
        )

    def _frame(self, variant: str) -> dict[str, str]:
        return {"frame": "json"} if variant in self._framed else {}

    def _before(self, variant: str, frozen: str) -> list[Manifest]:
        """Datasets of other snapshots that are older than any of this one: made again, it finds the same ones."""
        known = store.manifests(self.lake, variant)
        first = min((one.number for one in known if one.frozen == frozen), default=len(known) + 1)
        return [one for one in known if one.number < first]


def frozen_sets(lake: Lake, variant: str) -> list[Held]:
    """The items of all frozen evaluation sets of a variant."""
    found = (sets.load(lake, variant, name) for name in sets.names(lake, variant))
    return [
        Held(item.question, item.references, item.group, item.interactions)
        for one in found
        if one is not None
        for item in one.items
    ]
