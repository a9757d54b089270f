"""After the fine-tune: preference pairs, by TRL's DPO (Rafailov et al. 2023). Imported only where it is configured.

The fine-tuned adapter is trained on; what it must stay close to is the same adapter as the fine-tune left it. A stage
that was killed begins again: it is short, and its updates are the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from assets.behavior.adapter.config import AdapterConfig
from assets.ports.training import Diverged, UnfitRows
from orchestration.engines import training_checkpoints as checkpoints


def prefer(
    order: Mapping[str, Any], model: Any, tokenizer: Any, emit: Callable[[Mapping[str, Any]], None]
) -> dict[str, float]:
    """Trains the model's adapter on the order's pairs; returns the last loss, reward margin and how many pairs."""
    from datasets import Dataset  # pyright: ignore[reportMissingImports] - of the extra
    from transformers import TrainerCallback
    from trl.trainer.dpo_config import DPOConfig  # pyright: ignore[reportMissingImports]
    from trl.trainer.dpo_trainer import DPOTrainer  # pyright: ignore[reportMissingImports]

    config, root, pairs = AdapterConfig.of(order["said"]), Path(order["scratch"]), order["pairs"]
    if not pairs:
        raise UnfitRows(
            "adapter.dpo.enabled is true, and the dataset has no preference pairs",
            expected="answers that people corrected: each gives a pair",
            next_step="set adapter.dpo.enabled = false",
        )

    class Owned(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            checkpoints.require(root, order["run"])

        def on_log(self, args: Any, state: Any, control: Any, **said: Any) -> None:  # noqa: ARG002
            if "loss" in (said.get("logs") or {}):
                emit(_event(state, said["logs"]))

    rows = [
        {name: pair[name] if name == "prompt" else [{"role": "assistant", "content": pair[name]}] for name in pair}
        for pair in pairs
    ]
    trainer = DPOTrainer(
        model=model,
        args=DPOConfig(**_arguments(root, config)),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=[Owned()],
    )
    trainer.train()
    last = next((one for one in reversed(trainer.state.log_history) if "loss" in one), {})
    if not last.get("loss", 0.0) < float("inf"):
        raise Diverged(
            f"the loss of preference pairs was {last['loss']}",
            expected="a number",
            next_step="lower adapter.dpo.learning_rate; nothing was published",
        )
    margin = float(last.get("rewards/margins", 0.0))
    return {"pairs": float(len(rows)), "loss": float(last.get("loss", 0.0)), "margin": margin}


def _arguments(root: Path, config: AdapterConfig) -> dict[str, Any]:
    return {
        "output_dir": str(root / "preference"),
        "beta": config.dpo.beta,
        "learning_rate": config.dpo.learning_rate,
        "num_train_epochs": config.dpo.epochs,
        "per_device_train_batch_size": max(1, config.batch_rows // config.accumulation),
        "gradient_accumulation_steps": config.accumulation,
        "lr_scheduler_type": config.schedule,
        "max_length": None,  # rows that are too long are refused before; none is cut
        "save_strategy": "no",
        "logging_steps": 1,
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": config.device == "cpu",
        "bf16": config.precision == "bf16",
        "gradient_checkpointing": config.recompute == "on",
        "seed": config.seed,
        "data_seed": config.seed,
        "dataloader_pin_memory": False,
    }


def _event(state: Any, logs: Mapping[str, float]) -> dict[str, Any]:
    return {
        "event": "step",
        "step": int(state.global_step),
        "steps": int(state.max_steps),
        "loss": float(logs["loss"]),
        "validation": None,
        "tokens_per_second": 0.0,
        "left": 0.0,
    }
