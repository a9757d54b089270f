"""Chats to tokens, with the mask of what is learned; and all that must be true of them before a step is paid for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assets.errors import ModelError
from assets.ports.training import Chat, UnfitRows
from orchestration.engines.base_context import stated_context
from orchestration.engines.base_model import NoChatTemplate

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Tokens:
    """A chat. `mask` is 1 where a token is learned: answers and their stop token, never what was asked or shown."""

    ids: list[int]
    mask: list[int]

    @property
    def answers(self) -> int:
        """How many tokens are learned."""
        return sum(self.mask[1:])


def context(config: Any, tokenizer: Any, max_tokens: int = 0) -> int:
    """The longest row, in tokens: the base's context; where it states none `max_tokens`, which the dataset kept to.

    ModelError where that is not known (0) either.
    """
    found = stated_context(config, tokenizer) or max_tokens
    if not found:
        raise ModelError(
            f"the base ({config.model_type}) states no context: neither its configuration nor its tokenizer says how "
            "many tokens it reads, and no limit of the dataset is known",
            expected="max_position_embeddings in config.json, or model_max_length in tokenizer_config.json",
            next_step="add model_max_length to the base's tokenizer_config.json, or make the dataset again: its card "
            "says dataset.max_tokens",
        )
    return found


def stop_tokens(folder: Path, tokenizer: Any) -> set[int]:
    """Tokens that end an answer: the tokenizer's, and those that generation_config.json names."""
    said: Any = None
    file = folder / "generation_config.json"
    if file.is_file():
        said = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id")
    named = said if isinstance(said, list) else [said]
    return {int(one) for one in (*named, tokenizer.eos_token_id) if one is not None}


def tokenized(tokenizer: Any, chats: Sequence[Chat], *, limit: int, stops: set[int], what: str) -> list[Tokens]:
    """The rows; UnfitRows, with their numbers, where some cannot be learned from."""
    found = [_tokens(tokenizer, chat) for chat in chats]
    long = [number for number, row in enumerate(found) if len(row.ids) > limit]
    if long:
        longest = max(len(row.ids) for row in found)
        raise UnfitRows(
            f"{len(long)} {what} rows are longer than the base reads ({_numbers(long)}; the longest has {longest:,} "
            "tokens)",
            expected=f"at most {limit:,} tokens, which is the base's context (dataset.max_tokens where it states none)",
            next_step="lower dataset.max_tokens, and make the dataset again: a row that is cut teaches to stop early",
        )
    empty = [number for number, row in enumerate(found) if not row.answers]
    if empty:
        raise NoChatTemplate(
            f"nothing would be learned from {len(empty)} {what} rows ({_numbers(empty)}): every token is masked",
            expected="{% generation %} in the base's chat template, around the answer of each row",
            next_step="correct chat_template.jinja of the base (docs/adapter.md)",
        )
    endless = [number for number, row in enumerate(found) if _last(row) not in stops]
    if endless:
        raise NoChatTemplate(
            f"the stop token would not be learned from {len(endless)} {what} rows ({_numbers(endless)})",
            expected="the base's stop token before {% endgeneration %}: an answer that never learned to end goes on",
            next_step="move the stop token inside the marks in chat_template.jinja of the base (docs/adapter.md)",
        )
    return found


def _tokens(tokenizer: Any, chat: Chat) -> Tokens:
    said = tokenizer.apply_chat_template(
        [dict(message) for message in chat], tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    return Tokens(list(said["input_ids"]), list(said["assistant_masks"]))


def _last(row: Tokens) -> int:
    return next(id for id, learned in zip(reversed(row.ids), reversed(row.mask), strict=True) if learned)


def _numbers(found: Sequence[int]) -> str:
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"number {', '.join(str(one) for one in found[:SHOWN])}{more}"
