"""How many tokens a base reads, said once for whoever trains or asks it.

where it may be stated                              example
the tokenizer's model_max_length                    1024; 1e30 where nobody said
max_position_embeddings of the text configuration   as transformers names it, or maps it (n_positions of GPT-2)
max_seq_len                                         MPT, which transformers does not map, and which cannot read on
nowhere                                             Bloom, Mamba: any length, as far as anybody promises
"""

from __future__ import annotations

from typing import Any

ENDLESS = 1e9  # tokenizers that were told no length say 1e30
_NAMES = ("max_position_embeddings", "max_seq_len")


def stated_context(config: Any, tokenizer: Any) -> int | None:
    """The tokens that configuration (transformers') and tokenizer both promise to read; None where neither says."""
    text = config.get_text_config()  # of a base that sees as well; else the same one
    said = [tokenizer.model_max_length, *(getattr(text, name, None) for name in _NAMES)]
    return min((int(size) for size in said if size and 0 < size < ENDLESS), default=None)
