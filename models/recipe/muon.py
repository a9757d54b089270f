"""Muon (Jordan et al. 2024): momentum, orthogonalized by a Newton-Schulz iteration, for the matrices of a network."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

_A, _B, _C = 3.4445, -4.7750, 2.0315  # Jordan's quintic
_ROUNDS = 5
MOMENTUM = 0.95


class Muon:
    """Steps matrices of equal shape together. `state()` and `load()` carry the momenta over a restart."""

    def __init__(self, weights: Iterable[nn.Parameter]) -> None:
        self.groups: dict[tuple[int, ...], list[nn.Parameter]] = {}
        for weight in weights:
            self.groups.setdefault(tuple(weight.shape), []).append(weight)
        self.momenta = {shape: torch.zeros(len(group), *shape) for shape, group in self.groups.items()}

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update at a learning rate; takes the gradients as they are."""
        for (rows, columns), group in self.groups.items():
            gradient = torch.stack([weight.grad for weight in group if weight.grad is not None])
            momentum = self.momenta[rows, columns].lerp_(gradient, 1 - MOMENTUM)
            update = orthogonal(gradient.lerp(momentum, MOMENTUM)) * max(1, rows / columns) ** 0.5
            for weight, change in zip(group, update, strict=True):
                weight.add_(change, alpha=-rate)

    def state(self) -> dict[str, Tensor]:
        """Momenta by shape."""
        return {"x".join(map(str, shape)): value for shape, value in self.momenta.items()}

    def load(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state`."""
        for shape in self.momenta:
            self.momenta[shape] = state["x".join(map(str, shape))].clone()


def orthogonal(matrices: Tensor) -> Tensor:
    """[n, rows, columns] with singular values pushed to about one, in bf16 arithmetic."""
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_ROUNDS):
        square = x @ x.mT
        x = _A * x + (_B * square + _C * square @ square) @ x
    return (x.mT if tall else x).float()
