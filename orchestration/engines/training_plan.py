"""Which rows make which update, decided by the seed alone before the first step: a resumed run skips what was done."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assets.behavior.adapter.config import AdapterConfig

POOL = 8  # updates whose rows are sorted by length together: little padding, and still a random order


def updates(lengths: Sequence[int], *, batch_rows: int, epochs: int, seed: int) -> list[list[int]]:
    """Rows of every update of every epoch. Each epoch has every row once; its updates are of (nearly) equal size."""
    count = len(lengths)
    per_epoch = -(-count // batch_rows)
    plan: list[list[int]] = []
    for epoch in range(epochs):
        draw = np.random.Generator(np.random.PCG64([seed, epoch]))
        order = draw.permutation(count)
        pools = np.array_split(order, -(-per_epoch // POOL))
        by_length = np.concatenate([pool[np.argsort([lengths[row] for row in pool], kind="stable")] for pool in pools])
        cut = np.array_split(by_length, per_epoch)
        plan += [[int(row) for row in cut[at]] for at in draw.permutation(per_epoch)]
    return plan


def planned_updates(lengths: Sequence[int], config: AdapterConfig) -> list[list[int]]:
    """The updates of a training: its epochs, and more of them where they make fewer than `min_steps`; at most
    `max_steps`, where that is not 0."""
    epochs = max(config.epochs, -(-config.min_steps // -(-len(lengths) // config.batch_rows)))
    plan = updates(lengths, batch_rows=config.batch_rows, epochs=epochs, seed=config.seed)
    return plan[: config.max_steps] if config.max_steps else plan


def parts(rows: Sequence[int], lengths: Sequence[int], accumulation: int) -> list[list[int]]:
    """An update in `accumulation` parts of rows that are about as long; some are empty where rows are too few."""
    ordered = sorted(rows, key=lambda row: (lengths[row], row))
    return [[int(row) for row in part] for part in np.array_split(np.array(ordered, dtype=int), accumulation)]
