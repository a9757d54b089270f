"""From settings to evaluations: which manner, margins, questions and judge; which base answers. Opens no model here."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assets.behavior.adapter.identity import base_id
from assets.behavior.dataset.rendering import renderer
from assets.behavior.evaluation.gate import Margins
from assets.behavior.evaluation.judge import Judge, Pair
from assets.behavior.evaluation.manner import Manner, Style, manner
from assets.behavior.evaluation.pipeline import Evaluations
from assets.behavior.evaluation.trials import Answering, Trials
from assets.behavior.pipeline import BehaviorData
from assets.errors import ConfigError
from assets.knowledge.pipeline import FastHand
from assets.ports import Lake
from assets.prompting import TEMPLATES
from assets.serving.releases import Releases
from orchestration.assembly import budget
from orchestration.assembly_adapter import adapters
from orchestration.assembly_serving import base_folder
from orchestration.engines.base_model import check_base
from orchestration.engines.chat_client import ChatClient
from orchestration.ledger import LakeLedger
from orchestration.questions import judged, read
from orchestration.settings import Settings

if TYPE_CHECKING:
    from orchestration.engines.generator import TransformersGenerator


def evaluations(settings: Settings, lake: Lake) -> Evaluations:
    """Evaluations of every variant."""
    found, margins = settings.evaluation, settings.evaluation.margins
    return Evaluations(
        lake,
        manner=lambda variant: manner_of(settings, variant),
        judge=lambda: judge(settings),
        margins=Margins(margins.facts, margins.earlier, margins.refusals),
        seed=found.seed,
        resamples=found.resamples,
    )


def trials(settings: Settings, data: BehaviorData, hand: Callable[[], FastHand], releases: Releases) -> Trials:
    """Trials of every variant over the configured base; the fast hand is asked for passages and the index's version."""
    opened: list[TransformersGenerator] = []
    prices, ledger = budget(settings).prices, LakeLedger(data.lake)

    def answering() -> Answering:
        folder, template = base_folder(settings), TEMPLATES[settings.base.template]
        files = check_base(folder, trains=False)
        if not opened:
            opened.append(generator(settings))
        published = hand().vector_index.published()
        return Answering(
            base_id(files),
            files,
            template.version,
            f"{template.name}@{template.version}",
            data.encoder.fingerprint,
            published.version if published else "",
            renderer(template, data.encoder),
            opened[0],
        )

    def retrieve(questions: Sequence[str]) -> list[list[str]]:
        found = hand().search(questions, k=settings.evaluation.passages)
        return [[hit.passage.text for hit in hits] for hits in found]

    def spent(variant: str, seconds: float) -> None:
        what = "gpu" if any(one.device.startswith("cuda") for one in opened) else "cpu"
        fact = prices.spend(what, seconds, by="behavior/evaluation", run=uuid.uuid4().hex)
        ledger.append(fact.entry(at=datetime.now(UTC), variant=variant))

    return Trials(
        evaluations(settings, data.lake),
        adapters(settings),
        releases,
        answering=answering,
        facts=lambda: judged(settings),
        retrieve=retrieve,
        spent=spent,
    )


def generator(settings: Settings) -> TransformersGenerator:
    """The configured base, to answer with; it is loaded at the first prompt."""
    from orchestration.engines.generator import TransformersGenerator

    said = settings.evaluation
    return TransformersGenerator(
        base_folder(settings), batch=said.batch, max_new_tokens=said.max_new_tokens, device=said.device
    )


def manner_of(settings: Settings, variant: str) -> Manner:
    """What is wanted of a variant's manner. Modules of own checks are looked for beside twohands.toml too."""
    said = settings.evaluation.manners.get(variant)
    framed = settings.variants[variant].answer == "json"
    if said is None:
        return Manner(framed=framed)
    where = f"evaluation.manners.{variant}"
    root = str(settings.root)
    if said.checks and root not in sys.path:
        sys.path.append(root)
    style = Style(said.format, said.must, said.must_not, said.min_words, said.max_words)
    schema = _schema(settings.path(said.schema_file), f"{where}.schema_file") if said.schema_file else None
    return manner(schema, style, said.checks, where, framed=framed)


def judge(settings: Settings) -> Judge | None:
    """The configured judge; None where there is none. Reads its anchors and asks it nothing; its key is looked for when
    it is asked. ConfigError where the anchors are none, or its address."""
    said = settings.evaluation.judge
    if said is None:
        return None
    client = ChatClient(said.url, said.model, key_env=said.key_env, seconds=said.seconds)
    text = read(settings.path(said.anchors), "evaluation.judge.anchors")
    pairs = [_anchor(line, number) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    return Judge(client, said.guideline, pairs, said.agreement)


def _anchor(line: str, number: int) -> Pair:
    try:
        row = json.loads(line)
        first, second, better = row["A"], row["B"], row["better"]
        if better not in ("A", "B", "tie") or not isinstance(first, str) or not isinstance(second, str):
            raise ValueError("A and B are texts, better is A, B or tie")
        return Pair(f"anchor-{number}", str(row["question"]), first, second, better=better)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"evaluation.judge.anchors: line {number} is no anchor ({error}): {line[:120]!r}",
            expected='{"question": "...", "A": "...", "B": "...", "better": "A"} (or "B", or "tie")',
            next_step="correct that line",
        ) from error


def _schema(file: Path, where: str) -> dict[str, Any]:
    try:
        found = json.loads(read(file, where))
    except ValueError as error:
        raise ConfigError(f"{where}: {file} is no JSON ({error})", expected="a JSON Schema") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{where}: {file} holds a {type(found).__name__}", expected="a JSON Schema, as an object")
    return found
