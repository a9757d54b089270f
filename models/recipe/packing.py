"""Examples packed into rows: first fit, longest first. A batch is a pure function of its step."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from models.recipe.examples import Maker
from models.recipe.settings import Schedule
from models.recipe.tokenizer import ANSWER, PROMPT, Encoded


@dataclass(frozen=True, slots=True)
class Batch:
    """ids, parts: [rows, tokens]; chosen, targets, weights: [positions]; the first `answers` positions are answers."""

    ids: Tensor
    parts: Tensor
    chosen: Tensor
    targets: Tensor
    weights: Tensor
    answers: int
    filled: float


def batch(maker: Maker, encode: Encoded, schedule: Schedule, seed: int, step: int) -> Batch:
    """The batch of a step."""
    maker.at(seed, step)
    examples, drawn = [], 0
    while drawn < schedule.rows * schedule.tokens * schedule.drawn:
        example = encode(maker.draw())
        if len(example[0]) <= schedule.tokens + 1:
            examples.append(example)
            drawn += len(example[0])
    shape = (schedule.rows, schedule.tokens + 1)
    ids, kinds = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    parts = torch.zeros(shape, dtype=torch.long)
    ends = [0] * schedule.rows
    for number, (tokens, kind) in enumerate(sorted(examples, key=lambda e: -len(e[0])), 1):
        row = next((r for r, end in enumerate(ends) if end + len(tokens) <= shape[1]), None)
        if row is None:
            continue
        span = slice(ends[row], ends[row] + len(tokens))
        ids[row, span], kinds[row, span], parts[row, span] = torch.tensor(tokens), torch.tensor(kind), number
        ends[row] += len(tokens)
    chosen, weights, answers = _chosen(kinds[:, 1:].flatten(), schedule, random.Random(f"{seed}/{step}"))  # noqa: S311
    targets = ids[:, 1:].flatten()[chosen]
    filled = sum(ends) / (schedule.rows * shape[1])
    return Batch(ids[:, :-1].contiguous(), parts[:, :-1].contiguous(), chosen, targets, weights, answers, filled)


def _chosen(kinds: Tensor, schedule: Schedule, rng: random.Random) -> tuple[Tensor, Tensor, int]:
    """Flat positions with a loss and their weights: a constant number, so that the compiled graph is one."""
    answers = (kinds == ANSWER).nonzero()[:, 0].tolist()
    prompts = (kinds == PROMPT).nonzero()[:, 0].tolist()
    if len(answers) > schedule.positions:
        answers = sorted(rng.sample(answers, schedule.positions))
    prompts = sorted(rng.sample(prompts, min(len(prompts), schedule.positions - len(answers))))
    missing = schedule.positions - len(answers) - len(prompts)
    chosen = torch.tensor(answers + prompts + answers[:1] * missing)
    weights = torch.tensor([1.0] * len(answers) + [schedule.prompt_weight] * len(prompts) + [0.0] * missing)
    return chosen, weights, len(answers)
