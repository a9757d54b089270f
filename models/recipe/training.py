"""Training by steps, with checkpoints that resume to the same bits (same machine, same number of threads)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from models.recipe.examples import Maker
from models.recipe.items import read
from models.recipe.muon import Muon
from models.recipe.network import Packed, new_model
from models.recipe.packing import Batch, batch
from models.recipe.settings import Recipe, Schedule
from models.recipe.tokenizer import Encoded, printable

CHECKPOINT = "checkpoint.pt"
Log = Callable[[str], None]


class Trainer:
    """One run: model, optimizers, step. `start`: a model folder to go on from instead of random weights."""

    def __init__(self, recipe: Recipe, data: Path, tokenizer: PreTrainedTokenizerFast, start: Path | None) -> None:
        torch.set_num_threads(recipe.threads)
        torch.use_deterministic_algorithms(mode=True)
        self.recipe, self.tokenizer = recipe, tokenizer
        self.model: Any = (
            new_model(recipe.shape, tokenizer, recipe.seed)
            if start is None
            else AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
        )
        copies = json.loads((data / "copy.json").read_text(encoding="utf-8"))["train"]
        self.maker = Maker(read(data / "items.jsonl"), copies, printable(tokenizer), recipe.mix)
        self.encode = Encoded(tokenizer)
        self.loss = torch.compile(Packed(self.model.config, recipe.schedule.tokens).loss, dynamic=False)
        matrices = {n: p for n, p in self.model.named_parameters() if p.ndim == 2 and "embed" not in n}
        rest = [p for n, p in self.model.named_parameters() if n not in matrices]
        self.muon = Muon(matrices.values())
        self.adam = torch.optim.AdamW(rest, lr=recipe.schedule.adam, betas=(0.9, 0.95), weight_decay=0.0)
        self.step = 0

    def one_step(self) -> tuple[float, Batch]:
        """One update; returns the mean loss of the answer tokens, and the batch."""
        schedule = self.recipe.schedule
        made = batch(self.maker, self.encode, schedule, self.recipe.seed, self.step)
        loss, losses = self.loss(self.model, made.ids, made.parts, made.chosen, made.targets, made.weights)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"loss is {loss.item()} at step {self.step}: lower the learning rates")
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        scale = rate(schedule, self.step)
        self.adam.param_groups[0]["lr"] = schedule.adam * scale
        self.adam.step()
        self.muon.step(schedule.muon * scale)
        self.model.zero_grad(set_to_none=True)
        self.step += 1
        return losses[: made.answers].mean().item(), made

    def save(self, folder: Path) -> None:
        """Everything that the next step depends on, replaced in one move."""
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "muon": self.muon.state(),
            "adam": self.adam.state_dict(),
        }
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(state, folder / f"{CHECKPOINT}.new")
        os.replace(folder / f"{CHECKPOINT}.new", folder / CHECKPOINT)  # noqa: PTH105

    def resume(self, folder: Path) -> bool:
        """Goes to the checkpoint of a folder; False where there is none."""
        if not (folder / CHECKPOINT).exists():
            return False
        state = torch.load(folder / CHECKPOINT, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.muon.load(state["muon"])
        self.adam.load_state_dict(state["adam"])
        self.step = state["step"]
        return True

    def export(self, folder: Path) -> None:
        """The model as it is published: bf16 safetensors, tokenizer, chat template."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {k: v.to(torch.bfloat16) if v.is_floating_point() else v for k, v in self.model.state_dict().items()}
        config = self.model.config.to_dict()
        published = type(self.model)(type(self.model.config).from_dict(config)).to(torch.bfloat16)
        published.load_state_dict(weights)
        published.generation_config.max_length = None
        published.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def rate(schedule: Schedule, step: int) -> float:
    """Share of the learning rate: a short warm-up, a plateau, a linear fall to zero at the last step."""
    left = (schedule.steps - step) / schedule.steps
    return min(1.0, (step + 1) / schedule.warmup) * min(1.0, left / schedule.decay)


def train(recipe: Recipe, data: Path, out: Path, start: Path | None, log: Log) -> Path:
    """Trains to the last step, from a checkpoint where there is one, and returns the folder of the model."""
    tokenizer = AutoTokenizer.from_pretrained(start or out / "tokenizer")
    trainer = Trainer(recipe, data, tokenizer, start)
    resumed = trainer.resume(out)
    parameters = sum(p.numel() for p in trainer.model.parameters())
    log(f"{parameters} parameters, {[len(p) for p in trainer.maker.pools]} items; step {trainer.step}, {resumed=}")
    schedule, clock, smooth, filled = recipe.schedule, time.monotonic(), None, 0.0
    while trainer.step < schedule.steps:
        loss, made = trainer.one_step()
        smooth = loss if smooth is None else 0.97 * smooth + 0.03 * loss
        filled += made.filled
        if trainer.step % schedule.log == 0:
            speed = schedule.log * schedule.rows * schedule.tokens / (time.monotonic() - clock)
            seen = trainer.step * schedule.rows * schedule.tokens / 1e6
            where = f"step {trainer.step} of {schedule.steps}, {seen:.2f}M tokens"
            log(f"{where}, {speed:.0f} tokens/s, filled {filled / schedule.log:.2f}, answer loss {smooth:.4f}")
            clock, filled = time.monotonic(), 0.0
        if trainer.step % schedule.checkpoint == 0:
            trainer.save(out)
    trainer.save(out)
    trainer.export(out / "model")
    return out / "model"
