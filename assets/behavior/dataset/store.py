"""Datasets in the lake, named by what they hold.

    behavior/dataset/<variant>/<hash>.parquet         the rows, with what they were made of and their interaction ids
    behavior/dataset/<variant>/<hash>.jsonl           the same as chats, for any trainer
    behavior/dataset/<variant>/<hash>.pairs.parquet   preference pairs
    behavior/dataset/<variant>/<hash>.pairs.jsonl     the same, for DPO trainers
    behavior/dataset/<variant>/<hash>.origins.parquet what each row's interactions said then, as a hash (origins.py)
    behavior/dataset/<variant>/<hash>.json            the manifest, with the data card; written last

A dataset without a manifest is one that a kill left behind: nobody reads it. The manifest has a number that counts up,
so that "earlier" is no matter of clocks.

An erasure writes the manifest first and the rows last: until the rows are written they name what is to be forgotten,
so erasing the same interactions again goes on from wherever a kill struck.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import pyarrow as pa

from assets.behavior.dataset.eligibility import ACCEPTED, CORRECTION
from assets.behavior.dataset.rows import (
    ADDED,
    Example,
    Pair,
    chat_lines,
    example_table,
    examples_of,
    full_lines,
    pair_lines,
    pair_table,
    pairs_of,
)
from assets.errors import CorruptState
from assets.fingerprints import digest
from assets.ports import Lake

FOLDER = "behavior/dataset"
LOCK_SECONDS = 600.0
_ORIGINS = pa.schema([("interaction_ids", pa.list_(pa.string())), ("origin", pa.string())])


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is said of a stored dataset. `digest` names it, `content` is the hash of what it holds now: another one once
    rows were erased. `made_of` are the hashes of candidates, settings and template; `card` is the data card.

    `rows` and `pairs` are those that it was made with, `erased` is how many of the rows it lost since; `erasures` says
    for each time what its content was before, and how many rows of each split it lost."""

    variant: str
    digest: str
    content: str
    number: int
    created: str
    request: str
    frozen: str
    rows: Mapping[str, int]
    pairs: int
    made_of: Mapping[str, str]
    card: Mapping[str, Any]
    erased: int = 0
    erasures: tuple[Mapping[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """The lake's name of the rows; the other files differ in their ending."""
        return f"{_stem(self.variant, self.digest)}.parquet"


def content_of(examples: Sequence[Example], pairs: Sequence[Pair]) -> str:
    """The hash of all that a dataset holds."""
    texts = (chat_lines(examples), full_lines(examples), pair_lines(pairs))
    return digest(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in texts)


def write(
    lake: Lake,
    variant: str,
    examples: Sequence[Example],
    pairs: Sequence[Pair],
    *,
    request: str,
    frozen: str,
    made_of: Mapping[str, str],
    card: Mapping[str, Any],
) -> Manifest:
    """Stores a dataset; the same rows again find the first one."""
    content = content_of(examples, pairs)
    with lake.lock(f"dataset-{variant}", LOCK_SECONDS):
        known = manifests(lake, variant)
        same = [one for one in known if one.content == content]
        if same:
            return same[-1]
        number = 1 + max((one.number for one in known), default=0)
        rows = {split: sum(row.split == split for row in examples) for split in ("train", "validation", "test")}
        rows |= {kind: sum(row.kind == kind for row in examples) for kind in ADDED}
        created = datetime.now(UTC).isoformat(timespec="seconds")
        made = Manifest(
            variant, content, content, number, created, request, frozen, rows, len(pairs), dict(made_of), dict(card)
        )
        _write_rows(lake, made, examples, pairs)
        _write_manifest(lake, made)
    return made


def manifests(lake: Lake, variant: str) -> list[Manifest]:
    """All datasets of a variant, the first one first. CorruptState names a manifest that is none."""
    found = []
    for name in lake.names(f"{FOLDER}/{variant}"):
        if name.endswith(".json"):
            text = lake.read_text(name)
            try:
                row = json.loads(text or "")
                found.append(Manifest(**{**row, "erasures": tuple(row.get("erasures", ()))}))
            except (ValueError, TypeError, AttributeError) as error:
                raise _damaged(name, f"{type(error).__name__}: {error}") from None
    return sorted(found, key=lambda one: one.number)


def read(lake: Lake, manifest: Manifest) -> tuple[list[Example], list[Pair]]:
    """The rows and pairs of a dataset; CorruptState where they are not what was written."""
    found = _read(lake, manifest)
    if content_of(*found) != manifest.content:
        raise _damaged(manifest.name, "its rows are others")
    return found


def _read(lake: Lake, manifest: Manifest) -> tuple[list[Example], list[Pair]]:
    rows, pairs = lake.read(manifest.name), lake.read(_beside(manifest, "pairs"))
    if rows is None or pairs is None:
        raise _damaged(manifest.name, "it is missing")
    said = _origins(lake, manifest)
    return [replace(row, origin=said.get(row.interaction_ids, "")) for row in examples_of(rows)], pairs_of(pairs)


class Line(NamedTuple):
    """A row without its texts: what taint is counted from. `origin` is empty in datasets that kept none."""

    split: str
    interaction_ids: tuple[str, ...]
    day: date
    source: str  # correction or accepted
    origin: str


def lineage(lake: Lake, manifest: Manifest) -> list[Line]:
    """The rows of a dataset, in their order; CorruptState where they are missing."""
    said = _origins(lake, manifest)
    found = []
    for row in lake.columns(manifest.name, ["split", "interaction_ids", "day", "event"]).to_pylist():
        ids, source = tuple(row["interaction_ids"]), ACCEPTED if row["event"] == ACCEPTED else CORRECTION
        found.append(Line(row["split"], ids, row["day"], source, said.get(ids, "")))
    return found


def _origins(lake: Lake, manifest: Manifest) -> dict[tuple[str, ...], str]:
    name = _beside(manifest, "origins")
    table = lake.read(name) if name in lake.names(f"{FOLDER}/{manifest.variant}") else None
    return {tuple(row["interaction_ids"]): row["origin"] for row in table.to_pylist()} if table else {}


def forget(lake: Lake, variant: str, ids: Collection[str]) -> dict[str, int]:
    """Takes rows and pairs of these interactions out of every dataset; returns how many rows each lost, by digest (or
    pairs, where it is pairs alone that name them).

    A dataset keeps its name: an adapter that was made of it goes on to name it.
    """
    lost: dict[str, int] = {}
    with lake.lock(f"dataset-{variant}", LOCK_SECONDS):
        for manifest in manifests(lake, variant):
            if not _named(lake, manifest, set(ids)):
                continue
            examples, pairs = _read(lake, manifest)
            gone = [row for row in examples if not set(ids).isdisjoint(row.interaction_ids)]
            kept = [row for row in examples if set(ids).isdisjoint(row.interaction_ids)]
            left = [pair for pair in pairs if set(ids).isdisjoint(pair.interaction_ids)]
            now = content_of(kept, left)
            if manifest.content == content_of(examples, pairs):
                _write_manifest(lake, _without(manifest, now, Counter(row.split for row in gone)))
            elif manifest.content != now:  # not what a kill in this very erasure leaves, either
                raise _damaged(manifest.name, "its rows are others")
            _write_rows(lake, manifest, kept, left)
            lost[manifest.digest] = len(gone) or len(pairs) - len(left)
    return lost


def _named(lake: Lake, manifest: Manifest, ids: set[str]) -> bool:
    """Whether rows or pairs name any of these interactions."""
    tables = (lake.columns(name, ["interaction_ids"]) for name in (manifest.name, _beside(manifest, "pairs")))
    return any(not ids.isdisjoint(row["interaction_ids"]) for table in tables for row in table.to_pylist())


def _without(manifest: Manifest, content: str, lost: Mapping[str, int]) -> Manifest:
    """The manifest after an erasure. Its card loses all texts: which of them were whose, it does not say."""
    return replace(
        manifest,
        content=content,
        erased=manifest.erased + sum(lost.values()),
        erasures=(*manifest.erasures, {"content": manifest.content, "rows": dict(lost)}),
        card={name: value for name, value in manifest.card.items() if name not in ("examples", "refused")},
    )


def _write_rows(lake: Lake, manifest: Manifest, examples: Sequence[Example], pairs: Sequence[Pair]) -> None:
    stem = _stem(manifest.variant, manifest.digest)
    said = [{"interaction_ids": list(row.interaction_ids), "origin": row.origin} for row in examples]
    lake.write_text(stem + ".jsonl", chat_lines(examples))
    lake.write_text(stem + ".pairs.jsonl", pair_lines(pairs))
    lake.write(stem + ".origins.parquet", pa.Table.from_pylist(said, schema=_ORIGINS))
    lake.write(stem + ".pairs.parquet", pair_table(pairs))
    lake.write(stem + ".parquet", example_table(examples))


def _write_manifest(lake: Lake, manifest: Manifest) -> None:
    said = {name: getattr(manifest, name) for name in manifest.__slots__}
    text = json.dumps(said, ensure_ascii=False, sort_keys=True)
    lake.write_text(_stem(manifest.variant, manifest.digest) + ".json", text)


def _beside(manifest: Manifest, what: str) -> str:
    return f"{_stem(manifest.variant, manifest.digest)}.{what}.parquet"


def _stem(variant: str, digest_: str) -> str:
    return f"{FOLDER}/{variant}/{digest_[:16]}"


def _damaged(name: str, problem: str) -> CorruptState:
    return CorruptState(
        f"{name} is damaged ({problem:.200})",
        expected="the dataset that was written there, which is never changed but by an erasure",
        next_step="restore it from a backup; or delete its files, and materialize behavior/dataset again (where an "
        "erasure was cut short, erase the same interactions again first)",
    )
