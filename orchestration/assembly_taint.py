"""From settings to taint: which adapters there are, and which of them answers. Opens nothing, imports no torch."""

from __future__ import annotations

from assets.behavior.adapter.store import Adapters
from assets.behavior.taint.looking import Taints
from assets.ports import Lake
from orchestration.assembly_serving import releases
from orchestration.settings import Settings


def taints(settings: Settings, lake: Lake) -> Taints:
    """Taint of every variant's datasets and adapters."""
    found, adapters = releases(settings, lake), Adapters(settings.home / "adapters")

    def released(variant: str) -> str:
        move = found.moves.now(variant)
        return move.release.adapter if move and move.release else ""

    return Taints(lake, adapters=adapters.all_of, released=released)


def limits(settings: Settings) -> dict[str, float]:
    """The largest share of touched rows that each variant's policy bears with."""
    return {name: variant.max_tainted_share for name, variant in settings.variants.items()}
