"""From settings to adapters: which base, which trainer, whose money. Opens no model, imports no torch."""

from __future__ import annotations

from assets.behavior.adapter.pipeline import Base, Fitting
from assets.behavior.adapter.store import Adapters
from assets.behavior.dataset.passages import numbered, passage_of
from assets.behavior.dataset.rendering import renderer
from assets.behavior.dataset.writing import Ask
from assets.behavior.pipeline import BehaviorData
from assets.ports import Encoder
from assets.ports.training import Chat
from assets.prompting import TEMPLATES
from orchestration.assembly import budget
from orchestration.assembly_serving import base_folder
from orchestration.engines.base_model import check_base
from orchestration.engines.trainer import ProcessTrainer
from orchestration.ledger import LakeLedger
from orchestration.questions import kept
from orchestration.settings import Settings


def fitting(settings: Settings, data: BehaviorData) -> Fitting:
    """What makes adapters, over the slow hand's data."""
    config, lake = settings.adapter.config(), data.lake
    return Fitting(
        lake=lake,
        adapters=adapters(settings),
        trainer=ProcessTrainer(settings.home, wait_seconds=config.wait_seconds),
        base=lambda: base(settings),
        ledger=LakeLedger(lake),
        prices=budget(settings).prices,
        config=config,
        questions=lambda: questions(settings, data.encoder),
    )


def questions(settings: Settings, encoder: Encoder) -> list[Chat]:
    """Those of adapter.declining, as prompts."""
    asks = [Ask(one.question, numbered([passage_of(text, "", "") for text in one.passages])) for one in kept(settings)]
    return list(renderer(TEMPLATES[settings.base.template], encoder)(asks))


def adapters(settings: Settings) -> Adapters:
    """The published adapters of the home."""
    return Adapters(settings.home / "adapters")


def base(settings: Settings) -> Base:
    """The configured base, looked at from outside: ModelError where it cannot be trained."""
    folder = base_folder(settings)
    return Base(folder, check_base(folder), TEMPLATES[settings.base.template].version)
