"""Looking which rows still stand: what datasets were made of, against what the lake says now.

    behavior/taint/<variant>/<dataset>.json   which rows of which days are touched, and what these days were built from

A day is read again when its marts were built from something else than last time, so a look costs the days that changed
since the last one. What is noted are places of rows and no ids: there is nothing in it to erase, and another content of
the dataset (an erasure) begins it anew. Days that are waiting to be rebuilt count as they were built last.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute

from assets.behavior.dataset import store
from assets.behavior.dataset.origins import completion_of, origin
from assets.behavior.dataset.rows import TRAIN
from assets.behavior.dataset.store import Line, Manifest
from assets.behavior.pipeline import BUILT
from assets.behavior.schemas import partition
from assets.behavior.taint.rules import Now, OfAdapter, OfDataset, Report, Share, Touch, gravest, touched
from assets.ports import Lake

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them
FOLDER = "behavior/taint"
NAMED = 20  # ids of each reason that are given
_TEXTS = ("id", "prompt", "response", "corrected_response", "passages", "schema_ok")
_Noted = dict[str, Any]  # "content"; "splits"; "days": day -> {"built": ..., "touched": {place: [reason, split]}}


class _Seen(NamedTuple):
    """Rows of a dataset by split, the touched ones by their place, and the first day of its rows."""

    splits: Mapping[str, int]
    touched: Mapping[int, tuple[Touch, str]]
    first: str


class Made(Protocol):
    """What is asked of an adapter (adapter/store.py)."""

    @property
    def id(self) -> str: ...  # noqa: D102

    @property
    def dataset(self) -> str:
        """The digest that names its dataset."""
        ...

    @property
    def content(self) -> str:
        """What the dataset held when it was trained."""
        ...


class Taints:
    """The taint of datasets and adapters. `adapters` are those of a variant, the first one first; `released` is the id
    of the one that answers, empty where none does."""

    def __init__(
        self, lake: Lake, *, adapters: Callable[[str], Sequence[Made]], released: Callable[[str], str] = lambda _: ""
    ) -> None:
        self.lake, self._adapters, self._released = lake, adapters, released

    def look(self, variant: str, *, named: bool = True) -> Report:
        """Every dataset and adapter of a variant; without `named` no interaction is named, which is cheaper.

        CorruptState where a dataset is damaged.
        """
        made, answers, built = self._adapters(variant), self._released(variant), self._built()
        manifests = {one.digest: one for one in store.manifests(self.lake, variant)}
        seen = {name: self._seen(one, built) for name, one in manifests.items()}
        adapters = [_of_adapter(self.lake, one, answers, manifests.get(one.dataset), seen) for one in made]
        datasets = []
        for name, found in seen.items():
            ids = self._ids(manifests[name], found) if named and found.touched else {}
            of = tuple(one.id for one in made if one.dataset == name)
            datasets.append(_of_dataset(manifests[name], found, ids, of, answers in of))
        return Report(variant, tuple(datasets), tuple(adapters))

    def released(self, variant: str) -> OfAdapter | None:
        """The adapter that answers; None where none does. Looks at its dataset alone."""
        one = self._answering(variant)
        if one is None:
            return None
        found = [manifest for manifest in store.manifests(self.lake, variant) if manifest.digest == one.dataset]
        seen = {manifest.digest: self._seen(manifest, self._built()) for manifest in found}
        return _of_adapter(self.lake, one, one.id, found[0] if found else None, seen)

    def stamp(self, variant: str) -> str:
        """What else than built days may change the taint of the adapter that answers: cheap, for sensors."""
        one = self._answering(variant)
        return (self.lake.read_text(_note(variant, one.dataset)) or "") if one else ""

    def _answering(self, variant: str) -> Made | None:
        answers = self._released(variant)
        return next((one for one in self._adapters(variant) if one.id == answers), None) if answers else None

    def _built(self) -> dict[str, str]:
        return json.loads(self.lake.read_text(BUILT) or "{}")

    def _seen(self, manifest: Manifest, built: Mapping[str, str]) -> _Seen:
        """The rows of a dataset as they are noted; its days that were built anew since are looked at first."""
        name = _note(manifest.variant, manifest.digest)
        text = self.lake.read_text(name) or ""
        known = _noted(text, manifest.content)
        days = known["days"]
        if not days or any(not (stamp := built.get(day)) or stamp != one["built"] for day, one in days.items()):
            self._look(manifest, known, built)
            if (now := json.dumps(known, sort_keys=True)) != text:
                self.lake.write_text(name, now)
        found = {int(k): (Touch(v[0]), v[1]) for day in days.values() for k, v in day["touched"].items()}
        return _Seen(known["splits"], found, min(days, default=""))

    def _look(self, manifest: Manifest, known: _Noted, built: Mapping[str, str]) -> None:
        lines, places = store.lineage(self.lake, manifest), defaultdict(list)
        for place, line in enumerate(lines):
            places[line.day].append(place)
        known["splits"] = dict(Counter(line.split for line in lines))
        for day, of_day in places.items():
            stamp, before = built.get(day.isoformat(), ""), known["days"].get(day.isoformat())
            if before is None or not stamp or before["built"] != stamp:
                found = _of_day(self.lake, day, [(place, lines[place]) for place in of_day])
                marks = {str(place): [str(touch), lines[place].split] for place, touch in found}
                known["days"][day.isoformat()] = {"built": stamp, "touched": marks}

    def _ids(self, manifest: Manifest, seen: _Seen) -> dict[Touch, tuple[str, ...]]:
        lines, ids = store.lineage(self.lake, manifest), defaultdict(list)
        for place, (touch, _) in sorted(seen.touched.items()):
            ids[touch] += lines[place].interaction_ids
        return {touch: tuple(some[:NAMED]) for touch, some in ids.items()}


def _note(variant: str, dataset: str) -> str:
    return f"{FOLDER}/{variant}/{dataset[:16]}.json"


def _noted(text: str, content: str) -> _Noted:
    """What was found last time; nothing where the rows are others now, or the note cannot be read."""
    try:
        known = json.loads(text or "{}")
        if known.get("content") == content and isinstance(known["days"], dict) and isinstance(known["splits"], dict):
            return known
    except (ValueError, KeyError, AttributeError):
        pass  # it is only what a look would find again
    return {"content": content, "splits": {}, "days": {}}


def _of_day(lake: Lake, day: date, rows: Sequence[tuple[int, Line]]) -> Iterator[tuple[int, Touch]]:
    now = said(lake, day, {id_ for _, line in rows for id_ in line.interaction_ids})
    for place, line in rows:
        found = gravest(touched(line.source, line.origin, now.get(id_)) for id_ in line.interaction_ids)
        if found is not None:
            yield place, found


def said(lake: Lake, day: date, ids: set[str]) -> dict[str, Now]:
    """What the lake says now of these interactions of a day; those that are gone are left out."""
    judged = {row["id"]: row["verdict"] for row in _read(lake, "attributions", day, ("id", "verdict"), ids)}
    return {
        row["id"]: Now(
            origin(row["prompt"] or "", completion_of(row["response"], row["corrected_response"]), row["passages"]),
            judged.get(row["id"]),
            row["schema_ok"],
        )
        for row in _read(lake, "interactions", day, _TEXTS, ids)
    }


def _read(lake: Lake, table: str, day: date, columns: Sequence[str], ids: set[str]) -> list[dict[str, Any]]:
    name = partition(table, day)
    if name not in lake.names(name.rsplit("/", 1)[0]):
        return []
    found = lake.columns(name, columns)
    return found.filter(pc.is_in(found["id"], value_set=pa.array(sorted(ids), pa.string()))).to_pylist()


def _counted(reasons: Sequence[Touch]) -> dict[Touch, int]:
    counts = Counter(reasons)
    return {touch: counts[touch] for touch in Touch if counts[touch]}


def _of_dataset(
    manifest: Manifest, seen: _Seen, ids: Mapping[Touch, tuple[str, ...]], adapters: tuple[str, ...], released: bool
) -> OfDataset:
    by = _counted([*(touch for touch, _ in seen.touched.values()), *[Touch.ERASED] * manifest.erased])
    whole = Share(sum(seen.splits.values()) + manifest.erased, by)
    return OfDataset(manifest.variant, manifest.digest, manifest.number, whole, ids, adapters, released)


def _of_adapter(
    lake: Lake, made: Made, answers: str, manifest: Manifest | None, seen: Mapping[str, _Seen]
) -> OfAdapter:
    if manifest is None:
        return OfAdapter(made.id, made.dataset, Share(), made.id == answers, known=False)
    found, lost = seen[manifest.digest], _erased_since(manifest, made.content)
    learnt = [touch for touch, split in found.touched.values() if split == TRAIN]
    trained = Share(found.splits.get(TRAIN, 0) + lost, _counted([*learnt, *[Touch.ERASED] * lost]))
    card = json.loads(lake.read_text(manifest.frozen.removesuffix(".parquet") + ".json") or "{}")
    return OfAdapter(
        made.id, made.dataset, trained, made.id == answers, first_day=str(card.get("first_day") or found.first)
    )


def _erased_since(manifest: Manifest, content: str) -> int:
    """Training rows that the dataset lost after it held this."""
    if content == manifest.content:
        return 0
    before = [one["content"] for one in manifest.erasures]
    since = manifest.erasures[before.index(content) :] if content in before else manifest.erasures
    return sum(one["rows"].get(TRAIN, 0) for one in since)
