"""Two sets of weights as one, weight by weight: what was trained, and what it went on from (WiSE-FT).

A run that goes on from a model forgets some of what that one could. Their average is often better than both (Wortsman
et al. 2022, "Robust fine-tuning of zero-shot models"), as it was here: see the card.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def blend(start: Path, trained: Path, out: Path, share: float) -> Path:
    """Writes `share` of the trained weights and the rest of the first ones, in bf16, with the tokenizer of `start`.

    ValueError where the two are not of one architecture.
    """
    model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    other = AutoModelForCausalLM.from_pretrained(trained, dtype=torch.float32).state_dict()
    mine = model.state_dict()
    if {name: w.shape for name, w in mine.items()} != {name: w.shape for name, w in other.items()}:
        raise ValueError(f"{start} and {trained} hold other weights: only models of one architecture can be blended")
    model.load_state_dict({name: torch.lerp(weight, other[name], share) for name, weight in mine.items()})
    model.to(torch.bfloat16)
    model.generation_config.max_length = None
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(start).save_pretrained(out)
    return out
