"""Training candidates, frozen: what one fine-tune is made of, whatever becomes of the marts afterwards.

    behavior/frozen/<variant>/<digest>.parquet   the rows, with their lineage to interaction ids
    behavior/frozen/<variant>/<digest>.json      for which request, of which days, how many of what

A snapshot is named by its content: freezing the same rows again finds it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute

from assets.behavior.days import content_digest
from assets.errors import Final
from assets.ports import Lake

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them
FOLDER = "behavior/frozen"


class NoCandidates(Final):
    """Nothing to freeze."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """One snapshot: its lake name, content digest, rows by source and by topic, and the days they are of."""

    name: str
    digest: str
    rows: int
    sources: Mapping[str, int]
    topics: Mapping[str, int]
    first: date
    last: date


def freeze(lake: Lake, candidates: pa.Table, *, variant: str, request: str, first: date, last: date) -> Frozen:
    """Writes the candidates of one variant (columns of the mart training_candidates). NoCandidates where there are
    none: a fine-tune of nothing would be paid for all the same."""
    rows = candidates.filter(pc.equal(candidates["variant"], variant)).sort_by(
        [("day", "ascending"), ("id", "ascending")]
    )
    if not rows.num_rows:
        raise NoCandidates(
            f"no training candidate of variant {variant!r} between {first} and {last}",
            expected="answers that were corrected in their manner, or accepted as they were",
            next_step="look at `twohands daily` for these days; rebuild them with `twohands backfill --days A..B`",
        )
    name = content_digest(rows)
    frozen = Frozen(
        f"{FOLDER}/{variant}/{name[:16]}.parquet",
        name,
        rows.num_rows,
        dict(Counter(rows["source"].to_pylist())),
        dict(Counter(rows["topic"].to_pylist()).most_common()),
        first,
        last,
    )
    lake.write(frozen.name, rows)
    card = {
        "request": request,
        "digest": name,
        "rows": frozen.rows,
        "sources": frozen.sources,
        "topics": frozen.topics,
        "first_day": first.isoformat(),
        "last_day": last.isoformat(),
    }
    lake.write_text(frozen.name.removesuffix(".parquet") + ".json", json.dumps(card, sort_keys=True))
    return frozen
