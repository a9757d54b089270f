"""From settings to adapters: which base, which trainer, whose money. Opens no model, imports no torch."""

from __future__ import annotations

from assets.behavior.adapter.pipeline import Base, Fitting
from assets.behavior.adapter.store import Adapters
from assets.ports import Lake
from assets.prompting import TEMPLATES
from orchestration.assembly import budget
from orchestration.assembly_serving import base_folder
from orchestration.engines.base_model import check_base
from orchestration.engines.trainer import ProcessTrainer
from orchestration.ledger import LakeLedger
from orchestration.settings import Settings


def fitting(settings: Settings, lake: Lake) -> Fitting:
    """What makes adapters, over the slow hand's lake."""
    config = settings.adapter.config()
    return Fitting(
        lake=lake,
        adapters=adapters(settings),
        trainer=ProcessTrainer(settings.home, wait_seconds=config.wait_seconds),
        base=lambda: base(settings),
        ledger=LakeLedger(lake),
        prices=budget(settings).prices,
        config=config,
    )


def adapters(settings: Settings) -> Adapters:
    """The published adapters of the home."""
    return Adapters(settings.home / "adapters")


def base(settings: Settings) -> Base:
    """The configured base, looked at from outside: ModelError where it cannot be trained."""
    folder = base_folder(settings)
    return Base(folder, check_base(folder), TEMPLATES[settings.base.template].version)
