"""Datasets in the lake, named by what they hold.

    behavior/dataset/<variant>/<hash>.parquet         the rows, with what they were made of and their interaction ids
    behavior/dataset/<variant>/<hash>.jsonl           the same as chats, for any trainer
    behavior/dataset/<variant>/<hash>.pairs.parquet   preference pairs
    behavior/dataset/<variant>/<hash>.pairs.jsonl     the same, for DPO trainers
    behavior/dataset/<variant>/<hash>.json            the manifest, with the data card; written last

A dataset without a manifest is one that a kill left behind: nobody reads it. The manifest has a number that counts up,
so that "earlier" is no matter of clocks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from assets.behavior.dataset.rows import (
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


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is said of a stored dataset. `digest` names it, `content` is the hash of what it holds now: another one once
    rows were erased. `made_of` are the hashes of candidates, settings and template; `card` is the data card."""

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
        rows["rehearsal"] = sum(row.kind == "rehearsal" for row in examples)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        made = Manifest(
            variant, content, content, number, created, request, frozen, rows, len(pairs), dict(made_of), dict(card)
        )
        _write(lake, made, examples, pairs)
    return made


def manifests(lake: Lake, variant: str) -> list[Manifest]:
    """All datasets of a variant, the first one first. CorruptState names a manifest that is none."""
    found = []
    for name in lake.names(f"{FOLDER}/{variant}"):
        if name.endswith(".json"):
            text = lake.read_text(name)
            try:
                found.append(Manifest(**json.loads(text or "")))
            except (ValueError, TypeError) as error:
                raise _damaged(name, f"{type(error).__name__}: {error}") from None
    return sorted(found, key=lambda one: one.number)


def read(lake: Lake, manifest: Manifest) -> tuple[list[Example], list[Pair]]:
    """The rows and pairs of a dataset; CorruptState where they are not what was written."""
    rows, pairs = lake.read(manifest.name), lake.read(manifest.name.replace(".parquet", ".pairs.parquet"))
    if rows is None or pairs is None:
        raise _damaged(manifest.name, "it is missing")
    found = examples_of(rows), pairs_of(pairs)
    if content_of(*found) != manifest.content:
        raise _damaged(manifest.name, "its rows are others")
    return found


def lineage(lake: Lake, manifest: Manifest) -> list[tuple[str, tuple[str, ...]]]:
    """Split and interaction ids of each row: what taint is counted from."""
    rows = lake.columns(manifest.name, ["split", "interaction_ids"]).to_pylist()
    return [(row["split"], tuple(row["interaction_ids"])) for row in rows]


def forget(lake: Lake, variant: str, ids: Collection[str]) -> dict[str, int]:
    """Takes rows and pairs of these interactions out of every dataset; returns how many rows each lost, by digest.

    A dataset keeps its name: an adapter that was made of it goes on to name it.
    """
    lost: dict[str, int] = {}
    with lake.lock(f"dataset-{variant}", LOCK_SECONDS):
        for manifest in manifests(lake, variant):
            if not any(not set(ids).isdisjoint(row) for _, row in lineage(lake, manifest)):
                continue
            examples, pairs = read(lake, manifest)
            kept = [row for row in examples if set(ids).isdisjoint(row.interaction_ids)]
            left = [pair for pair in pairs if set(ids).isdisjoint(pair.interaction_ids)]
            lost[manifest.digest] = len(examples) - len(kept)
            _write(lake, _without(manifest, kept, left, lost[manifest.digest]), kept, left)
    return lost


def _without(manifest: Manifest, kept: Sequence[Example], pairs: Sequence[Pair], lost: int) -> Manifest:
    """The manifest after an erasure. Its card loses all texts: which of them were whose, it does not say."""
    card = {name: value for name, value in manifest.card.items() if name not in ("examples", "refused")}
    said = {name: getattr(manifest, name) for name in manifest.__slots__}
    return Manifest(**{**said, "content": content_of(kept, pairs), "erased": manifest.erased + lost, "card": card})


def _write(lake: Lake, manifest: Manifest, examples: Sequence[Example], pairs: Sequence[Pair]) -> None:
    stem = _stem(manifest.variant, manifest.digest)
    lake.write(stem + ".parquet", example_table(examples))
    lake.write_text(stem + ".jsonl", chat_lines(examples))
    lake.write(stem + ".pairs.parquet", pair_table(pairs))
    lake.write_text(stem + ".pairs.jsonl", pair_lines(pairs))
    said = {name: getattr(manifest, name) for name in manifest.__slots__}
    lake.write_text(stem + ".json", json.dumps(said, ensure_ascii=False, sort_keys=True))


def _stem(variant: str, digest_: str) -> str:
    return f"{FOLDER}/{variant}/{digest_[:16]}"


def _damaged(name: str, problem: str) -> CorruptState:
    return CorruptState(
        f"{name} is damaged ({problem:.200})",
        expected="the dataset that was written there, which is never changed but by an erasure",
        next_step="restore it from a backup; or delete its files, and materialize behavior/dataset again",
    )
