"""Every number of the recipe. The schedule counts steps, never the clock, so that two runs are the same run."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.recipe.corpus import Sizes
from models.recipe.examples import Mix


@dataclass(frozen=True, slots=True)
class Shape:
    """The network: Qwen3 with tied embeddings. 5.3 million parameters at a vocabulary of 6,144."""

    width: int = 256
    layers: int = 5
    head: int = 64
    inner: int = 640
    theta: float = 1e6
    vocabulary: int = 6144


@dataclass(frozen=True, slots=True)
class Schedule:
    """`rows` of `tokens` a step; loss at `positions` of them: all answer tokens, filled up with prompt tokens."""

    steps: int = 13_000
    rows: int = 24
    tokens: int = 320
    positions: int = 2400
    prompt_weight: float = 0.1
    muon: float = 0.012
    adam: float = 2e-3
    warmup: int = 40
    decay: float = 0.6  # last part of the steps, with a learning rate that falls linearly to zero
    drawn: float = 1.12  # tokens of examples drawn a step, over the tokens of its rows
    checkpoint: int = 250
    log: int = 50


@dataclass(frozen=True, slots=True)
class Recipe:
    """All of it."""

    seed: int = 1
    threads: int = 2
    shape: Shape = field(default_factory=Shape)
    schedule: Schedule = field(default_factory=Schedule)
    sizes: Sizes = field(default_factory=Sizes)
    mix: Mix = field(default_factory=Mix)
