"""From settings to answers: what retrieves, what speaks, and how what is released is watched. Opens no model here."""

from __future__ import annotations

import functools

from assets.behavior.adapter.identity import base_id
from assets.behavior.dataset import store as datasets
from assets.behavior.evaluation.metrics import usual
from assets.errors import TwohandsError
from assets.knowledge.pipeline import FastHand
from assets.ports import Lake
from assets.ports.generation import Speaker
from assets.prompting import TEMPLATES
from assets.serving.answering import Answering, Options
from assets.serving.forms import Form
from assets.serving.questions import Access
from assets.serving.releases import Releases
from assets.serving.watching import Watch
from orchestration.assembly import fast_hand
from orchestration.assembly_adapter import adapters
from orchestration.assembly_evaluation import manner_of
from orchestration.assembly_serving import base_folder, releases
from orchestration.settings import Settings

READ = 500  # rows of an adapter's dataset that tell what its manner states whatever the question


def answering(
    settings: Settings,
    hand: FastHand | None = None,
    found: Releases | None = None,
    speaker: Speaker | None = None,
    passages: int | None = None,
) -> Answering:
    """Answers of every variant over the configured engines; what else is given stands in for them."""
    hand = hand or fast_hand(settings)
    said = settings.answering
    options = Options(
        variants={name: form(settings, name) for name in settings.variants},
        passages=passages or said.passages,
        max_characters=said.max_characters,
        access=Access(settings.access.field, settings.access.public),
    )
    watch = watched(settings, found or releases(settings, hand.lake))
    return Answering(hand.found, hand.encoder, watch.current, speaker or generator(settings), options)


def watched(settings: Settings, found: Releases) -> Watch:
    """What each variant is served from, as it is at each moment."""
    remote = settings.generator.engine == "openai"
    return Watch(
        found,
        base=functools.cache(lambda: settings.generator.model or "" if remote else _base(settings)),
        template=TEMPLATES[settings.base.template],
        usual=lambda variant, adapter: _usual(settings, found.lake, variant, adapter),
        files=not remote,
    )


def generator(settings: Settings) -> Speaker:
    """What speaks: the configured base in this process, loaded at the first question, or a server."""
    said = settings.generator
    if said.engine == "openai":
        from orchestration.engines.chat_generator import ChatGenerator
        from orchestration.engines.chat_http import Endpoint

        endpoint = Endpoint(
            said.url or "", said.api_key_env, said.seconds, said.attempts, 0.5, "generator", "generator", "api_key_env"
        )
        return ChatGenerator(endpoint, said.model or "", said.models, said.max_new_tokens)
    from orchestration.engines.generator import TransformersGenerator

    return TransformersGenerator(
        base_folder(settings), max_new_tokens=said.max_new_tokens, device=said.device, kept=said.adapters
    )


def form(settings: Settings, variant: str) -> Form:
    """The form that a variant's answers must have, with the schema of its manner where there is one."""
    kind = settings.variants[variant].answer
    if kind == "text":
        return Form()
    manner = manner_of(settings, variant)
    return Form(kind, manner.valid if manner.schema is not None else None)


def _base(settings: Settings) -> str:
    from orchestration.engines.base_model import check_base

    return base_id(check_base(base_folder(settings), trains=False))


def _usual(settings: Settings, lake: Lake, variant: str, adapter: str) -> frozenset[str]:
    """Keys of facts that a released adapter's manner states, as the rows say that it learned from."""
    try:
        made = adapters(settings).get(adapter)
        manifest = next((m for m in datasets.manifests(lake, variant) if made and m.digest == made.dataset), None)
        rows = datasets.read(lake, manifest)[0] if manifest else []
    except TwohandsError:
        return frozenset()  # erased since, or damaged: then nothing is usual, and every fact needs a passage
    return usual(row.completion for row in rows[:READ])
