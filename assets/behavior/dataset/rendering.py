"""Prompts as serving writes them: the same template, the same evidence, so that nothing differs but the answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assets import prompting
from assets.behavior.dataset.rows import Message
from assets.behavior.dataset.writing import Ask, Render
from assets.ports import Encoder
from assets.prompting import Evidence, Template, VectorCache, statements
from assets.prompting.evidence import shown

ROWS = 256  # whose sentences and questions are embedded in one batch: fewer than the cache holds


def renderer(template: Template, encoder: Encoder, k: int = 3, manner: str = "") -> Render:
    """Prompts of a template; `k` statements of evidence where it shows those. A sentence is embedded once."""
    cache = VectorCache(encoder.encode)

    def render(asks: Sequence[Ask]) -> list[list[Message]]:
        found: list[list[Message]] = []
        for start in range(0, len(asks), ROWS):
            batch = asks[start : start + ROWS]
            passages = [[prompting.Passage(one.number, one.heading, one.text) for one in ask.passages] for ask in batch]
            if template.shows == "evidence":
                items = _evidence([ask.question for ask in batch], passages, encoder, cache, k)
            else:
                items = passages
            for ask, these in zip(batch, items, strict=True):
                messages = template.messages(ask.question, these, manner)
                found.append([Message(role=one["role"], content=one["content"]) for one in messages])
        return found

    return render


def _evidence(
    questions: Sequence[str],
    passages: Sequence[Sequence[prompting.Passage]],
    encoder: Encoder,
    cache: VectorCache,
    k: int,
) -> list[list[Evidence]]:
    """Evidence for each question; everything is embedded in two calls."""
    different = {(one.heading, one.text) for these in passages for one in these}
    cache(sorted({shown(heading, one) for heading, text in different for one in statements(text)}))
    vectors = dict(zip(questions, encoder.encode_queries(questions), strict=True))

    def asked(texts: Sequence[str]) -> np.ndarray:
        return np.stack([vectors[text] for text in texts])

    return [
        prompting.evidence(question, these, cache, k, embed_question=asked)
        for question, these in zip(questions, passages, strict=True)
    ]
