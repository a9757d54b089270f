"""Merging: the merged model says what base and adapter say, or there is none."""

from __future__ import annotations

import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from assets.errors import ModelError
from orchestration.engines.export import merge
from orchestration.engines.generator import TransformersGenerator
from tests.engines.test_generator import BASE, CHATS


def made(folder, **options):
    """A LoRA adapter with weights of its own."""
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    said = {"r": 4, "target_modules": "all-linear", "init_lora_weights": False, "task_type": "CAUSAL_LM"} | options
    get_peft_model(model, LoraConfig(**said)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    return made(tmp_path_factory.mktemp("adapter"))


def test_merged_model_says_what_base_and_adapter_say(adapter, tmp_path):
    assert merge(BASE, adapter, tmp_path, CHATS[:3]) < 1e-3
    apart = TransformersGenerator(BASE, max_new_tokens=16)
    merged = TransformersGenerator(tmp_path, max_new_tokens=16)
    wanted = [one.text for one in apart.generate(CHATS[:4], adapter)]
    assert [one.text for one in merged.generate(CHATS[:4])] == wanted
    assert wanted != [one.text for one in apart.generate(CHATS[:4])]
    assert json.loads((tmp_path / "config.json").read_text())["tie_word_embeddings"] is True
    assert not [path.name for path in tmp_path.iterdir() if path.suffix in (".bin", ".pt", ".py")]


def test_merge_that_differs_is_refused(adapter, tmp_path):
    with pytest.raises(ModelError, match=r"logits differ by \S+\. Expected: at most 1e-12"):
        merge(BASE, adapter, tmp_path, CHATS[:1], tolerance=1e-12)


@pytest.mark.parametrize("options", [{"target_modules": ["embed_tokens"]}, {"modules_to_save": ["lm_head"]}])
def test_adapter_of_tied_embeddings_is_not_merged(tmp_path, options):
    with pytest.raises(ModelError, match="the base ties its output to its embeddings"):
        merge(BASE, made(tmp_path / "adapter", **options), tmp_path / "out", CHATS[:1])
