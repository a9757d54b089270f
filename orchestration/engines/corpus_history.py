"""The documents through time, read from the knowledge hand's append-only logs in the lake.

Every passage that any slice ever had is indexed once, by its facts; a moment is a mask over those. So the as-of view of
another moment costs a comparison of times, not another index.

A log of chunks has the rows of a document each time that it was cut again, with the time `at`; a row without a chunk
says since when the document has none. A passage is alive from its row's time to the document's next.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.behavior import facts
from assets.behavior.attribution import Holding
from assets.knowledge import chunks
from assets.ports import Lake

VIEWS = 32  # moments kept ready
FOUND = 20  # passages returned for some facts
TOGETHER_NS = 24 * 3_600 * 10**9  # slices whose first syncs are no further apart began together
COMMON = 0.2  # of the corpus: a fact that more passages hold tells none apart, unless there are no others
_FOLDER = re.compile(r"knowledge/([^/]+)/chunks/")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FOREVER = np.iinfo(np.int64).max


class LakeHistory:
    """The passages of all slices by time. `slices` may name some; those whose logs are in the lake are added."""

    def __init__(self, lake: Lake, slices: Sequence[str] = ()) -> None:
        self._lake, self._named = lake, slices
        self._views: OrderedDict[int, LakeCorpus] = OrderedDict()

    @property
    def empty(self) -> bool:
        """Whether no document was ever synced. Looks at names only."""
        slices = self._named or sorted({m[1] for name in self._lake.names("knowledge") if (m := _FOLDER.match(name))})
        return not any(self._lake.names(f"knowledge/{name}/chunks") for name in slices)

    @cached_property
    def log(self) -> PassageLog:
        """Everything that was ever cut, read at the first use."""
        found = {match[1] for name in self._lake.names("knowledge") if (match := _FOLDER.match(name))}
        return read_log(self._lake, sorted(found | set(self._named)))

    def as_of(self, at: datetime) -> LakeCorpus:
        """The passages alive at a moment; moments between two changes share one view."""
        wanted = (at - _EPOCH) // timedelta(microseconds=1) * 1_000 + 999  # the log has ns, events have us
        version = self.log.version(wanted)
        view = self._views.get(version)
        if view is None:
            view = self._views[version] = LakeCorpus(self.log, version)
            if len(self._views) > VIEWS:
                self._views.popitem(last=False)
        self._views.move_to_end(version)
        return view


@dataclass(slots=True)
class PassageLog:
    """Rows (document, text, alive from, alive until; ns) sorted by document, and the distinct texts they name."""

    documents: dict[str, int]
    names: list[str]
    doc: np.ndarray
    text: np.ndarray
    since: np.ndarray
    until: np.ndarray
    shas: list[str]
    texts: list[str]
    times: np.ndarray  # moments of change, ascending
    begins: int  # when the first sync had cut everything
    places: dict[str, int]
    index: FactIndex | None = None

    def version(self, at: int) -> int:
        """The last moment of change up to `at`; -1 before the first."""
        place = int(np.searchsorted(self.times, at, side="right"))
        return int(self.times[place - 1]) if place else -1

    def indexed(self) -> FactIndex:
        """The facts of all texts, built at the first use."""
        if self.index is None:
            self.index = FactIndex(self.texts)
        return self.index


class LakeCorpus:
    """The passages alive at one moment."""

    def __init__(self, log: PassageLog, version: int) -> None:
        self._log = log
        self.note = ""
        if version < 0 and log.texts:
            version = log.begins
            begun = datetime.fromtimestamp(log.begins / 1e9, UTC).isoformat(timespec="seconds")
            self.note = f"the documents' log begins at {begun}; its first state stands for earlier moments"
        self._alive = (log.since <= version) & (version < log.until)
        self._documents: dict[str, Mapping[str, str] | None] = {}

    def text(self, sha: str) -> str | None:
        """A passage's text by its sha, of any time."""
        place = self._log.places.get(sha)
        return None if place is None else self._log.texts[place]

    def current(self, doc_id: str) -> Mapping[str, str] | None:
        """sha -> text of the document's passages alive then; None where there was no such document."""
        if doc_id not in self._documents:
            self._documents[doc_id] = self._current(doc_id)
        return self._documents[doc_id]

    def holding(self, facts: Collection[str]) -> list[Holding]:
        """The passages alive then that hold these facts, those that tell most first."""
        log = self._log
        found = log.indexed().best(facts, self._living) if log.texts else []
        texts, rows = self._owners
        owners = rows[np.searchsorted(texts, [text for text, _ in found])] if found else ()
        return [
            Holding(log.shas[text], log.names[log.doc[row]], held)
            for (text, held), row in zip(found, owners, strict=True)
        ]

    def _current(self, doc_id: str) -> Mapping[str, str] | None:
        log, doc = self._log, self._log.documents.get(doc_id)
        if doc is None:
            return None
        first, last = np.searchsorted(log.doc, [doc, doc + 1])
        rows = log.text[first:last][self._alive[first:last]]
        return {log.shas[text]: log.texts[text] for text in rows.tolist()} if len(rows) else None

    @cached_property
    def _living(self) -> np.ndarray:
        living = np.zeros(len(self._log.texts), bool)
        living[self._log.text[self._alive]] = True
        return living

    @cached_property
    def _owners(self) -> tuple[np.ndarray, np.ndarray]:
        """The texts alive, ascending, and the first row of each."""
        rows = np.flatnonzero(self._alive)
        texts, first = np.unique(self._log.text[rows], return_index=True)
        return texts, rows[first]


class FactIndex:
    """Which texts hold a fact: postings in one array, by the number of the fact."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.facts: dict[str, int] = {}
        held = [[self.facts.setdefault(key, len(self.facts)) for key in facts.keys(text)] for text in texts]
        sizes = np.array([len(row) for row in held], np.int64)
        flat = np.fromiter((key for row in held for key in row), np.int32, int(sizes.sum()))
        order = np.argsort(flat, kind="stable")
        self._texts = np.repeat(np.arange(len(texts), dtype=np.int32), sizes)[order]
        self._ends = np.cumsum(np.bincount(flat, minlength=len(self.facts))) if len(flat) else np.zeros(0, np.int64)
        self._count = len(texts)

    def best(self, wanted: Collection[str], living: np.ndarray) -> list[tuple[int, frozenset[str]]]:
        """Living texts by the summed rarity of the wanted facts that they hold, most first."""
        rows = {key: row for key in sorted(wanted) if (row := self._rows(key)) is not None}
        telling = {key: row for key, row in rows.items() if len(row) <= max(50, COMMON * self._count)} or rows
        if not telling:
            return []
        spread = np.concatenate(list(telling.values()))
        rarity = np.repeat(
            [np.log1p(self._count / len(row)) for row in telling.values()], [len(row) for row in telling.values()]
        )
        texts, where = np.unique(spread, return_inverse=True)
        scores = np.bincount(where, rarity) * living[texts]
        top = np.argsort(-scores, kind="stable")[:FOUND]
        chosen = texts[top[scores[top] > 0]]
        held: list[set[str]] = [set() for _ in range(len(chosen))]
        for key, row in rows.items():
            places = np.searchsorted(row, chosen).clip(max=len(row) - 1)
            for place in np.flatnonzero(row[places] == chosen).tolist():
                held[place].add(key)
        return [(text, frozenset(found)) for text, found in zip(chosen.tolist(), held, strict=True)]

    def _rows(self, key: str) -> np.ndarray | None:
        number = self.facts.get(key)
        if number is None:
            return None
        return self._texts[self._ends[number - 1] if number else 0 : self._ends[number]]


def read_log(lake: Lake, slices: Sequence[str]) -> PassageLog:
    """The logs of some slices as one; a slice without a log adds nothing."""
    tables, begins = [], []
    for slice_ in slices:
        parts = list(chunks.open_records(lake, slice_).log(["text_sha", "text"]))
        if parts:
            tables.append(pa.concat_tables(parts))
            begins.append(_first_sync(tables[-1].column("at").to_numpy()))
    if not tables:
        empty = np.zeros(0, np.int64)
        return PassageLog({}, [], empty, empty, empty, empty, [], [], empty, 0, {})
    together = [time for time in begins if time - min(begins) <= TOGETHER_NS]
    return _assembled(pa.concat_tables(tables), max(together))


def _first_sync(at: np.ndarray) -> int:
    """When a slice's first cut was complete: it writes full batches, and the first that is not full ends it."""
    times, sizes = np.unique(at, return_counts=True)
    rest = times[sizes < chunks.FLUSH_ROWS]
    return int(rest[0]) if len(rest) else int(times[-1])


def _assembled(table: pa.Table, begins: int) -> PassageLog:
    ids = table.column("doc_id").combine_chunks().dictionary_encode()
    doc, at = ids.indices.to_numpy(), table.column("at").to_numpy()
    order = np.lexsort((at, doc))
    doc, at = doc[order].astype(np.int64), at[order]
    until = _ends(doc, at)
    table = table.select(["text_sha", "text"]).take(pa.array(order))
    hashes = table.column("text_sha").combine_chunks().dictionary_encode()
    shas, rows = hashes.dictionary.to_pylist(), hashes.indices.to_numpy().astype(np.int64)
    _, first = np.unique(rows, return_index=True)
    texts = [text or "" for text in pc.take(table.column("text"), pa.array(first)).to_pylist()]  # pyright: ignore[reportAttributeAccessIssue]
    holds = np.array([bool(sha) for sha in shas])[rows]  # a row without a text only ends what was before it
    names = ids.dictionary.to_pylist()
    return PassageLog(
        {name: number for number, name in enumerate(names)},
        names,
        doc[holds],
        rows[holds],
        at[holds],
        until[holds],
        shas,
        texts,
        np.unique(at),
        begins,
        {sha: number for number, sha in enumerate(shas) if sha},
    )


def _ends(doc: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The time of the same document's next version, for rows sorted by document and time."""
    starts = np.flatnonzero(np.r_[True, (doc[1:] != doc[:-1]) | (at[1:] != at[:-1])])
    following = np.r_[starts[1:], len(doc)]
    inside = following < len(doc)
    ends = np.full(len(starts), _FOREVER)
    same = np.zeros(len(starts), bool)
    same[inside] = doc[following[inside]] == doc[starts[inside]]
    ends[same] = at[following[same]]
    return np.repeat(ends, following - starts)
