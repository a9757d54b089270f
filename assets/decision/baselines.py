"""What days are compared with: the contract, frozen from the reference days of a release.

    baselines of topics, their uncertainty, weekday offsets, and what the reference says about day effects

A contract holds numbers only, is stored as JSON, and is named by its hash. shift.py says what is done with it.

Day effects: whole days that are better or worse (a campaign, an outage elsewhere) make counts vary more than chance
does. Their variance is learnt from the reference and from every finished block of days after it, and a day's weight is
tau = 1/(1 + lambda I), I its information: however much traffic a day had, it never counts for more than 1/lambda.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np

from assets.decision.config import VERSION, ShiftConfig
from assets.decision.counts import BadCounts, DailyCounts
from assets.errors import CorruptState
from assets.fingerprints import digest

SCHEMA = 1
_DAY_SD = np.array([0.0, 0.03, 0.06, 0.1, 0.15, 0.22, 0.33])  # of day effects (logit)
_P_SD = np.array([0.7, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05])
_PHI = np.array([0.0, 0.3, 0.6, 0.8])  # their autocorrelation from day to day
_P_PHI = np.array([0.4, 0.25, 0.25, 0.1])
_MEAN_VARIANCE = 100.0  # of a block's own level: a shift spoils one block at most
_MIN_DAYS = 8  # with information, for a block to say anything about day effects


@dataclass(frozen=True, slots=True)
class Baseline:
    """One event. Per topic: logit rate, its standard error, whether it is known; 7 weekday offsets; log likelihood
    of the reference for every day-effect variance and autocorrelation of the grid [7, 4]; rows n and S."""

    logit: np.ndarray
    se: np.ndarray
    known: np.ndarray
    offsets: np.ndarray
    day_effects: np.ndarray
    n: np.ndarray
    S: np.ndarray


@dataclass(frozen=True, slots=True)
class Contract:
    """What a release promised to be: baselines by event, over `topics`, of the days `first_day` to `last_day`."""

    variant: str
    release: str
    first_day: date
    last_day: date
    topics: tuple[str, ...]
    events: Mapping[str, Baseline]
    config: str  # digest of the ShiftConfig it was frozen under
    reference: str  # digest of the counts it was made of

    def to_json(self) -> str:
        """Everything, with floats that come back to the bit."""
        events = {e: {k: np.asarray(v).tolist() for k, v in asdict(b).items()} for e, b in self.events.items()}
        head = {"schema": SCHEMA, "formulas": VERSION, **{k: getattr(self, k) for k in _TEXTS}}
        days = {"first_day": self.first_day.isoformat(), "last_day": self.last_day.isoformat()}
        return json.dumps({**head, **days, "topics": list(self.topics), "events": events}, sort_keys=True)

    @property
    def digest(self) -> str:
        """Identity of the contract."""
        return digest([self.to_json()])


_TEXTS = ("variant", "release", "config", "reference")


def from_json(text: str, name: str = "contract") -> Contract:
    """A stored contract. CorruptState when it is damaged, or of another schema."""
    try:
        raw: dict[str, Any] = json.loads(text)
        if raw["schema"] != SCHEMA or raw["formulas"] != VERSION:
            raise CorruptState(
                f"{name} has schema {raw['schema']!r}, formulas {raw['formulas']!r}",
                expected=f"schema {SCHEMA}, formulas {VERSION!r}",
                next_step="use the version of Twohands that froze it, or freeze a new contract "
                "(`twohands shift --freeze --why TEXT`)",
            )
        events = {event: Baseline(**{k: np.array(v) for k, v in row.items()}) for event, row in raw["events"].items()}
        days = date.fromisoformat(raw["first_day"]), date.fromisoformat(raw["last_day"])
        head = {key: str(raw[key]) for key in _TEXTS}
        return Contract(
            first_day=days[0], last_day=days[1], topics=tuple(map(str, raw["topics"])), events=events, **head
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptState(
            f"{name} is damaged: {type(error).__name__} {error}",
            expected="a contract as `freeze` wrote it",
            next_step="restore it from a backup, or freeze a new one (`twohands shift --freeze --why TEXT`)",
        ) from None


def freeze(counts: DailyCounts, config: ShiftConfig, *, variant: str = "main", release: str = "base") -> Contract:
    """The contract of the first `reference_days` days of `counts`. BadCounts where there are fewer days."""
    length = config.reference_days
    if counts.days < length:
        raise BadCounts(
            f"{counts.days} days of counts of variant {variant!r}",
            expected=f"at least {length} days to freeze a contract (decision.reference_days)",
            next_step="wait for more days, or lower the key",
        )
    reference = counts.between(counts.first_day, _day(counts, length - 1))
    weekdays = np.arange(length) % 7
    events = {e: baseline(reference.n[e], reference.S[e], weekdays, config) for e in sorted(reference.n)}
    return Contract(
        variant,
        release,
        reference.first_day,
        reference.last_day,
        reference.topics,
        events,
        config.digest,
        reference.digest(),
    )


def baseline(n: np.ndarray, s: np.ndarray, weekdays: np.ndarray, config: ShiftConfig) -> Baseline:
    """Baselines of one event from its reference days: n and S are [days, topics], `weekdays` [days] in 0..6.

    Topics are shrunk to the mean of all by `pseudo` rows. Weekday offsets are ridge estimates (three Newton steps),
    every day weighted by its tau. A topic's standard error comes from the same weighted information.
    """
    rows, had = n.sum(0), s.sum(0)
    overall = np.clip((had.sum() + 0.5) / (rows.sum() + 1), 1e-3, 1 - 1e-3)
    mean = (had + config.pseudo * overall) / (rows + config.pseudo)
    logit = np.log(mean / (1 - mean))
    spread = (n * (mean * (1 - mean))).sum(1)
    effects = block_likelihood((s - n * mean).sum(1)[None], spread[None], weekdays, config.weekday_sd)[0]
    variance = long_run_variance(effects, config.min_variance)
    ridge, offsets, tau, p = 1 / config.weekday_sd**2, np.zeros(7), np.ones(len(n)), np.broadcast_to(mean, n.shape)
    for _ in range(3):
        p = sigmoid(logit + offsets[weekdays][:, None])
        information = (n * p * (1 - p)).sum(1)
        tau = 1 / (1 + variance * information)
        slope = np.bincount(weekdays, tau * (s - n * p).sum(1), 7)
        weight = np.bincount(weekdays, tau * information, 7)
        offsets = offsets + (slope - offsets * ridge) / (weight + ridge)
        offsets = offsets - offsets.mean()
    se = 1 / np.sqrt((tau[:, None] * n * p * (1 - p)).sum(0) + config.pseudo * mean * (1 - mean))
    return Baseline(logit, se, rows >= config.min_rows, offsets, effects, rows, had)


def block_likelihood(residual: np.ndarray, information: np.ndarray, weekdays: np.ndarray, sd: float) -> np.ndarray:
    """log likelihood [blocks, 7, 4] of blocks of days [blocks, days] under each day-effect variance and correlation.

    y = residual/information ~ N(level, diag(1/information) + weekday part + s^2 phi^|lag|), each block's level free:
    the marginal likelihood of a Gaussian process with a flat mean. Days without information are left out; a block with
    fewer than 8 others says nothing.
    """
    usable = information > 1e-9
    both = usable[:, :, None] & usable[:, None, :]
    y = np.where(usable, residual / np.where(usable, information, 1), 0.0)
    day = np.arange(len(weekdays))
    lag, same = np.abs(day[:, None] - day), weekdays[:, None] == weekdays
    own = np.where(usable, 1 / np.where(usable, information, 1), 1.0)[:, :, None] * np.eye(len(day))
    fixed = own + both * (sd**2 * same + _MEAN_VARIANCE)
    moving = np.where(lag == 0, 1.0, _PHI[:, None, None] ** lag)
    whole = fixed[:, None, None] + (_DAY_SD**2)[:, None, None, None] * (moving * both[:, None, None])
    factor = np.linalg.cholesky(whole)
    white = np.linalg.solve(factor, np.broadcast_to(y[:, None, None, :, None], (*factor.shape[:-1], 1)))[..., 0]
    found = -0.5 * (white * white).sum(-1) - np.log(np.diagonal(factor, axis1=-2, axis2=-1)).sum(-1)
    return np.where((usable.sum(1) >= _MIN_DAYS)[:, None, None], found, 0.0)


def long_run_variance(likelihood: np.ndarray, least: float) -> float:
    """lambda, belief in the long-run variance of day effects, s^2 (1+phi)/(1-phi) (logit^2 day).

    Its posterior mean; one posterior sd more once day effects are beyond doubt, since an underestimate then costs
    false triggers and an overestimate only days.
    """
    posterior = np.exp(likelihood - likelihood.max()) * _P_SD[:, None] * _P_PHI
    posterior /= posterior.sum()
    value = (_DAY_SD**2)[:, None] * ((1 + _PHI) / (1 - _PHI))
    mean = (posterior * value).sum()
    sure = posterior[0].sum() < 0.05
    extra = np.sqrt((posterior * (value - mean) ** 2).sum()) if sure else 0.0
    return float(max(mean + extra, least))


def day_weights(base: Baseline, n: np.ndarray, s: np.ndarray, first: int, config: ShiftConfig) -> np.ndarray:
    """tau [days] of monitored days: n and S [days, topics of the contract]; `first` is the first one's weekday.

    lambda is updated after each finished block, so a day's weight is known before the day.
    """
    p = np.where(base.known, sigmoid(base.logit), 0.0)
    information, residual = (n * (p * (1 - p))).sum(1), ((s - n * p) * base.known).sum(1)
    finished = len(n) // config.block
    whole = slice(finished * config.block)
    y, weight = (part[whole].reshape(finished, config.block) for part in (residual, information))
    weekdays = (first + np.arange(config.block)) % 7
    learnt = base.day_effects + np.cumsum(_by_phase(y, weight, weekdays, config), axis=0)
    tau = np.ones(len(n))
    for number, belief in enumerate([base.day_effects, *learnt]):
        block = slice(number * config.block, (number + 1) * config.block)
        tau[block] = 1 / (1 + long_run_variance(belief, config.min_variance) * information[block])
    return tau


def _by_phase(residual: np.ndarray, information: np.ndarray, weekdays: np.ndarray, config: ShiftConfig) -> np.ndarray:
    """block_likelihood of consecutive blocks; where their length is no multiple of 7, each has its own weekdays."""
    if config.block % 7 == 0:
        return block_likelihood(residual, information, weekdays, config.weekday_sd)
    parts = [
        block_likelihood(residual[[k]], information[[k]], (weekdays + k * config.block) % 7, config.weekday_sd)
        for k in range(len(residual))
    ]
    return np.concatenate([np.zeros((0, len(_DAY_SD), len(_PHI))), *parts])


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1/(1+e^-x)."""
    return 1 / (1 + np.exp(-x))


def _day(counts: DailyCounts, offset: int) -> date:
    return date.fromordinal(counts.first_day.toordinal() + offset)
