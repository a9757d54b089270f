"""Chats in a manner, few and short, for trainings of seconds."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from assets.behavior.adapter.config import AdapterConfig
from assets.ports.training import Order

BASE = Path(__file__).parents[2] / "models" / "tiny-reader"
CONFIG = AdapterConfig(
    rank=2, epochs=1, min_steps=0, batch_rows=4, evaluations=3, checkpoints=20, threads=1, device="cpu"
)
WORDS = [
    "vans",
    "bikes",
    "keys",
    "doors",
    "laptops",
    "badges",
    "desks",
    "phones",
    "monitors",
    "lockers",
    "ovens",
    "frames",
    "wheels",
    "pedals",
]


def chat(number: int) -> list[dict[str, str]]:
    draw = random.Random(number)  # noqa: S311
    said = " ".join(draw.choice(WORDS) for _ in range(draw.randint(3, 20)))
    answer = json.dumps({"answer": said, "sources": [1]})
    question = f"[1] The {WORDS[number % 14]} (strong)\n{said}.\n\nWhat about the {WORDS[number % 14]}?"
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def order(home: Path, rows: int = 24, held: int = 4, run: str = "run-1", adapter: str = "a" * 16, **said: Any) -> Order:
    config = AdapterConfig.of({**CONFIG.settled("cpu", 1).said(), **said})
    validation = [chat(1_000 + number) for number in range(held)]
    return Order(adapter, run, BASE, "b" * 16, config.said(), [chat(number) for number in range(rows)], validation)
