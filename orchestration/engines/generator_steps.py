"""Greedy decoding of one batch, a token a step; a row that has ended leaves the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Row:
    """A prompt (token ids), how many tokens may follow, and what was said so far. `seconds` is its share of the time
    of every step that it took part in."""

    prompt: Sequence[int]
    most: int
    said: list[int] = field(default_factory=list)
    seconds: float = 0.0
    ended: bool = False

    def restarted(self) -> Row:
        """The same prompt, with nothing said."""
        return Row(self.prompt, self.most)


def decode(model: Any, rows: Sequence[Row], *, stops: frozenset[int], pad: int, clock: Callable[[], float]) -> None:
    """Lets every row say the likeliest token until it says one of `stops` (which is not kept) or has said `most`."""
    import torch

    from orchestration.engines.generator_cache import cache as empty

    with torch.inference_mode():
        ids, mask = _padded(rows, pad, model.device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache, alive = empty(model), list(rows)
        while alive:
            began = clock()
            logits = model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            tokens = logits.argmax(-1)
            staying = [at for at, token in enumerate(tokens.tolist()) if _goes_on(alive[at], token, stops)]
            share = (clock() - began) / len(alive)
            for row in alive:
                row.seconds += share
            if len(staying) < len(alive):
                chosen = torch.tensor(staying, dtype=torch.long, device=model.device)
                alive = [alive[at] for at in staying]
                tokens, mask, positions = tokens[chosen], mask[chosen], positions[chosen]
                if alive:
                    cache.batch_select_indices(chosen)
            ids, positions = tokens[:, None], positions[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(alive), 1)], 1)


def _goes_on(row: Row, token: int, stops: frozenset[int]) -> bool:
    if token in stops:
        row.ended = True
        return False
    row.said.append(token)
    return len(row.said) < row.most


def _padded(rows: Sequence[Row], pad: int, device: Any) -> tuple[Any, Any]:
    """Token ids and attention mask, padded on the left: every next token then belongs at the end."""
    import torch

    width = max(len(row.prompt) for row in rows)
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for at, row in enumerate(rows):
        ids[at, width - len(row.prompt) :] = torch.tensor(row.prompt, dtype=torch.long)
        mask[at, width - len(row.prompt) :] = 1
    return ids.to(device), mask.to(device)
