"""How many tokens a chat is, as its base reads it. transformers is imported when the first chat is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from assets.errors import ModelError
from assets.ports import Tokenizer

Count = Callable[[Sequence[Sequence[Mapping[str, object]]]], list[int]]
OVERHEAD = 8  # tokens around a message, where the base's chat template is not known


def chat_tokens(folder: Path) -> Count:
    """Tokens of whole chats by the tokenizer and chat template in a base's folder.

    ModelError where there is none, or it would take code from the model's own folder to read it.
    """
    tokenizer: list[Any] = []

    def count(chats: Sequence[Sequence[Mapping[str, object]]]) -> list[int]:
        if not tokenizer:
            tokenizer.append(_tokenizer(folder))
        texts = [tokenizer[0].apply_chat_template(list(chat), tokenize=False) for chat in chats]
        return [len(ids) for ids in tokenizer[0](texts, add_special_tokens=False)["input_ids"]] if texts else []

    return count


def estimated(tokenizer: Tokenizer) -> Count:
    """Tokens by another tokenizer, for a base that is not there yet."""

    def count(chats: Sequence[Sequence[Mapping[str, object]]]) -> list[int]:
        sizes = iter(tokenizer.count([str(message["content"]) for chat in chats for message in chat]))
        return [sum(next(sizes) + OVERHEAD for _ in chat) for chat in chats]

    return count


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the tokenizer in {folder} cannot be read ({error!s:.200})",
            expected="a tokenizer that transformers reads without code of the model's own",
            next_step="correct base.model and base.revision",
        ) from error
    if not found.chat_template:
        raise ModelError(
            f"the tokenizer in {folder} has no chat template",
            expected="a base that was made for chats",
            next_step="choose another base.model, or put a chat_template.jinja beside its tokenizer",
        )
    return found
