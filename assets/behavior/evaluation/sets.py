"""Held-out sets: frozen once, named by their hash, never trained on.

    behavior/evaluation/sets/<variant>/<name>.parquet   the items, never changed
    behavior/evaluation/sets/<variant>/<name>.json      their digest, when they were frozen, and of what

A set is whole groups (documents, users) that the dataset's split keeps out of training. A fine-tune freezes the set of
its own behavior; later ones are held against it too (forgetting), until the manner that it shows is no longer wanted.

Nothing is added to a set or changed in it; items leave it when somebody is erased, and its card says how many did.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import pyarrow as pa

from assets.behavior import forms
from assets.behavior.evaluation.items import Item, Kind
from assets.errors import CorruptState, Final
from assets.fingerprints import digest
from assets.ports import Lake

FOLDER = "behavior/evaluation/sets"
LOCK_SECONDS = 60.0
NEWER = 5  # corrections of a topic that show its manner
RARE = 0.1  # of them: a format as rare as this is not wanted any more
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("kind", pa.string()),
        ("question", pa.string()),
        ("passages", pa.list_(pa.string())),
        ("references", pa.list_(pa.string())),
        ("group", pa.string()),
        ("topic", pa.string()),
        ("gold", pa.list_(pa.int32())),
        ("interactions", pa.list_(pa.string())),
    ]
)


class SetFrozen(Final):
    """A set of this name is frozen already, and holds other items."""


class BadSet(Final):
    """Items that cannot be a set."""


@dataclass(frozen=True, slots=True)
class FrozenSet:
    """A held-out set. `digest` names its items, in whatever order they were given."""

    name: str
    digest: str
    frozen: str
    items: tuple[Item, ...]

    @property
    def kinds(self) -> Mapping[str, int]:
        """How many items of each kind."""
        return dict(sorted(Counter(str(item.kind) for item in self.items).items()))


def freeze(lake: Lake, variant: str, name: str, items: Iterable[Item]) -> FrozenSet:
    """Freezes a set once; the same items again find it. SetFrozen where the name holds others."""
    if not _NAME.fullmatch(name):
        raise BadSet(f"a set cannot be named {name!r}", expected="small letters, digits, - and _")
    kept = tuple(sorted(items, key=lambda item: item.id))
    _checked(name, kept)
    made = FrozenSet(name, set_digest(kept), datetime.now(UTC).isoformat(timespec="seconds"), kept)
    with lake.lock(f"evaluation-sets-{variant}", LOCK_SECONDS):
        held = load(lake, variant, name)
        if held is not None:
            if held.digest == made.digest:
                return held
            raise SetFrozen(
                f"the held-out set {name!r} of variant {variant!r} was frozen on {held.frozen} with other items",
                expected=f"the {len(held.items)} items of {held.digest[:16]}; received {made.digest[:16]}",
                next_step="freeze the new items under another name: what was measured on the old ones stays comparable",
            )
        lake.write(_path(variant, name, "parquet"), _table(kept))
        card = {"digest": made.digest, "frozen": made.frozen, "kinds": made.kinds, "items": len(kept)}
        lake.write_text(_path(variant, name, "json"), json.dumps(card, sort_keys=True))
    return made


def load(lake: Lake, variant: str, name: str) -> FrozenSet | None:
    """A frozen set; None where there is none (or a kill came before it was whole). CorruptState where its items are
    not those that were frozen."""
    card, table = lake.read_text(_path(variant, name, "json")), lake.read(_path(variant, name, "parquet"))
    if card is None:
        return None
    try:
        said = json.loads(card)
        items = () if table is None else tuple(map(_item, table.to_pylist()))
        if set_digest(items) in (said["digest"], said.get("was")):  # `was`: an erasure that a kill interrupted
            return FrozenSet(name, set_digest(items), said["frozen"], items)
        problem = "its items are others"
    except (ValueError, KeyError, TypeError) as error:
        problem = f"{type(error).__name__}: {error}"
    raise CorruptState(
        f"the held-out set {name!r} of variant {variant!r} is not what was frozen ({problem})",
        expected=f"the items whose digest is in {_path(variant, name, 'json')}",
        next_step="restore both files from a backup, or delete them and freeze a new set under another name",
    )


def forget(lake: Lake, variant: str, ids: Collection[str]) -> dict[str, int]:
    """Takes the items of these interactions out of every set of a variant: how many each lost, by its name. The digest
    of what is left is another one. Can be done again where a kill interrupted it."""
    lost, gone = {}, set(ids)
    with lake.lock(f"evaluation-sets-{variant}", LOCK_SECONDS):
        for name in names(lake, variant):
            held = load(lake, variant, name)
            left = tuple(item for item in held.items if gone.isdisjoint(item.interactions)) if held else ()
            if held is None or len(left) == len(held.items):
                continue
            said = json.loads(lake.read_text(_path(variant, name, "json")) or "{}")
            lost[name] = len(held.items) - len(left)
            said |= {"digest": set_digest(left), "was": held.digest, "items": len(left)}
            said |= {"erased": said.get("erased", 0) + lost[name], "kinds": FrozenSet(name, "", "", left).kinds}
            lake.write_text(_path(variant, name, "json"), json.dumps(said, sort_keys=True))
            lake.write(_path(variant, name, "parquet"), _table(left))
    return lost


def holding(lake: Lake, variant: str, ids: Collection[str]) -> list[str]:
    """Names of the sets that hold items of these interactions."""
    gone = set(ids)
    found = ((name, load(lake, variant, name)) for name in names(lake, variant))
    return [name for name, one in found if one and not all(gone.isdisjoint(item.interactions) for item in one.items)]


def names(lake: Lake, variant: str) -> list[str]:
    """Names of the frozen sets of a variant, sorted."""
    found = lake.names(f"{FOLDER}/{variant}")
    return sorted(name.rsplit("/", 1)[1].removesuffix(".json") for name in found if name.endswith(".json"))


def set_digest(items: Sequence[Item]) -> str:
    """Names items by all that they hold, in the order of their ids."""
    return digest(json.dumps(asdict(item), sort_keys=True) for item in sorted(items, key=lambda item: item.id))


def wanted(earlier: Sequence[Item], newer: Sequence[Item]) -> list[Item]:
    """The items of an earlier set whose manner is still wanted, by what was corrected since (`newer`), by topic:

    newer corrections of the topic    of them in the item's format    the item
    fewer than NEWER                  -                               stays
    NEWER or more                     more than RARE                  stays
    NEWER or more                     RARE or less                    no longer counts
    """
    shown: dict[str, Counter[str]] = defaultdict(Counter)
    for item in newer:
        if item.kind is Kind.BEHAVIOR:
            shown[item.topic].update(forms.format_of(reference) for reference in item.references[:1])
    return [item for item in earlier if not _superseded(item, shown.get(item.topic, Counter()))]


def _superseded(item: Item, shown: Counter[str]) -> bool:
    total = shown.total()
    if item.kind is not Kind.BEHAVIOR or not item.references or total < NEWER:
        return False
    return shown[forms.format_of(item.references[0])] <= RARE * total


def _checked(name: str, items: Sequence[Item]) -> None:
    twice = [id for id, n in Counter(item.id for item in items).items() if n > 1]
    problem = ""
    if not items:
        problem = "it has no items"
    elif twice:
        problem = f"the id {twice[0]!r} occurs more than once"
    for item in items:
        if item.kind is not Kind.REFUSAL and not item.references:
            problem = f"item {item.id!r} of kind {item.kind} has no reference"
        elif any(not 1 <= number <= len(item.passages) for number in item.gold):
            problem = f"item {item.id!r} names passages {item.gold}, and has {len(item.passages)}"
    if problem:
        raise BadSet(f"the held-out set {name!r} cannot be frozen: {problem}", expected="items that can be judged")


def _path(variant: str, name: str, kind: str) -> str:
    return f"{FOLDER}/{variant}/{name}.{kind}"


def _table(items: Sequence[Item]) -> pa.Table:
    return pa.Table.from_pylist([asdict(item) | {"kind": str(item.kind)} for item in items], schema=_SCHEMA)


def _item(row: Mapping[str, object]) -> Item:
    listed = {name: tuple(value) for name, value in row.items() if isinstance(value, list)}
    return Item(**{**row, **listed, "kind": Kind(str(row["kind"]))})  # type: ignore[arg-type]
