"""Topics of prompts whose producer named none: spherical k-means over prompt vectors, frozen once.

what decides                          how
number of clusters                    sqrt(n / 8) of n distinct prompts, rounded, between 1 and 24
which prompts are clustered           all distinct ones; above 5,000 those with the smallest sha256, so that neither the
                                      order in which they came nor how often they were asked matters
small clusters                        one prompt, or less than a fifth of the average: dissolved into their neighbors
a prompt that is like no topic        `other`: its cosine with every centroid is below the floor, the 1% quantile of the
                                      clustered prompts' cosines with the rest of their cluster, less 0.05
a name                                the words that most of a topic's prompts have and others have not (no digits)

Source: Dhillon, Modha, "Concept decompositions for large sparse text data using clustering" (2001).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from assets.errors import CorruptState, EngineError
from assets.fingerprints import digest, sha256_text

VERSION = "1"  # of this clustering; another version reads only its own tables
OTHER = "other"
UNASSIGNED = "unassigned"
MAX_CLUSTERS, MAX_PROMPTS, MAX_CHARACTERS = 24, 5_000, 2_000
_RESTARTS, _ROUNDS, _MARGIN = 6, 60, 0.05
_META = b"twohands.topics"
_WORD = re.compile(r"[^\W\d_]{3,}")
_STOP = frozenset(
    _WORD.findall("""
    about after again all also and any are because been before between both but can could did does doing down each few
    for from get had has have her here him his how into its just let like long made make many may might more most much
    must need not now off once one only other our out over own please question quick same she should some such than
    thank thanks that the their them then there these they this those though through under until use used very want was
    way well were what when where which while who whom whose why will with without would yes you your hello hey tell
    give show list table json bullet answer know
    """)
)

Encode = Callable[[Sequence[str]], np.ndarray]  # texts -> float32 [len(texts), dimension], unit length


@dataclass(frozen=True, slots=True)
class Topics:
    """A frozen clustering. `centroids` is float32 [len(names), dimension], unit length; names are sorted and unique.

    `encoder` is the fingerprint of what made the vectors, `prompts` how many distinct prompts were clustered.
    """

    names: tuple[str, ...]
    centroids: np.ndarray
    floor: float
    encoder: str
    prompts: int
    encode: Encode = field(repr=False, compare=False)

    def assign(self, prompts: Sequence[str]) -> list[str]:
        """The nearest topic of each prompt, or `other`, in the order given. Each distinct prompt is embedded once.

        The same set of prompts gives the same topics. Ask for a day at once: a bf16 encoder's third decimal depends on
        which other texts are in the call, which could matter to a prompt halfway between two topics.
        """
        if not len(prompts):
            return []
        known = {text: row for row, text in enumerate(sorted({_text(prompt) for prompt in prompts}))}
        cosines = _embed(self.encode, list(known)) @ self.centroids.T
        best = cosines.argmax(axis=1)
        near = cosines[np.arange(len(best)), best] >= self.floor
        named = [self.names[place] if good else OTHER for place, good in zip(best, near, strict=True)]
        return [named[known[_text(prompt)]] for prompt in prompts]

    def __call__(self, prompts: Sequence[str]) -> list[str]:
        """As `assign`, for attribution, which takes any function."""
        return self.assign(prompts)

    @property
    def identity(self) -> str:
        """Hash of all that decides an assignment: what was assigned under another identity is out of date."""
        facts = [VERSION, self.encoder, repr(self.floor), *self.names]
        return digest([*facts, sha256_text(np.ascontiguousarray(self.centroids, "<f4").tobytes().hex())])

    def table(self) -> pa.Table:
        """A row a topic: topic, centroid; the floor and the encoder are in the schema's metadata."""
        facts = {"version": VERSION, "encoder": self.encoder, "floor": self.floor, "prompts": self.prompts}
        rows = pa.array(list(self.centroids.astype(np.float32)), pa.list_(pa.float32()))
        table = pa.table({"topic": pa.array(self.names, pa.string()), "centroid": rows})
        return table.replace_schema_metadata({_META: json.dumps(facts).encode()})


def from_table(table: pa.Table, encode: Encode, encoder: str) -> Topics:
    """What `Topics.table` stored. EngineError when another encoder, or another version of this file, made it."""
    try:
        facts = json.loads((table.schema.metadata or {})[_META])
        made_by, version, floor, prompts = facts["encoder"], facts["version"], facts["floor"], facts["prompts"]
    except (KeyError, ValueError) as error:
        raise CorruptState(
            "The table of topics does not say how it was made",
            expected="the table that Twohands wrote",
            next_step="restore behavior/reference from a backup, or freeze the reference again",
        ) from error
    if (made_by, version) != (encoder, VERSION):
        raise EngineError(
            f"The topics were frozen with encoder {made_by[:16]} (version {version}), not with the configured one",
            expected=f"encoder {encoder[:16]} (version {VERSION})",
            next_step="bring the former encoder back, or freeze the topics again (that starts a new reference)",
        )
    centroids = np.array(table.column("centroid").to_pylist(), np.float32)
    return Topics(tuple(table.column("topic").to_pylist()), centroids, floor, encoder, prompts, encode)


def fit(
    prompts: Sequence[str], encode: Encode, *, encoder: str = "", clusters: int | None = None, seed: int = 0
) -> Topics:
    """Clusters prompts. `encoder` is the fingerprint to store; `clusters` overrides the rule (at most the prompts).

    ValueError where there is no prompt at all: the caller then has nothing to name.
    """
    texts = sorted(sorted({_text(prompt) for prompt in prompts}, key=sha256_text)[:MAX_PROMPTS])
    if not texts:
        raise ValueError("no prompts to cluster")
    vectors = _embed(encode, texts)
    count = min(clusters or number_of_clusters(len(texts)), len(texts))
    centroids, labels = _cluster(vectors, count, np.random.default_rng(seed))
    floor = _floor(vectors, labels)
    names = _names(texts, labels, len(centroids))
    order = np.array(sorted(range(len(names)), key=names.__getitem__))
    return Topics(tuple(names[place] for place in order), centroids[order], floor, encoder, len(texts), encode)


def number_of_clusters(distinct: int) -> int:
    """sqrt(n / 8), rounded, at least 1 and at most 24: about eight prompts for each topic squared."""
    return max(1, min(MAX_CLUSTERS, round(math.sqrt(distinct / 8))))


def _text(prompt: str) -> str:
    return " ".join(prompt[: 4 * MAX_CHARACTERS].split())[:MAX_CHARACTERS]


def _embed(encode: Encode, texts: Sequence[str]) -> np.ndarray:
    vectors = np.asarray(encode(texts), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)


def _cluster(vectors: np.ndarray, count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Unit centroids and each vector's cluster: the best of a few starts, then without the small clusters."""
    runs = [_lloyd(vectors, _spread(vectors, count, random)) for _ in range(_RESTARTS)]
    centroids, labels = max(runs, key=lambda run: float((vectors * run[0][run[1]]).sum()))
    sizes = np.bincount(labels, minlength=len(centroids))
    large = sizes >= max(min(2, sizes.max()), math.ceil(len(vectors) / len(centroids) / 5))
    return _lloyd(vectors, centroids[large]) if not large.all() else (centroids, labels)


def _spread(vectors: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """k-means++ starts (Arthur, Vassilvitskii 2007), with 1 - cosine as the distance."""
    chosen = [int(random.integers(len(vectors)))]
    distance = 1 - vectors @ vectors[chosen[0]]
    while len(chosen) < count and distance.max() > 1e-6:
        weights = distance.clip(0).astype(np.float64)
        chosen.append(int(random.choice(len(vectors), p=weights / weights.sum())))
        distance = np.minimum(distance, 1 - vectors @ vectors[chosen[-1]])
    return vectors[chosen]


def _lloyd(vectors: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels = (vectors @ centroids.T).argmax(axis=1)
    for _ in range(_ROUNDS):
        used, labels = np.unique(labels, return_inverse=True)  # an empty cluster has no centroid
        sums = np.zeros((len(used), vectors.shape[1]), np.float32)
        np.add.at(sums, labels, vectors)
        centroids = sums / np.linalg.norm(sums, axis=1, keepdims=True).clip(1e-12)
        nearest = (vectors @ centroids.T).argmax(axis=1)
        if (nearest == labels).all():
            break
        labels = nearest
    return centroids, labels


def _floor(vectors: np.ndarray, labels: np.ndarray) -> float:
    """The 1% quantile of cosines with one's own cluster, oneself left out, less a margin; -1 where all are alone."""
    sums = np.zeros((labels.max() + 1, vectors.shape[1]), np.float32)
    np.add.at(sums, labels, vectors)
    others = (sums[labels] - vectors)[np.bincount(labels)[labels] > 1]
    mine = vectors[np.bincount(labels)[labels] > 1]
    if not len(mine):
        return -1.0
    cosines = (mine * others).sum(axis=1) / np.linalg.norm(others, axis=1).clip(1e-12)
    return round(float(np.quantile(cosines, 0.01)) - _MARGIN, 6)


def _names(texts: Sequence[str], labels: np.ndarray, count: int) -> list[str]:
    """A name for each cluster, in their order."""
    words = [set(_WORD.findall(text.lower())) - _STOP for text in texts]
    names: list[str] = []
    for cluster in range(count):
        inside = [found for found, label in zip(words, labels, strict=True) if label == cluster]
        outside = [found for found, label in zip(words, labels, strict=True) if label != cluster]
        names.append(_unique(_distinct(_telling(inside, outside)), names))
    return names


def _telling(inside: Sequence[set[str]], outside: Sequence[set[str]]) -> list[str]:
    """The words of a topic, best first, without those of one prompt alone: they may be somebody's name."""
    here, elsewhere = (Counter(word for found in side for word in found) for side in (inside, outside))
    ranks: list[tuple[float, str]] = []
    for word, times in here.items():
        if times >= min(2, len(inside)):
            share, other = times / len(inside), elsewhere[word] / max(len(outside), 1)
            ranks.append((-share * math.log((share + 0.01) / (other + 0.01)), word))
    return [word for _, word in sorted(ranks)]


def _distinct(ranked: Sequence[str]) -> list[str]:
    """The words without those that only inflect a better one (`day`, `days`)."""
    kept: list[str] = []
    for word in ranked:
        if not any(word.startswith(other[:5]) if len(other) > 4 else word[:3] == other[:3] for other in kept):
            kept.append(word)
    return kept


def _unique(words: Sequence[str], taken: Sequence[str]) -> str:
    """Three words; more, and in the end a number, where another topic has the same."""
    reserved = {OTHER, UNASSIGNED, *taken}
    for length in range(3, len(words) + 1):
        if (name := " ".join(words[:length])) not in reserved:
            return name
    base = " ".join(words[:3]) or "topic"
    if base not in reserved and words:
        return base
    return next(name for place in range(1, len(reserved) + 2) if (name := f"{base} {place}") not in reserved)
