"""How a deployment is, all of it: what `twohands status` prints and the asset `deployment/overview` shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from assets.errors import TwohandsError
from orchestration import cli_views as views
from orchestration import overview, overview_behavior
from orchestration.settings import Settings

if TYPE_CHECKING:
    from assets.behavior.pipeline import BehaviorData
    from assets.decision.pipeline import Decision
    from assets.knowledge.pipeline import FastHand


def facts(settings: Settings, hand: Callable[[], FastHand], data: BehaviorData, decision: Decision) -> dict[str, Any]:
    """Index and slices, logs, variants, spend. A part that cannot be read is {"error": ...}; the others are there."""
    try:
        fast = overview.overview(hand())
    except TwohandsError as error:
        fast = {"index": {"error": str(error)}, "slices": []}
    return {**fast, **overview_behavior.overview(settings, data, decision)}


def text(found: Mapping[str, Any]) -> str:
    """The same in lines."""
    return "\n".join([views.status_text(found), *overview_behavior.as_text(found)])
