"""What can be told of each candidate by itself: eligibility, its texts, its facts, personal data in it.

Batches are independent of each other, so that several processes may share them (orchestration/engines/processes.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from assets.behavior.attribution import Shown, shown
from assets.behavior.dataset import eligibility, lint
from assets.behavior.dataset.config import DatasetConfig
from assets.behavior.dataset.passages import known_texts
from assets.behavior.dataset.pii import Redactor
from assets.behavior.dataset.rows import Reason

COLUMNS = ("id", "source", "user_id", "prompt", "completion", "passages", "there", "verdict", "schema_ok")
_SHA = re.compile(r'"text_sha"\s*:\s*"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Screened:
    """What became of a batch: a reason or None for each row; new texts of those that held personal data, by place;
    what was found unsupported, by place; the first document of each row."""

    reasons: tuple[Reason | None, ...]
    redacted: Mapping[int, tuple[str, str]] = field(default_factory=dict)  # prompt, completion
    unsupported: Mapping[int, str] = field(default_factory=dict)
    documents: tuple[str | None, ...] = ()


class Screener:
    """The rules over one row, made for many. `texts` has the passages' texts by sha, where they are not in the row."""

    def __init__(self, config: DatasetConfig, texts: Mapping[str, str]) -> None:
        self.config, self.texts = config, texts
        self._redactor = Redactor(config.pii)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process makes its own: compiled rules do not travel."""
        return Screener, (self.config, self.texts)

    def __call__(self, batch: pa.RecordBatch) -> Screened:
        """Screens a batch with the columns COLUMNS."""
        reasons: list[Reason | None] = []
        redacted: dict[int, tuple[str, str]] = {}
        why: dict[int, str] = {}
        documents: list[str | None] = []
        columns = [batch.column(name).to_pylist() for name in COLUMNS]
        for place, values in enumerate(zip(*columns, strict=True)):
            row: dict[str, Any] = dict(zip(COLUMNS, values, strict=True))
            passages: list[Shown] = []
            reason = self._of_texts(row)
            if reason is None:
                listed = shown(row["passages"])
                passages = known_texts(listed, self.texts.get, self.config.max_passages)
                reason, found = self._of_facts(row, passages, bool(listed))
                if found:
                    why[place] = ", ".join(found)
            if reason is None:
                texts = self._redactor.redact((row["prompt"], row["completion"]), user=row["user_id"])
                if texts.values:
                    redacted[place] = (texts.texts[0], texts.texts[1])
            reasons.append(reason)
            documents.append(passages[0].doc_id or None if passages else None)
        return Screened(tuple(reasons), redacted, why, tuple(documents))

    def _of_texts(self, row: Mapping[str, Any]) -> Reason | None:
        refused = eligibility.refused(
            row["source"], there=bool(row["there"]), verdict=row["verdict"], schema_ok=row["schema_ok"]
        )
        if refused is not None:
            return refused
        prompt, completion = row["prompt"] or "", row["completion"] or ""
        if not prompt.strip() or not completion.strip() or "\0" in prompt or "\0" in completion:
            return Reason.NO_TEXT
        return Reason.OVERLONG if max(len(prompt), len(completion)) > self.config.max_characters else None

    def _of_facts(
        self, row: Mapping[str, Any], passages: Sequence[Shown], any_shown: bool
    ) -> tuple[Reason | None, list[str]]:
        if any_shown and not passages:
            return Reason.NO_PASSAGES, []
        texts = [one.text for one in passages if one.text]
        documents = [one.doc_id for one in passages if one.doc_id]
        found = lint.unsupported(row["prompt"], row["completion"], texts, documents, self.config.max_unsupported)
        return (Reason.UNSUPPORTED, found) if found else (None, [])


def shas(passages: pa.ChunkedArray) -> set[str]:
    """The passages that a column of JSON lists names."""
    found: set[str] = set()
    for chunk in passages.chunks:
        for text in chunk.to_pylist():
            if text:
                found.update(_SHA.findall(text))
    return found
