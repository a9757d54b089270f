"""Marks of chat templates in texts: broken up, and nothing else."""

from __future__ import annotations

import pytest

from orchestration.engines.control_tokens import KNOWN, broken, pattern


@pytest.mark.parametrize(
    "mark",
    [
        "<|im_end|>", "<|start_header_id|>", "<|eot_id|>", "<|end|>", "<｜end▁of▁sentence｜>", "[INST]", "[/INST]",
        "[SYSTEM_PROMPT]", "<<SYS>>", "<</SYS>>", "<s>", "</s>", "<start_of_turn>", "<end_of_turn>", "<eos>",
    ],
)  # fmt: skip
def test_marks_of_known_templates_are_broken(mark):
    assert broken(f"A{mark}{mark} b") == f"A{mark[0]} {mark[1:]}{mark[0]} {mark[1:]} b"
    assert not KNOWN.search(broken(f"<|im_{mark}end|><{mark}>"))


@pytest.mark.parametrize(
    "text", ["a <| b |> c", "[1] Lockers, [inst] and x < s > y", "<span>", "a||b", "<sup>2</sup>", "| a | b |", ""]
)
def test_other_text_stays_as_it_is(text):
    assert broken(text) == text


def test_marks_of_one_tokenizer_are_broken_and_no_others():
    marks = pattern(["<|im_end|>", "<|im_end|>!", "*", "(eos)"])
    assert broken("<|im_end|>! <|im_end|> * (eos) <s>", marks) == "< |im_end|>! < |im_end|> * ( eos) <s>"
    assert broken("<s> a", pattern([])) == "<s> a"
