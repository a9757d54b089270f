"""Bayes factors over starts, sizes and topics: the arithmetic of shift.py, in logs where numbers grow.

For a topic z, a start j and a size h, BF compares "moved by h from day j on" with "did not move", both integrated over
what the baseline may be: 21 nodes x, b = logit + weekday + se x. With C^h(t) the log likelihood of days < t at b + h,

    BF_zjh(t) = sum_x w_x exp[C^0(j) + C^h(t) - C^h(j)] / sum_x w_x exp[C^0(t)]

Two ways to the same numbers: `last_day` computes one day for every start, and `every_day` all days at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from assets.decision.config import ONE, EventTest, ShiftConfig

_CHUNK = 32  # starts taken together
_TOPICS = 16  # topics taken together: bounds the memory of thousands, and a group stays in the processor's cache
_CAP = 500.0  # log evidence of one start, size and belief; far beyond any threshold, and its sum is a number still
_SAFE = 80.0  # log Bayes factors below this: eight may be multiplied before taking a log
_GROUP = 8


@dataclass(frozen=True, slots=True)
class Profile:
    """Log likelihoods of some topics at every node: `null` C^0 and one C^h for each size, [topics, days + 1, nodes]."""

    null: np.ndarray
    moved: tuple[np.ndarray, ...]
    log_weights: np.ndarray


def node_grid(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (standard errors) and the logs of their normal weights."""
    x = np.linspace(-3, 3, nodes)
    log_weights = -x * x / 2
    return x, log_weights - np.log(np.exp(log_weights).sum())


@dataclass(frozen=True, slots=True)
class Rows:
    """Topics with baselines `logit`, `se` [topics] and weighted counts n, S [topics, days] on days with weekday offsets
    `weekday` [days]. `raised` [topics, days, 2] raises the null odds e^b to a e^b + c (shift.py: leak, labels)."""

    logit: np.ndarray
    se: np.ndarray
    weekday: np.ndarray
    n: np.ndarray
    s: np.ndarray
    raised: np.ndarray | None = None

    def raised_days(self) -> np.ndarray:
        """Days on which the null odds of some topic are raised [days]."""
        if self.raised is None:
            return np.zeros(len(self.weekday), bool)
        return ((self.raised[..., 0] != 1) | (self.raised[..., 1] != 0)).any(0)

    def raised_logit(self, days: np.ndarray, base: np.ndarray) -> np.ndarray:
        """log of the null odds a e^b + c on such days; `base` [topics, these days, nodes] is b."""
        assert self.raised is not None  # noqa: S101 - for the type checker
        factor, more = self.raised[:, days, 0], self.raised[:, days, 1]
        return np.log(factor[:, :, None] * np.exp(base) + more[:, :, None])


def profile(rows: Rows, sizes: Sequence[float], nodes: int) -> Profile:
    """Log likelihoods of these topics on every day."""
    x, log_weights = node_grid(nodes)
    kinds, which = np.unique(rows.weekday, return_inverse=True)
    base = rows.logit[:, None, None] + kinds[None, :, None] + (rows.se[:, None] * x)[:, None, :]
    days = np.flatnonzero(rows.raised_days())
    raised = rows.raised_logit(days, base[:, which[days]]) if len(days) else None

    def cumulated(size: float) -> np.ndarray:
        level = base + size
        term = rows.s[:, :, None] * level[:, which] - rows.n[:, :, None] * np.logaddexp(0, level)[:, which]
        if raised is not None:
            odds = raised + size
            term[:, days] = rows.s[:, days, None] * odds - rows.n[:, days, None] * np.logaddexp(0, odds)
        sums = np.zeros((term.shape[0], term.shape[1] + 1, nodes))
        np.cumsum(term, axis=1, out=sums[:, 1:])
        return sums

    return Profile(cumulated(0.0), tuple(cumulated(size) for size in sizes), log_weights)


@dataclass(frozen=True, slots=True)
class Last:
    """Log likelihoods on the last day [topics, nodes], and what each start would gain by not moving before it
    [topics, starts, nodes], C^0(j) - C^h(j), for each size."""

    null: np.ndarray
    moved: tuple[np.ndarray, ...]
    gain: tuple[np.ndarray, ...]
    log_weights: np.ndarray


def last_profile(rows: Rows, sizes: Sequence[float], nodes: int, starts: np.ndarray) -> Last:
    """As `profile`, for the last day alone: sums over the days of one weekday, in place of days."""
    x, log_weights = node_grid(nodes)
    kinds, which = np.unique(rows.weekday, return_inverse=True)
    base = rows.logit[:, None, None] + kinds[None, :, None] + (rows.se[:, None] * x)[:, None, :]
    days = rows.raised_days()
    of_kind = (which == np.arange(len(kinds))[:, None]) & ~days  # [kinds, days]
    n = np.where(of_kind, rows.n[:, None, :], 0.0)
    s = np.where(of_kind, rows.s[:, None, :], 0.0)
    before = [_until(part, starts, 2) for part in (n, s)]
    whole_n, whole_s = n.sum(2), s.sum(2)
    tables = [np.logaddexp(0, base + size) for size in (0.0, *sizes)]

    def ended(size: float, table: np.ndarray) -> np.ndarray:
        return (whole_s[:, :, None] * (base + size) - whole_n[:, :, None] * table).sum(1)

    null, moved, gain = ended(0.0, tables[0]), [], []
    for size, table in zip(sizes, tables[1:], strict=True):
        moved.append(ended(size, table))
        gain.append(before[0].transpose(0, 2, 1) @ (table - tables[0]) - size * before[1].sum(1)[:, :, None])
    if days.any():
        logit = rows.raised_logit(np.flatnonzero(days), base[:, which[days]])
        null = null + _add_raised(rows, np.flatnonzero(days), logit, sizes, starts, moved, gain)
    return Last(null, tuple(moved), tuple(gain), log_weights)


def _until(table: np.ndarray, starts: np.ndarray, axis: int) -> np.ndarray:
    """Sums over the days before each start, along the axis of days."""
    if len(starts) and starts[-1] == 0:
        return np.zeros((*table.shape[:axis], len(starts), *table.shape[axis + 1 :]))
    sums = np.cumsum(np.take(table, np.arange(starts[-1] if len(starts) else 0), axis), axis=axis)
    found = np.take(sums, starts - 1, axis)
    if len(starts) and starts[0] == 0:
        found[(slice(None),) * axis + (0,)] = 0
    return found


def _add_raised(
    rows: Rows,
    days: np.ndarray,
    logit: np.ndarray,
    sizes: Sequence[float],
    starts: np.ndarray,
    moved: list[np.ndarray],
    gain: list[np.ndarray],
) -> np.ndarray:
    """Adds days with raised odds `logit` [topics, days, nodes] to `moved` and `gain`; returns their part of the null on
    the last day."""
    n, had = rows.n[:, days, None], rows.s[:, days].sum(1)[:, None]
    before = np.searchsorted(days, starts)  # how many of these days lie before each start
    until = np.concatenate([np.zeros((len(n), 1)), np.cumsum(rows.s[:, days], axis=1)], axis=1)[:, before]
    plain = (rows.s[:, days, None] * logit).sum(1)
    odds = np.exp(logit)
    null = np.log1p(odds)
    for number, size in enumerate(sizes):
        table = np.log1p(odds * np.exp(size))
        moved[number] = moved[number] + plain + size * had - (n * table).sum(1)
        table -= null
        table *= n
        sums = np.zeros((table.shape[0], table.shape[1] + 1, table.shape[2]))
        np.cumsum(table, axis=1, out=sums[:, 1:])
        gain[number] = gain[number] + sums[:, before] - size * until[:, :, None]
    return plain - (n * null).sum(1)


def last_day(found: Last) -> Iterator[np.ndarray]:
    """For each size, log BF [topics, starts] on the last day."""
    null = _log_sum(found.null + found.log_weights)
    for moved, gain in zip(found.moved, found.gain, strict=True):
        yield _log_sum(gain + (moved + found.log_weights)[:, None]) - null[:, None]


def every_day(found: Profile, starts: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For each size and chunk of starts: the size's number, the starts, and log BF [topics, days from the first start
    on, starts]; zero on days before a start.

    The middle start of a chunk is moved from the starts' part to the days' part before exponentiating, or the sum over
    nodes would underflow at a high volume.
    """
    weights = found.log_weights
    null = _log_sum(found.null[:, 1:] + weights)
    for number, moved in enumerate(found.moved):
        gain = found.null - moved
        for begin in range(0, len(starts), _CHUNK):
            chunk = starts[begin : begin + _CHUNK]
            middle = gain[:, chunk[len(chunk) // 2]][:, None]
            early = np.arange(chunk[0], min(chunk[-1], moved.shape[1] - 1))[:, None]  # days before some start
            before, after = weights + gain[:, chunk] - middle, moved[:, chunk[0] + 1 :] + middle
            high, higher = before.max(2), after.max(2)
            before -= high[:, :, None]
            after -= higher[:, :, None]
            product = np.exp(after) @ np.exp(before).transpose(0, 2, 1)
            with np.errstate(divide="ignore"):
                log_bf = np.log(product, out=product)
            log_bf += (higher - null[:, chunk[0] :])[:, :, None]
            log_bf += high[:, None, :]
            log_bf[:, : len(early), :][:, early < chunk] = 0
            yield number, chunk, log_bf


class Pool:
    """Bayes factors of all topics, joined under every belief on how many of them moved; topics come in groups.

    all move          prod_z BF_z
    each with prob q  prod_z [(1-q) + q BF_z]
    exactly one       mean_z BF_z
    """

    def __init__(self, spread: Sequence[tuple[float | str, float]], topics: int) -> None:
        self._spread = [(1 / topics if belief == 0 else belief, weight) for belief, weight in spread]
        self._topics = topics
        self._sums: list[np.ndarray | float] = [0.0 if belief != ONE else -np.inf for belief, _ in self._spread]

    def add(self, log_bf: np.ndarray) -> None:
        """Takes log BF [topics, ...]."""
        exact = bool((log_bf > _SAFE).any())
        few = any(belief != 1 for belief, _ in self._spread)
        factor = np.exp(log_bf) if few and not exact else None
        for place, (belief, _) in enumerate(self._spread):
            held = self._sums[place]
            if belief == ONE:
                total = _log_sum_first(log_bf) if factor is None else _log(factor.sum(0))
                self._sums[place] = np.logaddexp(held, total)
            elif belief == 1:
                self._sums[place] = held + log_bf.sum(0)
            else:
                self._sums[place] = held + _mixed(log_bf, factor, float(belief))

    def evidence(self, all_weight: float, few_weight: float) -> np.ndarray:
        """Weighted sum over beliefs; a size has one weight where all topics move, and one where few do."""
        total: np.ndarray | float = 0.0
        for (belief, weight), held in zip(self._spread, self._sums, strict=True):
            log = held - np.log(self._topics) if belief == ONE else held
            total = total + weight * (all_weight if belief == 1 else few_weight) * np.exp(np.clip(log, -700, _CAP))
        return np.asarray(total)


def _mixed(log_bf: np.ndarray, factor: np.ndarray | None, q: float) -> np.ndarray:
    """sum_z log[(1-q) + q BF_z]."""
    if factor is None:
        return np.logaddexp(np.log1p(-q), np.log(q) + log_bf).sum(0)
    total: np.ndarray | float = 0.0
    for begin in range(0, len(factor), _GROUP):
        group = factor[begin : begin + _GROUP]
        product = q * group[0] + (1 - q)
        for one in group[1:]:
            product *= q * one + (1 - q)
        total = total + np.log(product)
    return np.asarray(total)


def evidence_today(
    parts: Iterable[Rows], starts: np.ndarray, test: EventTest, config: ShiftConfig, topics: int
) -> np.ndarray:
    """Evidence on the last day by start [starts]; `parts` are groups of topics, `topics` their total."""
    pools = [Pool(config.spread, topics) for _ in test.sizes]
    for rows in parts:
        for pool, log_bf in zip(pools, last_day(last_profile(rows, test.sizes, config.nodes, starts)), strict=True):
            pool.add(log_bf)
    return _weighed(pools, test)


def evidence_daily(
    parts: Iterable[Rows], starts: np.ndarray, days: int, test: EventTest, config: ShiftConfig, topics: int
) -> np.ndarray:
    """Evidence of every day [days], summed over the starts up to it."""
    total = np.zeros(days)
    for chunk, found in evidence_by_start(parts, starts, days, test, config, topics):
        total[chunk[0] :] += found.sum(1)
    return total


def evidence_by_start(
    parts: Iterable[Rows], starts: np.ndarray, days: int, test: EventTest, config: ShiftConfig, topics: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Chunks of starts, and their evidence [days from the chunk's first start on, starts]; zero before a start."""
    pools: dict[tuple[int, int], Pool] = {}
    chunks: dict[int, np.ndarray] = {}
    for rows in parts:
        for size, chunk, log_bf in every_day(profile(rows, test.sizes, config.nodes), starts):
            chunks[int(chunk[0])] = chunk
            pools.setdefault((size, int(chunk[0])), Pool(config.spread, topics)).add(log_bf)
    for first, chunk in chunks.items():
        found = _weighed([pools[size, first] for size in range(len(test.sizes))], test)
        begun = np.arange(first, days)[:, None] >= chunk
        yield chunk, np.where(begun, found, 0.0)


def _weighed(pools: Sequence[Pool], test: EventTest) -> np.ndarray:
    return np.asarray(
        sum(pool.evidence(a, f) for pool, a, f in zip(pools, test.all_weights, test.few_weights, strict=True))
    )


def topic_groups(topics: int) -> Iterator[slice]:
    """Topics in groups that fit in memory."""
    for begin in range(0, topics, _TOPICS):
        yield slice(begin, begin + _TOPICS)


def _log_sum(exponent: np.ndarray) -> np.ndarray:
    """log sum exp over the last axis."""
    top = exponent.max(-1, keepdims=True)
    return np.log(np.exp(exponent - top).sum(-1)) + top[..., 0]


def _log_sum_first(exponent: np.ndarray) -> np.ndarray:
    top = exponent.max(0)
    return _log(np.exp(exponent - np.where(np.isfinite(top), top, 0)).sum(0)) + np.where(np.isfinite(top), top, 0)


def _log(x: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(x)
