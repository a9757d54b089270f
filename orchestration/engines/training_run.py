"""One training from its order to the two files of an adapter, inside the worker."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import save_file
from transformers import TrainerCallback, TrainingArguments

from assets.behavior.adapter.config import AdapterConfig
from assets.behavior.adapter.store import CONFIG, WEIGHTS
from assets.ports.training import Diverged
from orchestration.engines import training_checkpoints as checkpoints
from orchestration.engines.training_declining import Questions
from orchestration.engines.training_loop import BEST, AnswerTrainer, Planned, Progress, padded
from orchestration.engines.training_plan import parts, planned_updates
from orchestration.engines.training_rows import Tokens

LARGE = 1_000_000_000  # parameters from which activations are computed twice rather than kept
HELD_TOKENS = 8_192  # padded tokens of held-out rows at once
EVENTS = 200  # at most, of a training; so that no log drowns
Emit = Callable[[Mapping[str, Any]], None]


class Watch(TrainerCallback):
    """After each update: is the training still ours, is the loss a number, is it time to look at held-out rows?"""

    def __init__(self, root: Path, run: str, config: AdapterConfig, progress: Progress, emit: Emit) -> None:
        self.root, self.run, self.config, self.progress, self.emit = root, run, config, progress, emit
        self.sizes: Sequence[tuple[int, int]] = ()  # tokens, answer tokens of each update
        self.trainer: Any = None
        self.steps = 0
        self._begun = time.monotonic()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Before weights are touched."""
        loss = float(torch.stack(self.trainer.running).sum())
        self.trainer.running.clear()
        if not math.isfinite(loss):
            raise Diverged(
                f"the loss was {loss} at step {state.global_step + 1} of {self.steps}",
                expected="a number",
                next_step="lower adapter.learning_rate, or look for a damaged base; nothing was published",
            )
        self.progress.losses.append(loss)
        if self.trainer.diverged:
            self.progress.divergences.append(float(torch.stack(self.trainer.diverged).sum()))
            self.trainer.diverged.clear()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Counts, tells, and decides whether held-out rows are looked at."""
        step, progress = state.global_step, self.progress
        checkpoints.require(self.root, self.run)
        tokens, answers = self.sizes[step - 1]
        progress.tokens += tokens
        progress.answer_tokens += answers
        last = step == self.steps
        control.should_evaluate = bool(self.trainer.held) and (last or step % _every(self.steps, self.config) == 0)
        if step % max(1, self.steps // EVENTS) == 0 and not control.should_evaluate:
            self._tell(step, None)

    def on_evaluate(self, args: Any, state: Any, control: Any, **said: Any) -> None:  # noqa: ARG002
        """Keeps the best weights; stops when `patience` evaluations brought no better ones."""
        step, progress, loss = state.global_step, self.progress, float(said["metrics"]["eval_loss"])
        whole = loss + self._apart()
        progress.validation.append((step, loss))
        if whole < progress.lowest:
            progress.best, progress.worse, progress.weights = step, 0, adapter_weights(self.trainer.model)
            progress.lowest = whole
        else:
            progress.worse += 1
        if progress.worse >= self.config.patience and step < self.steps:
            progress.stopped = control.should_training_stop = True
        self._tell(step, loss)

    def _apart(self) -> float:
        """What the questions of the last updates weigh, as many updates as there are between two looks."""
        last = self.progress.divergences[-_every(self.steps, self.config) :]
        return self.trainer.questions.weight * sum(last) / len(last) if last else 0.0

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Makes the checkpoint that was just written a whole one."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if self.progress.weights:
            save_file(self.progress.weights, folder / BEST)
        checkpoints.require(self.root, self.run)
        checkpoints.seal(folder, self.progress.state())

    def _tell(self, step: int, validation: float | None) -> None:
        seconds = time.monotonic() - self._begun
        done = sum(tokens for tokens, _ in self.sizes[self.progress.resumed : step])
        ahead = sum(tokens for tokens, _ in self.sizes[step:])
        rate = done / max(seconds, 1e-9)
        said = {"step": step, "steps": self.steps, "loss": self.progress.losses[-1], "validation": validation}
        self.emit({"event": "step", **said, "tokens_per_second": rate, "left": ahead / max(rate, 1e-9)})


def train(  # noqa: ANN201
    order: Mapping[str, Any],
    base: tuple[Any, Any],
    rows: Sequence[Tokens],
    held: Sequence[Tokens],
    emit: Emit,
    questions: Questions | None = None,
):
    """Trains from the newest whole checkpoint, or from the start; returns (model, progress)."""
    config, root = AdapterConfig.of(order["said"]), Path(order["scratch"])
    model, tokenizer = base
    model = with_adapter(model, config)
    found = checkpoints.newest(root)
    progress = Progress.of(found[1], found[0]) if found else Progress()
    lengths = [len(row.ids) for row in rows]
    plan = planned_updates(lengths, config)
    watch = Watch(root, order["run"], config, progress, emit)
    watch.sizes = [(sum(lengths[row] for row in one), sum(rows[row].answers for row in one)) for one in plan]
    watch.steps = len(plan)
    pad = tokenizer.pad_token_id
    planned = Planned(rows, [part for one in plan for part in parts(one, lengths, config.accumulation)], pad, questions)
    trainer = AnswerTrainer(
        held=_held(held, pad),
        questions=questions,
        model=model,
        args=_arguments(root, config, len(plan), large(model)),
        train_dataset=planned,
        callbacks=[watch],
    )
    watch.trainer = trainer
    emit({"event": "begun", "steps": len(plan), "rows": len(rows), "resumed": progress.resumed})
    if not progress.stopped:
        trainer.train(resume_from_checkpoint=str(found[0]) if found else None)
    if progress.weights:
        set_peft_model_state_dict(trainer.model, progress.weights)
    else:
        progress.best = len(progress.losses)
    return trainer.model, progress


def with_adapter(model: Any, config: AdapterConfig) -> Any:
    """The base with a fresh adapter, drawn from the seed."""
    if config.quantize == "4bit":
        from peft import prepare_model_for_kbit_training

        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=_recomputes(config, large(model)))
    torch.manual_seed(config.seed)
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]
        lora_dropout=config.dropout,
        target_modules=config.targets if isinstance(config.targets, str) else list(config.targets),
        use_rslora=config.method == "rslora",
        use_dora=config.method == "dora",
        exclude_modules=(_without_direction(model) or None) if config.method == "dora" else None,
    )
    return get_peft_model(model, lora)


def _without_direction(model: Any) -> list[str]:
    """Layers with rows of zeros. DoRA divides each row by its length, and would make them NaN."""
    linear = ((name, one) for name, one in model.named_modules() if isinstance(one, torch.nn.Linear))
    return [name for name, one in linear if one.weight.is_floating_point() and bool((one.weight == 0).all(1).any())]


def adapter_weights(model: Any) -> dict[str, torch.Tensor]:
    """The adapter's own tensors, as they are published: on the CPU, in fp32, in one order."""
    found = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: found[name].detach().to("cpu", torch.float32).contiguous().clone() for name in sorted(found)}


def save(model: Any, folder: Path, base_id: str, strength: float = 1.0) -> None:
    """The two files. The configuration names the base by its id, and holds no path; alpha is scaled by `strength`."""
    weights = adapter_weights(model)
    broken = [name for name, one in weights.items() if not bool(torch.isfinite(one).all())]
    if broken:
        raise Diverged(
            f"{len(broken)} of the trained weights are no numbers, {broken[0]} first",
            expected="finite weights",
            next_step="lower adapter.learning_rate; nothing was published",
        )
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    said = model.peft_config["default"].to_dict()
    said |= {"base_model_name_or_path": base_id, "inference_mode": True, "auto_mapping": None, "revision": None}
    said["lora_alpha"] *= strength
    (folder / CONFIG).write_text(json.dumps(said, indent=1, sort_keys=True, default=sorted) + "\n", encoding="utf-8")


def large(model: Any) -> bool:
    """Whether activations of the base are worth saving."""
    return sum(one.numel() for one in model.parameters()) >= LARGE


def _recomputes(config: AdapterConfig, large: bool) -> bool:
    return config.recompute == "on" or (config.recompute == "auto" and large)


def _every(steps: int, config: AdapterConfig) -> int:
    """Updates between two looks at the held-out rows."""
    return max(1, steps // config.evaluations)


def _arguments(root: Path, config: AdapterConfig, steps: int, large: bool) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(root),
        per_device_train_batch_size=1,  # a planned part is one item
        gradient_accumulation_steps=config.accumulation,
        max_steps=steps,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=round(config.warmup_share * steps),
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        optim="adamw_torch",
        save_strategy="steps",
        save_steps=max(1, steps // config.checkpoints),
        save_total_limit=2,
        eval_strategy="no",  # the watch decides
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        use_cpu=config.device == "cpu",
        bf16=config.precision == "bf16",
        seed=config.seed,
        data_seed=config.seed,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        label_names=["labels"],
        activation_checkpointing=_recomputes(config, large),
    )


def _held(rows: Sequence[Tokens], pad: int) -> list[dict[str, torch.Tensor]]:
    """Held-out rows in batches of about equal length."""
    ordered = sorted(rows, key=lambda row: len(row.ids))
    batches: list[list[Tokens]] = []
    for row in ordered:
        if not batches or (len(batches[-1]) + 1) * len(row.ids) > HELD_TOKENS:
            batches.append([])
        batches[-1].append(row)
    return [padded(batch, pad) for batch in batches]
