"""Passages as Weaviate objects, versions as filters, and reading in pages. What Weaviate 1.38 does, as seen here:

* Nothing is transactional, so every object says in which generation it came (`added_in`) and, once it went, in which
  it went (`removed_in`). A reader of generation g sees `added_in <= g and not removed_in <= g`. See live().
* A FIELD token is the whole value, but trimmed: " x " equals "x". Values that are filtered by are escaped. See tag().
* WORD tokens are runs of letters and digits, so that a sentence without spaces is one word. See bigrams().
* A query returns at most 10,000 rows (QUERY_MAXIMUM_RESULTS), also by offset, and the cursor knows no filter. So
  every object has an evenly `spread` number, and rows are read by ranges of it. See pages().
"""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from assets.knowledge.passages import fields_sha
from assets.ports import Key, Passage
from assets.ports.index import values as values_of

FORMAT = "1"  # of the properties below; collections of another format are rebuilt
NAMESPACE = uuid.UUID("5d0c5c0e-6f7e-5b61-9a3d-1f0a4c1c2b77")
KEY_FIELDS = ["chunk_id", "doc_id", "slice", "text_sha", "fields_sha"]
PASSAGE_FIELDS = ["chunk_id", "doc_id", "slice", "title", "headings", "text", "text_sha", "metadata"]
BOUNDS = ("added_in", "removed_in")
ALL_FIELDS = [*PASSAGE_FIELDS, "fields_sha", "bigrams", "tags", "added_in", "removed_in", "spread"]
SPREAD = 52  # bits: what a JSON number holds exactly
FULL = 10_000  # the server's QUERY_MAXIMUM_RESULTS, unless it is configured otherwise
IDS = 500  # values in one ContainsAny
WORDS, CHARACTERS = 64, 2_000  # of a question that full-text search reads: somebody will paste a log file

# Scripts that do not separate words: Thai, Lao, Myanmar, Khmer, kana, Han with its extensions, half-width kana.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff]+"
)


def object_id(chunk_id: str, generation: int) -> uuid.UUID:
    """The uuid of a chunk as it was added in one generation: two generations of it exist side by side."""
    return uuid.uuid5(NAMESPACE, f"{generation}|{chunk_id}")


def properties(passage: Passage, generation: int) -> dict[str, Any]:
    """What is stored of a passage that comes in with a generation."""
    metadata = dict(passage.metadata)
    columns = {"slice": passage.slice, "doc_id": passage.doc_id, "title": passage.title}
    return {
        "chunk_id": passage.chunk_id,
        "doc_id": passage.doc_id,
        "slice": passage.slice,
        "title": passage.title,
        "headings": list(passage.headings),
        "text": passage.text,
        "bigrams": bigrams(passage.text),
        "text_sha": passage.text_sha,
        "fields_sha": fields_sha(passage),
        "metadata": json.dumps(metadata, sort_keys=True, ensure_ascii=True),
        "tags": tags(metadata | columns),
        "added_in": generation,
        "spread": object_id(passage.chunk_id, generation).int >> (128 - SPREAD),
    }


def passage_of(row: Mapping[str, Any]) -> Passage:
    """The passage of an object that was read with PASSAGE_FIELDS."""
    return Passage(
        chunk_id=row["chunk_id"],
        doc_id=row["doc_id"],
        slice=row["slice"],
        title=row["title"],
        headings=tuple(row["headings"] or ()),
        text=row["text"],
        text_sha=row["text_sha"],
        metadata=json.loads(row["metadata"]),
    )


def key_of(row: Mapping[str, Any]) -> Key:
    """The Key of an object that was read with KEY_FIELDS."""
    return Key(doc_id=row["doc_id"], text_sha=row["text_sha"], fields_sha=row["fields_sha"])


def vector_of(found: Any) -> np.ndarray:
    """The vector, float32 [dimension], of an object that was read with it."""
    return np.asarray(found.vector["default"], dtype=np.float32)


def tag(name: str, value: str) -> str:
    """`name=value`, so escaped that no two of them are equal, also after the server has trimmed them.

    %25 is a percent sign, %3D an equals sign of the name; space at either end is written as its UTF-8 bytes, %20.
    """
    left = _edges(name.replace("%", "%25").replace("=", "%3D"))
    return f"{left}={_edges(value.replace('%', '%25'))}"


def tags(fields: Mapping[str, str]) -> list[str]:
    """The labels of a passage: one for each value of each field."""
    return [tag(name, value) for name, held in sorted(fields.items()) for value in values_of(held)]


def _edges(text: str) -> str:
    stripped = text.strip()
    if stripped == text:
        return text
    start = len(text) - len(text.lstrip())
    end = start + len(stripped)
    return _bytes(text[:start]) + stripped + _bytes(text[end:])


def _bytes(space: str) -> str:
    return "".join(f"%{byte:02X}" for byte in space.encode())


def bigrams(text: str) -> str:
    """Pairs of neighboring characters of scripts without spaces; "" for all other texts."""
    found = (match.group() for match in _UNSPACED.finditer(text))
    return " ".join(run[n : n + 2] for run in found for n in range(max(1, len(run) - 1)))


def words(text: str) -> str:
    """The part of a question that full-text search reads, or "" where it has no letter or digit."""
    kept = " ".join(text[:CHARACTERS].split()[:WORDS])
    if not any(letter.isalnum() for letter in kept):
        return ""
    return f"{kept} {bigrams(kept)}".rstrip()


# --------------------------------------------------------------------------------------------------- filters


def live(generation: int) -> Any:
    """The filter of one generation.

    `removed_in` is absent while an object lives, and the condition is a negation, for the sake of readers of the
    published generation while the next one is written: a mark only adds an entry to the server's inverted index,
    under a generation that they do not ask for. With a far-future `removed_in` that is overwritten, and compared
    with >, the server takes the old entry away before it adds the new one, and readers miss the object meanwhile
    (seen: 19,998 of 20,000).
    """
    return _added_by(generation) & ~_removed_by(generation)


def unpublished(generation: int) -> Any:
    """Objects that came in after a generation: what a candidate that was never published left."""
    from weaviate.classes.query import Filter

    return Filter.by_property("added_in").greater_than(generation)


def marked(generation: int) -> Any:
    """Objects that went after a generation: marks that a candidate set which was never published."""
    from weaviate.classes.query import Filter

    return Filter.by_property("removed_in").greater_than(generation)


def between(start: int, end: int) -> Any:
    """Objects that came in or went in a generation between two, both excluded."""
    from weaviate.classes.query import Filter

    parts = (Filter.by_property(name).greater_than(start) & Filter.by_property(name).less_than(end) for name in BOUNDS)
    return Filter.any_of(list(parts))


def with_ids(ids: Sequence[uuid.UUID]) -> Any:
    """Objects by their uuid."""
    from weaviate.classes.query import Filter

    return Filter.by_id().contains_any(list(ids))


def superseded(generation: int) -> Any:
    """Objects that a generation and all later ones do not see."""
    return _removed_by(generation)


def among(name: str, values: Sequence[str]) -> Any:
    """Objects whose property equals one of the values, but for space at their ends."""
    from weaviate.classes.query import Filter

    return Filter.by_property(name).contains_any(list(values))


def equal(where: Mapping[str, str]) -> Any:
    """The filter of a Query's `where`, not empty: slice, doc_id and title; every other name is metadata."""
    from weaviate.classes.query import Filter

    return Filter.by_property("tags").contains_all(tags(where))


def any_of(name: str, values: Collection[str]) -> Any:
    """The filter of one field of a Query's `allowed`, which has values: one of them, whichever."""
    from weaviate.classes.query import Filter

    return Filter.by_property("tags").contains_any([tag(name, value) for value in sorted(values)])


def spread_in(start: int, end: int) -> Any:
    """Objects whose `spread` lies in [start, end)."""
    from weaviate.classes.query import Filter

    number = Filter.by_property("spread")
    return number.greater_or_equal(start) & number.less_than(end)


def _added_by(generation: int) -> Any:
    from weaviate.classes.query import Filter

    return Filter.by_property("added_in").less_or_equal(generation)


def _removed_by(generation: int) -> Any:
    from weaviate.classes.query import Filter

    return Filter.by_property("removed_in").less_or_equal(generation)


# ----------------------------------------------------------------------------------------------------- pages


def pages(
    collection: Any, where: Any, fields: Sequence[str], size: int, *, vectors: bool = False
) -> Iterator[list[Any]]:
    """All objects that match, in lists of less than `size`. For each generation that is published they are stable.

    The `spread` of objects is even, so that ranges of it that should fill a list to 70% hardly ever overflow;
    one that does is halved.
    """
    found = _fetch(collection, where, fields, size, vectors)
    if len(found) < size:
        yield found
        return
    total = collection.aggregate.over_all(total_count=True, filters=where).total_count
    parts = math.ceil(total / (0.7 * size)) + 1
    edges = [(part << SPREAD) // parts for part in range(parts + 1)]
    ranges = list(pairwise(edges))
    while ranges:
        start, end = ranges.pop()
        found = _fetch(collection, where & spread_in(start, end), fields, size, vectors)
        if len(found) < size:
            yield found
        else:
            middle = (start + end) // 2
            ranges += [(start, middle), (middle, end)]


def _fetch(collection: Any, where: Any, fields: Sequence[str], size: int, vectors: bool) -> list[Any]:
    return collection.query.fetch_objects(
        filters=where, limit=size, return_properties=list(fields), include_vector=vectors
    ).objects
