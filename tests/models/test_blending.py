from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM

from models.recipe.blending import blend

READER = Path(__file__).resolve().parents[2] / "models" / "tiny-reader"


@pytest.fixture(scope="module")
def doubled(tmp_path_factory) -> Path:
    """The bundled base with every weight twice as large."""
    model = AutoModelForCausalLM.from_pretrained(READER, dtype=torch.float32)
    model.load_state_dict({name: 2 * weight for name, weight in model.state_dict().items()})
    folder = tmp_path_factory.mktemp("doubled")
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_blend_is_weight_by_weight(doubled, tmp_path, share):
    blend(READER, doubled, tmp_path / "out", share)
    before = AutoModelForCausalLM.from_pretrained(READER, dtype=torch.float32).state_dict()
    after = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).state_dict()
    for name, weight in before.items():
        torch.testing.assert_close(after[name], ((1 + share) * weight).to(torch.bfloat16).float(), rtol=0.01, atol=1e-6)


def test_models_of_another_shape_are_refused(tmp_path):
    other = Qwen3ForCausalLM(Qwen3Config(vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
                                         num_attention_heads=2, num_key_value_heads=2, head_dim=16))  # fmt: skip
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(ValueError, match="one architecture"):
        blend(READER, tmp_path / "other", tmp_path / "out", 0.5)
    assert not (tmp_path / "out").exists()
