"""The frozen reference: what topics there are, how long answers usually are, how much people usually edit.

    interactions  ->  reference  ->  attributions(day)  ->  marts

It is made of interactions alone: prompts without a topic are clustered, each row gets its topic, and answers and edits
are measured, the latter by the function that attributions use. So it never waits for what is downstream of it.

state                                              what `freeze` does
nothing frozen, fewer days than `reference_days`   waits, and says for what
nothing frozen, enough days                        freezes their topics and thresholds
frozen                                             nothing, whatever came later: late events, corrections, releases
a new variant has enough days of its own           adds its thresholds; all that was frozen stays as it is
`force=True`                                       freezes the first days anew, as they are now (an explicit act)
killed between its two files                       freezes again: a reference whose parts differ is none
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.behavior import forms
from assets.behavior import topics as clustering
from assets.behavior.schemas import REFERENCE, partition
from assets.behavior.topics import UNASSIGNED, Topics
from assets.errors import CorruptState
from assets.fingerprints import digest
from assets.ports import Encoder, Lake

DATA = "behavior/reference/data.parquet"
CENTROIDS = "behavior/reference/centroids.parquet"
MIN_ROWS = 5  # answers below which a topic has no thresholds, and edited answers below which it has no edit_p60
LOCK_SECONDS = 600.0
_META = b"twohands.reference"
_NO_CENTROIDS = pa.schema([("topic", pa.string()), ("centroid", pa.list_(pa.float32()))])


@dataclass(frozen=True, slots=True)
class Reference:
    """What is frozen. `rows` has REFERENCE's columns; `days` gives each variant's first and last reference day."""

    rows: pa.Table
    frozen_at: str
    days: Mapping[str, tuple[date, date]]
    digest: str
    centroids: pa.Table = field(repr=False, compare=False)

    def assigner(self, encoder: Encoder) -> Topics | None:
        """The frozen topics; None where every prompt had one of its producer. EngineError for another encoder."""
        if self.centroids.num_rows == 0:
            return None
        return clustering.from_table(self.centroids, encoder.encode, encoder.fingerprint)


@dataclass(frozen=True, slots=True)
class ReferenceReport:
    """What is frozen, and whether this call changed it. `waiting`: by variant (or "" for all), what is missing."""

    frozen: bool = False
    changed: bool = False
    topics: int = 0
    thresholds: int = 0
    first_day: date | None = None
    last_day: date | None = None
    digest: str = ""
    waiting: Mapping[str, str] = field(default_factory=dict)


def load(lake: Lake) -> Reference | None:
    """The frozen reference, or None before there is one (or after a kill in the middle of freezing it)."""
    table, centroids = lake.read(DATA), lake.read(CENTROIDS)
    if table is None or centroids is None:
        return None
    facts = _facts(table, DATA)
    if facts["topics"] != _identity(centroids):
        return None
    spans = {variant: (date.fromisoformat(a), date.fromisoformat(b)) for variant, (a, b) in facts["days"].items()}
    rows = table.replace_schema_metadata(None)
    return Reference(rows, facts["frozen_at"], spans, facts["digest"], centroids)


def freeze(
    lake: Lake,
    days: Sequence[date],
    *,
    reference_days: int,
    encoder: Encoder,
    now: datetime | None = None,
    variants: Sequence[str] | None = None,
    force: bool = False,
) -> ReferenceReport:
    """Freezes what is not frozen; see the table above.

    days: all days that have landed; a day among the first ones whose interactions are not built yet is waited for.
    variants: those to freeze (then a call with nothing to do reads no interactions); None for all that occur.
    The median length of answers is in characters, over at least MIN_ROWS answers; `edit_p60` is the 60th percentile
    of edits, over at least MIN_ROWS edited answers, else null.
    """
    with lake.lock("behavior-reference", LOCK_SECONDS):
        known = None if force else load(lake)
        if known and variants is not None and set(variants) <= set(known.days):
            return _report(known, False, {})
        days = sorted(set(days))
        if known is None:
            first, reason = _first_days(lake, days, reference_days)
            if reason:
                return ReferenceReport(waiting={"": reason})
            centroids = _cluster(lake, first, encoder)
        else:
            centroids = known.centroids
        work = _Thresholds(lake, reference_days, centroids, encoder)
        fresh, waiting = work.freeze(days, variants, set(known.days) if known else set())
        if known and not fresh:
            return _report(known, False, waiting)
        if known is None:
            lake.write(CENTROIDS, centroids)
        moment = (now or datetime.now(UTC)).isoformat()
        lake.write(DATA, _merged(known, fresh, centroids, moment))
        made = load(lake)
        assert made is not None  # noqa: S101 - this call holds the lock and wrote both parts
        return _report(made, True, waiting)


def _report(known: Reference, changed: bool, waiting: Mapping[str, str]) -> ReferenceReport:
    ends = [day for pair in known.days.values() for day in pair]
    return ReferenceReport(
        True,
        changed,
        known.centroids.num_rows,
        known.rows.num_rows,
        min(ends, default=None),
        max(ends, default=None),
        known.digest,
        waiting,
    )


def _merged(
    known: Reference | None,
    fresh: Mapping[str, tuple[list[date], pa.Table]],
    centroids: pa.Table,
    moment: str,
) -> pa.Table:
    """The table to store: what was frozen before, and the thresholds of fresh variants."""
    parts = [known.rows] if known else []
    spans = {variant: (span[0], span[-1]) for variant, (span, _) in fresh.items()}
    spans |= known.days if known else {}
    rows = pa.concat_tables([REFERENCE.empty_table(), *parts, *(rows for _, rows in fresh.values())])
    rows = rows.sort_by([("variant", "ascending"), ("topic", "ascending")])
    topics = _identity(centroids)
    facts = {
        "frozen_at": moment,
        "days": {variant: [a.isoformat(), b.isoformat()] for variant, (a, b) in sorted(spans.items())},
        "topics": topics,
        "digest": digest([topics, *(repr(sorted(row.items())) for row in rows.to_pylist())]),
    }
    return rows.replace_schema_metadata({_META: json.dumps(facts).encode()})


class _Thresholds:
    """Measures the reference days; reads each once, keeps lengths and edits and no text."""

    def __init__(self, lake: Lake, wanted: int, centroids: pa.Table, encoder: Encoder) -> None:
        self.lake, self.wanted = lake, wanted
        self.topics = clustering.from_table(centroids, encoder.encode, encoder.fingerprint) if len(centroids) else None
        self._days: dict[date, pa.Table] = {}

    def freeze(
        self, days: Sequence[date], variants: Sequence[str] | None, done: set[str]
    ) -> tuple[dict[str, tuple[list[date], pa.Table]], dict[str, str]]:
        """variant -> its days and rows, for those with enough days; and what the others wait for."""
        spans: dict[str, list[date]] = {}
        for day, column in _built(self.lake, days):
            for variant in sorted(set(column.unique().to_pylist()) - done):
                if (variants is None or variant in variants) and len(spans.setdefault(variant, [])) < self.wanted:
                    spans[variant].append(day)
        ready = {variant: span for variant, span in spans.items() if len(span) == self.wanted}
        short = set(spans) | set(variants or ()) - done
        waiting = {one: _short(len(spans.get(one, [])), self.wanted) for one in sorted(short - set(ready))}
        return {variant: (span, self._rows(variant, span)) for variant, span in sorted(ready.items())}, waiting

    def _rows(self, variant: str, span: Sequence[date]) -> pa.Table:
        every = pa.concat_tables([self._measured(day) for day in span]).filter(pc.field("variant") == variant)
        found: list[dict[str, Any]] = []
        for row in every.group_by("topic").aggregate([("length", "list"), ("edit", "list")]).to_pylist():
            edits = [edit for edit in row["edit_list"] if edit is not None]
            if row["topic"] != UNASSIGNED and len(row["length_list"]) >= MIN_ROWS:
                p60 = float(np.quantile(edits, 0.6)) if len(edits) >= MIN_ROWS else None
                median = float(np.median(row["length_list"]))
                found.append({"variant": variant, "topic": row["topic"], "style_median": median, "edit_p60": p60})
        return pa.Table.from_pylist(found, REFERENCE)

    def _measured(self, day: date) -> pa.Table:
        """variant, topic, length, edit of one day's rows; edit is null where nothing was corrected."""
        if day not in self._days:
            names = ["variant", "topic", "prompt", "response", "corrected_response"]
            rows = self.lake.columns(partition("interactions", day), names)
            edits: list[float | None] = [None] * len(rows)
            corrected = np.flatnonzero(rows.column("corrected_response").is_valid().to_numpy())
            for place, row in zip(corrected, rows.take(corrected).to_pylist(), strict=True):
                edits[place] = forms.edit(row["response"], row["corrected_response"])
            columns = {
                "variant": rows.column("variant"),
                "topic": self._assigned(rows),
                "length": pc.call_function("utf8_length", [rows.column("response")]).cast(pa.int64()),
                "edit": pa.array(edits, pa.float64()),
            }
            self._days[day] = pa.table(columns)
        return self._days[day]

    def _assigned(self, rows: pa.Table) -> pa.Array:
        """Each row's topic: its producer's, else that of the clustering."""
        topics = rows.column("topic").to_pylist()
        bare = np.flatnonzero(rows.column("topic").is_null().to_numpy())
        if len(bare):
            prompts = rows.column("prompt").take(bare).to_pylist()
            found = self.topics.assign(prompts) if self.topics else [UNASSIGNED] * len(bare)
            for place, topic in zip(bare, found, strict=True):
                topics[place] = topic
        return pa.array(topics, pa.string())


def _cluster(lake: Lake, days: Sequence[date], encoder: Encoder) -> pa.Table:
    """Centroids of the prompts without a topic; an empty table, and no encoder call, where there are none."""
    prompts: set[str] = set()
    for day in days:
        rows = lake.columns(partition("interactions", day), ["topic", "prompt"])
        prompts.update(rows.filter(pc.field("topic").is_null()).column("prompt").to_pylist())
    if not prompts:
        return _NO_CENTROIDS.empty_table()
    return clustering.fit(sorted(prompts), encoder.encode, encoder=encoder.fingerprint).table()


def _first_days(lake: Lake, days: Sequence[date], wanted: int) -> tuple[list[date], str]:
    """The first days with data, as many as are wanted; or why there are not as many."""
    found: list[date] = []
    for day, _ in _built(lake, days):
        found.append(day)
        if len(found) == wanted:
            return found, ""
    return found, _short(len(found), wanted)


def _built(lake: Lake, days: Sequence[date]) -> Iterator[tuple[date, pa.ChunkedArray]]:
    """Days with data and their variants, up to the first whose interactions are not built yet."""
    stored = set(lake.names("behavior/interactions"))
    for day in days:
        name = partition("interactions", day)
        if name not in stored:
            return
        column = lake.columns(name, ["variant"]).column("variant")
        if len(column):
            yield day, column


def _short(found: int, wanted: int) -> str:
    return f"{found} of {wanted} days with data are built"


def _identity(centroids: pa.Table) -> str:
    facts = json.dumps({key.decode(): value.decode() for key, value in (centroids.schema.metadata or {}).items()})
    return digest([facts, *(repr(row) for row in centroids.to_pylist())])


def _facts(table: pa.Table, name: str) -> dict[str, Any]:
    try:
        return json.loads((table.schema.metadata or {})[_META])
    except (KeyError, ValueError) as error:
        raise CorruptState(
            f"{name} in the lake does not say of which days it was frozen",
            expected="the table that Twohands wrote",
            next_step="restore it from a backup, or delete it and freeze the reference again",
        ) from error
