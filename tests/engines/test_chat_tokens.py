from __future__ import annotations

import json

import pytest

from assets.errors import ModelError
from orchestration.engines.chat_tokens import OVERHEAD, chat_tokens, estimated
from tests.fakes import WordTokenizer

CHAT = [{"role": "user", "content": "one two"}, {"role": "assistant", "content": "three"}]
TEMPLATE = "{% for m in messages %}<s> {{ m.content }} </s> {% endfor %}"


def tokenizer(folder, template: str | None):
    """A tokenizer of words, as a base's folder has one."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: number for number, word in enumerate(["<unk>", "<s>", "</s>", "one", "two", "three"])}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>"}
    if template:
        config["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_chats_are_counted_as_the_base_reads_them(tmp_path):
    count = chat_tokens(tokenizer(tmp_path, TEMPLATE))
    assert count([CHAT, CHAT[:1]]) == [7, 4]
    assert count([]) == []


def test_tokenizer_without_a_chat_template_is_refused(tmp_path):
    with pytest.raises(ModelError, match="has no chat template"):
        chat_tokens(tokenizer(tmp_path, None))([CHAT])


def test_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        chat_tokens(tmp_path)([CHAT])


def test_base_that_is_not_there_is_estimated():
    assert estimated(WordTokenizer())([CHAT, CHAT[:1]]) == [3 + 2 * OVERHEAD, 2 + OVERHEAD]
