"""How many tokens a base reads, also where it says so elsewhere, or nowhere."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    Gemma3Config,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MptConfig,
    XLNetConfig,
)

from assets.errors import ModelError
from assets.ports.training import UnfitRows
from orchestration.engines.base_context import stated_context
from orchestration.engines.generator import TransformersGenerator
from orchestration.engines.trainer import ProcessTrainer
from orchestration.engines.training_rows import context
from tests.engines.training_rows import BASE, order

UNTOLD = 1e30  # what transformers says of a tokenizer that was told no length
NESTED = Gemma3Config(text_config={"max_position_embeddings": 640})  # of a base that sees as well


@pytest.mark.parametrize(
    ("config", "tokenizer", "stated"),
    [
        (LlamaConfig(max_position_embeddings=512), UNTOLD, 512),
        (LlamaConfig(max_position_embeddings=512), 256, 256),
        (LlamaConfig(max_position_embeddings=512), 2_048, 512),
        (GPT2Config(n_positions=128), UNTOLD, 128),
        (MptConfig(max_seq_len=96), UNTOLD, 96),
        (NESTED, UNTOLD, 640),
        (BloomConfig(), 300, 300),
        (BloomConfig(), UNTOLD, None),
        (MambaConfig(), None, None),
        (XLNetConfig(), UNTOLD, None),  # says -1
    ],
    ids=lambda one: getattr(one, "model_type", one),
)
def test_context_is_the_shortest_that_is_stated_wherever(config, tokenizer, stated):
    reads = SimpleNamespace(model_max_length=tokenizer)
    assert stated_context(config, reads) == stated
    assert context(config, reads, max_tokens=1_000) == (stated or 1_000)


def test_context_that_nobody_knows_is_an_error_with_a_next_step():
    with pytest.raises(ModelError, match=r"the base \(bloom\) states no context.*Next: add model_max_length"):
        context(BloomConfig(), SimpleNamespace(model_max_length=UNTOLD))


@pytest.fixture(scope="module")
def endless(tmp_path_factory) -> Path:
    """A Bloom of random weights, which states no context, with the tokenizer of the bundled base."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    words = json.loads((BASE / "config.json").read_text())["vocab_size"]
    BloomForCausalLM(BloomConfig(vocab_size=words, hidden_size=16, n_layer=1, n_head=2)).save_pretrained(folder)
    for name in ("tokenizer.json", "chat_template.jinja"):
        shutil.copy(BASE / name, folder)
    said = json.loads((BASE / "tokenizer_config.json").read_text())
    del said["model_max_length"]
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    return folder


def test_base_that_states_no_context_is_trained_as_far_as_the_dataset_went(endless, tmp_path):
    asked = replace(order(tmp_path, 8, 2), base=endless, max_tokens=1_024)
    with ProcessTrainer(tmp_path).train(asked, lambda _: None) as trained:
        assert len(trained.losses) == 2
    with (
        pytest.raises(UnfitRows, match=r"longer than the base reads.*at most 20 tokens"),
        ProcessTrainer(tmp_path).train(replace(asked, max_tokens=20), lambda _: None),
    ):
        pass


def test_base_that_states_no_context_answers(endless):
    generator = TransformersGenerator(endless, device="cpu", max_new_tokens=3)
    assert generator.context == sys.maxsize
    [one] = generator.generate([[{"role": "user", "content": "When does it open?"}]])
    assert (one.problem, one.tokens > 0) == ("", True)
