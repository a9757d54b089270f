"""How much more often than usual interactions get a label, beyond what chance explains.

Labels that follow the outcome ("people complain more") raise the share of failures among labelled rows without any
shift of behavior, and they raise the labelled share with it. The rise D bounds what they can have done (shift.py).

    D = max over windows of  labelled/expected - 1 - margin x standard error,  at least 0

over all topics together. The standard error holds chance, day effects (the contract's belief) and the uncertainty of
the reference: at a hundred interactions a day D is mostly 0 and costs little, at a hundred thousand it is exact within
days. Margins are a compromise between that cost and what gets through (docs/decisions/0009).
"""

from __future__ import annotations

import numpy as np

from assets.decision.baselines import Baseline, long_run_variance, sigmoid

WINDOWS = {1: 2.5, 3: 2.0, 7: 1.5, 28: 1.0}  # days: standard errors that are left to chance


def rise(base: Baseline, n: np.ndarray, labelled: np.ndarray, first: int) -> np.ndarray:
    """D [days] of counts [days, topics]; `first` is the weekday of the first day. Topics without a baseline are left
    out: nobody knows how often they should be labelled."""
    weekday = base.offsets[(first + np.arange(len(n))) % 7][:, None]
    rate = sigmoid(base.logit + weekday) * base.known
    information = n * rate * (1 - rate)
    got, expected = (labelled * base.known).sum(1), (n * rate).sum(1)
    effects = long_run_variance(base.day_effects, 0.0)
    largest = np.zeros(len(n))
    for days, margin in WINDOWS.items():
        seen, usual, noise = (_window(part, days) for part in (got, expected, information))
        chance = noise.sum(1)
        share = noise / np.maximum(chance, 1e-12)[:, None]
        reference = (share**2 * base.se**2).sum(1)  # variance of the mean baseline (logit^2)
        width = np.minimum(np.arange(1, len(n) + 1), days)
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = chance / usual**2 + (chance / usual) ** 2 * (effects / width + reference)
            excess = seen / usual - 1 - margin * np.sqrt(variance)
        largest = np.maximum(largest, np.where(usual > 0, excess, 0.0))
    return largest


def _window(series: np.ndarray, days: int) -> np.ndarray:
    """Sums over the last days, fewer at the beginning, along the first axis."""
    sums = np.concatenate([np.zeros((1, *series.shape[1:])), np.cumsum(series, axis=0)])
    return sums[1:] - sums[np.maximum(np.arange(1, len(sums)) - days, 0)]
