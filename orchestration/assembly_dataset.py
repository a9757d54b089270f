"""From settings to datasets: whose prompts, whose tokens, which passages. Opens nothing, imports no torch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from assets.behavior.dataset.building import Spread
from assets.behavior.dataset.config import DatasetConfig
from assets.behavior.dataset.contamination import Held
from assets.behavior.dataset.pipeline import Base, Datasets
from assets.behavior.dataset.rendering import renderer
from assets.behavior.pipeline import BehaviorData
from assets.errors import ConfigError
from assets.prompting import TEMPLATES
from orchestration.assembly import open_tokenizer
from orchestration.assembly_serving import base_folder
from orchestration.engines.chat_tokens import chat_tokens, estimated
from orchestration.engines.processes import spread
from orchestration.settings import Settings

ALONE = 50_000  # candidates that one process screens sooner than others have started


def datasets(settings: Settings, data: BehaviorData) -> Datasets:
    """Datasets over the slow hand's data."""

    def workers(candidates: int) -> Spread:
        return spread(settings.dataset.workers if candidates > ALONE else 1)

    return Datasets(
        lake=data.lake,
        config=settings.dataset.config(),
        texts=data.texts,
        base=lambda: _base(settings, data),
        held_out=lambda: held_out(settings),
        spread=workers,
        framed=[name for name, one in settings.variants.items() if one.answer == "json"],
        own=own(settings),
    )


def own(settings: Settings) -> dict[str, DatasetConfig]:
    """The settings of variants that say something else than [dataset]."""
    config, shares = settings.dataset.config(), {n: one.refusal_share for n, one in settings.variants.items()}
    return {name: replace(config, refusal_share=share) for name, share in shares.items() if share is not None}


def held_out(settings: Settings) -> list[Held]:
    """Questions and answers of the files of dataset.held_out, evaluation.facts and adapter.declining: nothing may be
    learnt from them."""
    names = (*settings.dataset.held_out, *settings.evaluation.facts, *settings.adapter.declining)
    return [item for name in names for item in _items(settings.path(name), name)]


def _base(settings: Settings, data: BehaviorData) -> Base:
    template, folder = TEMPLATES[settings.base.template], base_folder(settings)
    render = renderer(template, data.encoder)
    if (folder / "tokenizer_config.json").is_file():
        return Base(render, chat_tokens(folder), template.version, folder.name)
    counted = f"the encoder's tokenizer: {folder.name} is not there"
    return Base(render, estimated(open_tokenizer(settings)), template.version, counted)


def _items(file: Path, name: str) -> list[Held]:
    """JSON lines with `question` (or `prompt`), and `answer` or `answers` where they have some."""
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            question = str(row.get("question") or row["prompt"])
        except (ValueError, KeyError, AttributeError) as error:
            raise ConfigError(
                f"{name}, line {number}: no held-out item ({type(error).__name__}: {error})",
                expected='a JSON object with "question" (or "prompt"), and "answer" or "answers" where it has some',
                next_step="correct the line, or take the file out of dataset.held_out",
            ) from error
        answers = row.get("answers") or [row["answer"]] if row.get("answer") or row.get("answers") else []
        found.append(Held(question, tuple(map(str, answers))))
    return found
