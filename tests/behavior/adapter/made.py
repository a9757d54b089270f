"""Adapters as a training saves them, without a training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from assets.behavior.adapter.store import CONFIG, WEIGHTS, Adapter

BASE = "b" * 16


def adapter(id: str = "a" * 16, variant: str = "main", **said: Any) -> Adapter:
    told = {
        "dataset": "d" * 64,
        "content": "c" * 64,
        "base": BASE,
        "base_files": {"model.safetensors": "0" * 64},
        "template": "t" * 12,
        "created": "2026-11-28T12:00:00+00:00",
    }
    return Adapter(id, variant, **{**told, **said})


def saved(folder: Path, value: float = 1.0, **config: Any) -> Path:
    """A scratch folder with the two files."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"lora_A.weight": np.full((2, 3), value, np.float32)}, folder / WEIGHTS)
    said = {"peft_type": "LORA", "base_model_name_or_path": BASE, "auto_mapping": None, **config}
    (folder / CONFIG).write_text(json.dumps(said), encoding="utf-8")
    return folder
