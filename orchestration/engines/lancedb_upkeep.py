"""The search indexes of a Lance table, and its housekeeping. What LanceDB 0.40 does, as measured here:

* `optimize()` is compaction, then removal of old versions, then folding of new rows into the indexes, always all
  three. Folding 5 rows into a full-text index of 100,000 writes that index anew (1 to 3 s), and every second call
  rewrites all data files smaller than a million rows. So a publish does not call it for a few rows: searches read
  the rows that no index covers directly and stay right, at about 10 ms per 500 such rows and 0.5 ms per file of them.
* IvfFlat: when it folds, Lance joins partitions of less than 1,024 rows and splits those of more than 16,384. An
  index with 316 partitions for 100,000 rows came out with 7, after 9 s. So we leave the number to Lance, which aims
  at 4,096 rows a partition. Folded rows become another segment with the old centroids: retrained after a few.
* Removal raises, and removes nothing, when a version that a tag names is older than the given age, also with the
  default of 7 days: a week without a publish would break every later `optimize()`. So the age is always given, and
  tags on the versions to keep turn that refusal into a safety net.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lancedb.table import LanceTable

NEVER = timedelta(days=36_500)
MARGINS = (0.01, 0.1, 1.0, 10.0)  # seconds that Lance may take until it counts the age; tags make a short one safe
KEPT = "kept-"  # tags of the versions that readers may still hold
FILES = 32  # of rows outside the indexes: every publish adds one, and every search reads them all
ROWS_PER_FILE = 4_096  # that a candidate holds back and writes at once: every write is a commit and a file
SEGMENTS = 8  # of the vector index: each one costs its own probes at every search
GROWTH = 0.3  # share of rows that the vector index was not trained on


def create_indexes(table: LanceTable) -> None:
    """All indexes but the vectors': lookups, filters, full text."""
    from lancedb.index import FTS, Bitmap, BTree, LabelList

    # icu/split finds words in languages that do not separate them, and cuts identifiers as "simple" does. No stemming
    # and no limit of 40 letters: error codes, hashes and names are what full text is for; meaning is the vector's.
    text = FTS(base_tokenizer="icu/split", stem=False, remove_stop_words=True, max_token_length=200)
    configs: dict[str, Any] = {
        "chunk_id": BTree(),
        "doc_id": BTree(),
        "slice": Bitmap(),
        "tags": LabelList(),
        "text": text,
    }
    for column, config in configs.items():
        table.create_index(column, config=config)


def fold(table: LanceTable, *, ann_threshold: int, limit: int) -> bool:
    """Brings the indexes up to date where that pays; returns whether anything was written.

    | rows that the indexes do not cover            | what happens                                       |
    | up to `limit`, in few files                   | nothing: searches read them directly               |
    | more, and most of them new to the vectors     | the vector index is trained anew, the rest folded  |
    | more                                          | all indexes are folded                             |
    | any, table of `ann_threshold` rows, no IvfFlat| the vector index is made                           |
    | all, a new table                              | the indexes are made                               |
    """
    tail, trained = unindexed(table), _vector_index(table)
    rows = table.count_rows()
    many = tail > limit or (tail > 0 and _files(table) > rows // ROWS_PER_FILE + FILES)
    missing = trained is None and rows >= ann_threshold
    stale = many and trained is not None and _is_stale(trained, rows)
    if missing or stale:
        _train(table)
    bare = all(index.columns == ["vector"] for index in table.list_indices())
    if bare:
        create_indexes(table)
    elif many:
        _fold_others(table, tail, rows)
    return missing or many or bare


def unindexed(table: LanceTable) -> int:
    """Rows that at least one index does not cover."""
    return max((index.num_unindexed_rows or 0 for index in table.list_indices()), default=0)


def compact(table: LanceTable) -> None:
    """Optimizes until nothing changes: rows of different index segments are only merged the next time."""
    for _ in range(4):
        before = table.version
        table.optimize(cleanup_older_than=NEVER)
        if table.version == before:
            return


def _files(table: LanceTable) -> int:
    return table.stats()["fragment_stats"]["num_fragments"]  # type: ignore[index]


def _vector_index(table: LanceTable) -> Any:
    return next((index for index in table.list_indices() if index.columns == ["vector"]), None)


def _is_stale(trained: Any, rows: int) -> bool:
    return (trained.num_segments or 1) >= SEGMENTS or (trained.num_unindexed_rows or 0) > GROWTH * rows


def _train(table: LanceTable) -> None:
    from lancedb.index import IvfFlat

    table.create_index("vector", config=IvfFlat(distance_type="l2"), replace=True)


def _fold_others(table: LanceTable, tail: int, rows: int) -> None:
    if tail < rows / 2:
        table.optimize(cleanup_older_than=NEVER)
    else:  # making them costs less than compacting twenty fresh fragments first
        create_indexes(table)


def versions(table: LanceTable) -> dict[int, float]:
    """Version -> when it was written, in unix seconds."""
    return {item["version"]: _seconds(item["timestamp"]) for item in table.list_versions()}


def _seconds(stamp: datetime) -> float:
    # LanceDB gives local time without a zone. Of the hour that a clock shows twice, the earlier one is meant by
    # default: versions are then kept an hour longer, never shorter.
    return stamp.timestamp()


def prune(table: LanceTable, keep: Sequence[int]) -> int:
    """Removes all versions older than the oldest of `keep`, and what killed writers left; returns how many.

    `delete_unverified` is safe because the caller holds the writer's lock: nobody else has a write under way.
    """
    before = versions(table)
    kept = [version for version in keep if version in before]
    oldest = min((before[version] for version in kept), default=0.0)
    if not oldest or min(before.values()) >= oldest:
        return 0
    _protect(table, kept)
    for margin in MARGINS:
        age = timedelta(seconds=max(time.time() - oldest, 0.0) + margin)
        try:
            table.optimize(cleanup_older_than=age, delete_unverified=True)
            break
        except RuntimeError as error:
            if "tagged version" not in str(error) or margin == MARGINS[-1]:
                raise
    return len(before.keys() - versions(table).keys())


def _protect(table: LanceTable, kept: Sequence[int]) -> None:
    """Tags exactly these versions: Lance removes nothing at all rather than one that has a tag."""
    tags, wanted = table.tags, {f"{KEPT}{version}": version for version in kept}
    present = {name for name in tags.list() if name.startswith(KEPT)}
    for name in present - wanted.keys():
        tags.delete(name)
    for name in wanted.keys() - present:
        tags.create(name, wanted[name])
