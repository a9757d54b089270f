from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.engines import token_counts
from orchestration.engines.encoders import load_tokenizer
from orchestration.engines.token_counts import WordCounts, splits_at_white_space


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer()


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(st.text(max_size=80), max_size=4))
def test_words_add_up_to_what_the_tokenizer_says(tokenizer, texts):
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    assert tokenizer.count(texts) == tokenizer._whole(texts)


def test_real_text_is_counted_exactly(tokenizer):
    text = "The `foo(bar)` — l'été, 100.000€; 中文字 [MASK] don't\tre-read\r\n\xa0x\u200by\x0bz " * 3
    assert tokenizer.count([text]) == tokenizer._whole([text])


def test_each_word_is_tokenized_once(monkeypatch):
    asked: list[str] = []

    def count(words):
        asked.extend(words)
        return [len(word) for word in words]

    counts = WordCounts(count)
    assert counts(["a bb a", "bb ccc", ""]) == [4, 5, 0]
    assert counts(["ccc a"]) == [4]
    assert sorted(asked) == ["a", "bb", "ccc"]
    monkeypatch.setattr(token_counts, "KNOWN", 3)
    assert counts(["a dddd"]) == [5]
    assert len(counts._known) == 2


@pytest.mark.parametrize(
    ("json", "expected"),
    [
        (b'{"pre_tokenizer": {"type": "BertPreTokenizer"}}', True),
        (b'{"pre_tokenizer": {"type": "ByteLevel"}}', False),
        (b'{"pre_tokenizer": null}', False),
        (b"{}", False),
        (b"not json", False),
    ],
)
def test_only_tokenizers_that_split_at_white_space_are_counted_by_words(json, expected):
    assert splits_at_white_space(json) is expected
