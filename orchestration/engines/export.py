"""The merged model: base and adapter in one set of weights, shown to say the same before anybody may have it.

Weights are merged and saved in fp32; who serves them in another precision rounds once, as with the base. The check
compares logits on prompts: those of base and adapter apart, and of what was saved and loaded again. Where the base ties
its output to its embeddings, an adapter that changed either is refused: merged into one, it would change the other too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assets.errors import ModelError
from assets.ports.generation import Chat
from assets.serving.export import TOLERANCE, WEIGHTS
from orchestration.engines.base_model import load_base

TIED = ("embed_tokens", "wte", "word_embeddings", "lm_head", "embed_out")  # names of what bases tie


def merge(base: Path, adapter: Path, folder: Path, chats: Sequence[Chat], tolerance: float = TOLERANCE) -> float:
    """Writes the merged model to a folder; returns the largest difference of logits on the prompts.

    ModelError where it is above the tolerance, or the adapter changes tied embeddings: nothing may be used of it then.
    """
    from peft import PeftModel

    model, tokenizer = load_base(base, dtype="float32")
    if getattr(model.config.get_text_config(), "tie_word_embeddings", False):
        _refuse_tied(adapter / WEIGHTS)
    apart = PeftModel.from_pretrained(model.eval(), str(adapter)).eval()
    before = [_logits(apart, tokenizer, chat) for chat in chats]
    apart.merge_and_unload(safe_merge=True).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    again, _ = load_base(folder, dtype="float32")
    after = [_logits(again.eval(), tokenizer, chat) for chat in chats]
    difference = max((float((old - new).abs().max()) for old, new in zip(before, after, strict=True)), default=0.0)
    if difference <= tolerance:  # which NaN is not
        return difference
    raise ModelError(
        f"the merged model does not say what base and adapter say: logits differ by {difference:.3g}",
        expected=f"at most {tolerance:g}",
        next_step="export the adapter without --merged",
    )


def _logits(model: Any, tokenizer: Any, chat: Chat) -> Any:
    import torch

    text = tokenizer.apply_chat_template([dict(one) for one in chat], tokenize=False, add_generation_prompt=True)
    fed = tokenizer([text], return_tensors="pt", add_special_tokens=False)
    with torch.inference_mode():
        return model(input_ids=fed["input_ids"], attention_mask=fed["attention_mask"]).logits


def _refuse_tied(file: Path) -> None:
    from assets.behavior.adapter.weights import tensors

    touched = [name for name in tensors(file) if any(f".{part}." in f".{name}." for part in TIED)]
    if touched:
        raise ModelError(
            f"the adapter changes {touched[0]}, and the base ties its output to its embeddings",
            expected="an adapter that leaves both alone: merged into one, it would change the other as well",
            next_step="export it without --merged",
        )
