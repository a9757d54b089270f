"""How many rows each topic and event gives, so that no one of them is all that is learnt.

    in this order                                                               no more than
    --------------------------------------------------------------------------  ------------------------------------
    a topic's rows                                                              `max_times_median` x the median topic *
    an event's corrections                                                      `max_times_median` x the median event *
    accepted answers, where there are corrections                               `accepted_per_correction` x corrections
    all rows                                                                    `max_rows`

    * or `enough`, where that is more: a dataset that is small already is not made smaller, and the event that a shift
      consists of is by far the most frequent one

Whatever is lowered is leveled: the largest (topic, event) parts give first, until they are as small as the next ones,
so that small ones stay whole. Which rows of a part stay is drawn by a keyed hash of their ids: the draw does not depend
on the order of rows, and more rows of other parts change nothing in it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from statistics import median
from typing import NamedTuple, TypeVar

from assets.behavior.dataset.eligibility import ACCEPTED

Key = TypeVar("Key", bound=Hashable)


class Part(NamedTuple):
    """Rows of one topic and event."""

    topic: str
    event: str


def quotas(
    counts: Mapping[Part, int], *, max_rows: int, accepted_per_correction: float, max_times_median: float, enough: int
) -> dict[Part, int]:
    """How many rows of each part stay, at most its count."""
    left = _capped(counts, lambda part: part.topic, max_times_median, enough)
    corrections = {part: n for part, n in left.items() if part.event != ACCEPTED}
    left |= _capped(corrections, lambda part: part.event, max_times_median, enough)
    corrected = sum(n for part, n in left.items() if part.event != ACCEPTED)
    if corrected:
        accepted = {part: n for part, n in left.items() if part.event == ACCEPTED}
        left |= leveled(accepted, int(accepted_per_correction * corrected))
    return leveled(left, max_rows)


def leveled(counts: Mapping[Key, int], total: int) -> dict[Key, int]:
    """Counts lowered to sum up to `total` at most: the largest give first, and end within one of each other."""
    left, rest, result = max(total, 0), len(counts), {}
    for key, count in sorted(counts.items(), key=lambda item: (item[1], repr(item[0]))):
        result[key] = min(count, left // rest)  # whoever is below the level leaves the rest of it to the larger ones
        left, rest = left - result[key], rest - 1
    return {key: result[key] for key in counts}


def drawn(ids: Sequence[str], most: int, seed: int) -> list[int]:
    """The places of at most `most` ids, by the hash of each with the seed; in the order given."""
    if len(ids) <= most:
        return list(range(len(ids)))
    order = sorted(range(len(ids)), key=lambda place: (draw(seed, "balance", ids[place]), ids[place]))
    return sorted(order[:most])


def draw(seed: int, what: str, name: str) -> float:
    """A number from 0 to 1 that only these three decide."""
    text = f"{seed}\x1f{what}\x1f{name}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") / 2.0**64


def _capped(counts: Mapping[Part, int], key: Callable[[Part], str], times: float, enough: int) -> dict[Part, int]:
    groups: dict[str, dict[Part, int]] = defaultdict(dict)
    for part, count in counts.items():
        groups[key(part)][part] = count
    if not groups:
        return dict(counts)
    cap = int(times * median(sum(group.values()) for group in groups.values()))
    return {part: n for group in groups.values() for part, n in leveled(group, max(cap, enough)).items()}
