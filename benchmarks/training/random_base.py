"""A base of a known size with random weights: how fast it trains does not depend on what it says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

SIZES: dict[str, dict[str, int]] = {  # Qwen3's shapes
    "tiny": {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 2,
             "num_key_value_heads": 1, "head_dim": 64, "vocab_size": 6_144},
    "0.6B": {"hidden_size": 1_024, "intermediate_size": 3_072, "num_hidden_layers": 28, "num_attention_heads": 16,
             "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936},
}  # fmt: skip
PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12}  # dense bf16 operations a second, by the vendor's data sheets


def write(folder: Path, size: str, like: Path) -> Path:
    """A folder with a base of that size, whose tokenizer and chat template are those of the base `like`."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = SIZES[size]
    said = json.loads((like / "config.json").read_text(encoding="utf-8"))
    said = {**said, **shape, "layer_types": ["full_attention"] * shape["num_hidden_layers"]}
    folder.mkdir(parents=True)
    for file in like.iterdir():
        if file.suffix in (".json", ".jinja"):
            shutil.copy(file, folder)
    (folder / "config.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(str(folder)), dtype=torch.bfloat16)
    model.save_pretrained(str(folder), safe_serialization=True)
    return folder


def operations(base: Path) -> float:
    """Floating-point operations for a token of LoRA training: 4 for each weight that is multiplied, since a frozen
    base has no gradient of its own (2 forward, 2 backward; Hu et al. 2021). Attention's own and LoRA's are left out."""
    from safetensors import safe_open

    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    count = 0
    for file in base.glob("*.safetensors"):
        with safe_open(str(file), "pt") as held:
            for name in held.keys():  # noqa: SIM118
                shape = held.get_slice(name).get_shape()
                if len(shape) == 2 and "embed_tokens" not in name:
                    count += shape[0] * shape[1]
    head = config["vocab_size"] * config["hidden_size"] if config.get("tie_word_embeddings") else 0
    return 4.0 * (count + head)


def peak(device: str) -> tuple[str, float]:
    """The GPU's name, and what it can do a second; 0 where that is not known."""
    if device != "cuda":
        return "CPU", 0.0
    import torch

    name = torch.cuda.get_device_name()
    return name, next((value for known, value in PEAK.items() if known in name), 0.0)
