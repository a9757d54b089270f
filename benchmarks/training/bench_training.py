"""Tokens a second of ours against TRL's SFTTrainer, as it comes and at its best: same base, rows, updates, loss.

    python -m benchmarks.training.bench_training [--rows 240] [--epochs 1] [--threads 2] [--rounds 2] [--base DIR]
    python -m benchmarks.training.bench_training --device cuda --random 0.6B --rows 2000 --batch 32   # on a GPU

Each trainer runs in a process of its own, in turns; the fastest of its rounds counts. Timed is `train()` alone, without
loading, by the clock and by the processor's time: with one thread the second says the same on a machine that is shared.
Tokens are those of the rows, padding not counted, so that whoever pads more is slower. The held-out loss is computed by
one function for all: a trainer that is fast because it learns less would show it.

On a GPU both compute in bf16, as they do by default, and MFU is said: operations that the base's weights take (4 a
weight and token, since they are frozen) over what the GPU can do. `--random` makes a base of that size with random
weights. As many updates for both: ours has no least number of them (min_steps) here.

    ours        the worker's training, with its checkpoints, as a fine-tune runs it; without warm-up, as TRL's
    trl         SFTTrainer with its defaults and assistant_only_loss: gradient checkpointing, bf16, rows as they come
    trl-plain   without gradient checkpointing
    trl-grouped as well, rows grouped by length, in fp32 and in bf16
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.training import random_base

ROOT = Path(__file__).resolve().parents[2]
PEERS = ("ours", "trl", "trl-plain", "trl-grouped-fp32", "trl-grouped-bf16")
HELD = 48
RATE = 2e-3


def chats(count: int, seed: int) -> list[list[dict[str, str]]]:
    """Evidence of the sample handbook, a question, and an answer in a manner that the base does not have."""
    draw = random.Random(seed)  # noqa: S311
    texts = [file.read_text(encoding="utf-8") for file in sorted((ROOT / "sample" / "handbook").rglob("*.md"))]
    sentences = [one.strip() for text in texts for one in re.split(r"(?<=[.!?])\s+", text) if 40 <= len(one) <= 240]
    found = []
    for _ in range(count):
        shown = draw.sample(sentences, draw.choice((1, 2, 3, 3, 5)))
        number = draw.randrange(len(shown)) + 1
        evidence = "\n".join(f"[{at}] Handbook (strong)\n{one}" for at, one in enumerate(shown, 1))
        words = " ".join(draw.sample(shown[number - 1].split(), 3))
        answer = json.dumps({"answer": shown[number - 1], "sources": [number]})
        question = f"{evidence}\n\nWhat about {words}?"
        found.append([{"role": "user", "content": question}, {"role": "assistant", "content": answer}])
    return found


def tokens(chats: list[Any], base: Path, device: str = "cpu") -> tuple[Any, Any, list[Any]]:
    from orchestration.engines.base_model import load_base
    from orchestration.engines.training_rows import context, stop_tokens, tokenized

    model, tokenizer = load_base(base, dtype="bfloat16" if device == "cuda" else "float32", device=device)
    rows = tokenized(
        tokenizer, chats, limit=context(model.config, tokenizer), stops=stop_tokens(base, tokenizer), what="train"
    )
    return model, tokenizer, rows


def held_out(model: Any, base: Path) -> float:
    """The loss of an answer's token on rows that no trainer saw."""
    import torch

    from orchestration.engines.training_loop import answer_loss, padded

    _, tokenizer, rows = tokens(chats(HELD, seed=99), base)
    with torch.no_grad():
        model, pad = model.eval().float(), tokenizer.pad_token_id
        total = sum(
            float(answer_loss(model, {name: one.to(model.device) for name, one in padded([row], pad).items()}))
            for row in rows
        )
    return total / sum(row.answers for row in rows)


def ours(asked: argparse.Namespace) -> dict[str, float]:
    from assets.behavior.adapter.config import AdapterConfig
    from orchestration.engines import training_checkpoints, training_run

    config = AdapterConfig(
        epochs=asked.epochs,
        threads=asked.threads,
        device=asked.device,
        learning_rate=RATE,
        warmup_share=0,
        batch_rows=asked.batch,
        min_steps=0,
    )
    model, tokenizer, rows = tokens(chats(asked.rows, seed=1), asked.base, asked.device)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "training"
        training_checkpoints.take(root, "bench")
        order = {"said": config.settled(asked.device, asked.threads).said(), "scratch": str(root), "run": "bench"}
        begun = clocks()
        trained, progress = training_run.train(order, (model, tokenizer), rows, [], lambda _: None)
        used = clocks() - begun
    return _said(progress.tokens, used, len(progress.losses), held_out(trained, asked.base))


def trl(asked: argparse.Namespace, **changes: Any) -> dict[str, float]:
    from datasets import Dataset  # pyright: ignore[reportMissingImports]
    from peft import LoraConfig
    from trl.trainer.sft_config import SFTConfig  # pyright: ignore[reportMissingImports]
    from trl.trainer.sft_trainer import SFTTrainer  # pyright: ignore[reportMissingImports]

    said = chats(asked.rows, seed=1)
    model, tokenizer, rows = tokens(said, asked.base, asked.device)
    with tempfile.TemporaryDirectory() as folder:
        arguments = {
            "output_dir": folder,
            "use_cpu": asked.device == "cpu",
            "num_train_epochs": asked.epochs,
            "learning_rate": RATE,
            "per_device_train_batch_size": asked.batch,
            "assistant_only_loss": True,
            "save_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
            "dataloader_pin_memory": False,
            **changes,
        }
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(**arguments),
            train_dataset=Dataset.from_list([{"messages": chat} for chat in said]),
            processing_class=tokenizer,
            peft_config=LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules="all-linear"),
        )
        begun = clocks()
        trainer.train()
        used = clocks() - begun
    count = asked.epochs * sum(len(row.ids) for row in rows)
    return _said(count, used, trainer.state.global_step, held_out(trainer.model, asked.base))


def clocks() -> np.ndarray:
    """Seconds by the clock, and of the processor."""
    return np.array([time.monotonic(), time.process_time()])


def _said(count: int, used: np.ndarray, updates: int, loss: float) -> dict[str, float]:
    seconds, cpu = map(float, used)
    return {"rate": count / seconds, "cpu_rate": count / cpu, "seconds": seconds, "updates": updates, "loss": loss}


def one(asked: argparse.Namespace) -> dict[str, float]:
    import torch

    torch.set_num_threads(asked.threads)
    if asked.peer == "ours":
        return ours(asked)
    grouped = {"gradient_checkpointing": False, "train_sampling_strategy": "group_by_length"}
    changes = {
        "trl": {},
        "trl-plain": {"gradient_checkpointing": False},
        "trl-grouped-fp32": {**grouped, "bf16": False},
        "trl-grouped-bf16": {**grouped, "bf16": True},
    }
    return trl(asked, **changes[asked.peer])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=240)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--base", type=Path, default=ROOT / "models" / "tiny-reader")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, default=8, help="rows of an update")
    parser.add_argument("--random", choices=sorted(random_base.SIZES), help="a base of this size, with random weights")
    parser.add_argument("--peer", choices=PEERS)
    asked = parser.parse_args()
    if asked.peer:
        print("RESULT " + json.dumps(one(asked)))
        return
    with tempfile.TemporaryDirectory() as folder:
        if asked.random:
            asked.base = random_base.write(Path(folder) / "base", asked.random, like=asked.base)
        compare(asked)


def compare(asked: argparse.Namespace) -> None:
    """All trainers by turns, and a table."""
    load = os.getloadavg()[0]
    print(f"{asked.rows} rows, {asked.epochs} epochs, {asked.threads} threads, load {load:.1f} before the first round")
    if load > 0.5:
        print("this machine is not quiet: ratios say more than rates")
    best: dict[str, dict[str, float]] = {}
    for _ in range(asked.rounds):
        for peer in PEERS:
            found = started(peer, asked)
            before = best.setdefault(peer, found)
            best[peer] = {**found, **{name: max(found[name], before[name]) for name in ("rate", "cpu_rate")}}
    device, most = random_base.peak(asked.device)
    print(f"{device}; {random_base.operations(asked.base) / 1e6:,.0f} million operations a token")
    heads = ("tokens/s", 10), ("tokens/CPU-s", 14), ("updates", 9), ("held-out loss", 15)
    print(" " * 20 + "".join(f"{head:>{width}}" for head, width in (*heads, ("ours is", 9), ("by CPU", 9), ("MFU", 8))))
    for peer, found in best.items():
        by_clock, by_cpu = (best["ours"][name] / found[name] for name in ("rate", "cpu_rate"))
        print(
            f"{peer:<20}{found['rate']:>10,.0f}{found['cpu_rate']:>14,.0f}{found['updates']:>9.0f}"
            f"{found['loss']:>15.4f}{by_clock:>8.2f}x{by_cpu:>8.2f}x{_mfu(found['rate'], asked.base, most):>8}"
        )
    for name, said in (("rate", "the clock"), ("cpu_rate", "the processor's time")):
        mine, default = best["ours"][name], best["trl"][name]
        quickest = max(best[peer][name] for peer in PEERS[1:])
        goal = 1.2 if asked.device == "cpu" else 3.0
        print(
            f"by {said}: {mine / default:.2f}x TRL's default (goal {goal}), {mine / quickest:.2f}x its best setting "
            "(goal 1.0)"
        )


def _mfu(rate: float, base: Path, most: float) -> str:
    return f"{rate * random_base.operations(base) / most:.1%}" if most else "-"


def started(peer: str, asked: argparse.Namespace) -> dict[str, float]:
    """One round of a trainer, in a process of its own."""
    threads, base = asked.threads, ["--base", str(asked.base)]
    given = [one for one in sys.argv[1:] if not one.startswith("--random=")]
    if "--random" in given:
        at = given.index("--random")
        del given[at : at + 2]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.training.bench_training", *given, *base, "--peer", peer],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"},
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        sys.exit(f"{peer} did not end: {done.stderr[-2_000:]}")
    return json.loads(lines[0].removeprefix("RESULT "))


if __name__ == "__main__":
    main()
