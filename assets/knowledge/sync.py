"""What a sync does to the index, as a value: pure, total, and the same for every engine.

    desired   published   text is the same   other fields are the same   action
    -------   ---------   ----------------   -------------------------   ---------------------------------------
    yes       yes         yes (by its id)    yes                         keep
    yes       yes         yes (by its id)    no                          move: replaced in place, its vector stays
    yes       no          a leaving passage  -                           move: the leaving passage's text lives on
                          has the same text                              under a new id (a renamed document)
    yes       no          no                 -                           add
    no        yes         -                  -                           delete

A chunk id is made of the document, the text and its occurrence, so one id never has two texts. Additions come before
deletions: a reader of an engine without versions could see a document twice for a moment, but never miss one.
Applying any prefix of the steps and planning again gives what is left to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assets.ports import Key


@dataclass(frozen=True, slots=True)
class Plan:
    """Chunk ids by what happens to them. `moved` are written without embedding; `deleted` leave the index.

    A renamed chunk counts once, as moved: its new id is in `moved`, its former id in `replaced`.
    """

    kept: int
    added: tuple[str, ...]
    moved: tuple[str, ...]
    deleted: tuple[str, ...]
    replaced: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.added or self.moved or self.deleted or self.replaced)

    @property
    def writes(self) -> tuple[str, ...]:
        """Ids to add or replace, in this order; before `removals`."""
        return self.added + self.moved

    @property
    def removals(self) -> tuple[str, ...]:
        """Ids to delete, after all `writes`."""
        return self.deleted + self.replaced


def plan(desired: Mapping[str, Key], published: Mapping[str, Key]) -> Plan:
    """Compares two states of an index (chunk_id -> Key). The truth table is in the module's docstring."""
    same = {chunk_id for chunk_id, key in desired.items() if published.get(chunk_id) == key}
    changed = [chunk_id for chunk_id in desired if chunk_id in published and chunk_id not in same]
    new = [chunk_id for chunk_id in desired if chunk_id not in published]
    leaving = [chunk_id for chunk_id in published if chunk_id not in desired]

    by_text: dict[str, list[str]] = {}
    for chunk_id in sorted(leaving, reverse=True):
        by_text.setdefault(published[chunk_id].text_sha, []).append(chunk_id)
    added, moved, replaced = [], list(changed), []
    for chunk_id in sorted(new):
        twins = by_text.get(desired[chunk_id].text_sha)
        if twins:
            moved.append(chunk_id)
            replaced.append(twins.pop())
        else:
            added.append(chunk_id)
    gone = set(replaced)
    deleted = sorted(chunk_id for chunk_id in leaving if chunk_id not in gone)
    return Plan(len(same), tuple(added), tuple(sorted(moved)), tuple(deleted), tuple(replaced))


@dataclass(frozen=True, slots=True)
class Difference:
    """How an index differs from what it should hold; all zero when they are equal."""

    missing: int
    stale: int
    differing: int

    def __bool__(self) -> bool:
        return bool(self.missing or self.stale or self.differing)


def difference(desired: Mapping[str, Key], published: Mapping[str, Key]) -> Difference:
    """Counts passages that are missing, that should not be there (stale), and whose fields are not as desired."""
    missing = sum(chunk_id not in published for chunk_id in desired)
    stale = sum(chunk_id not in desired for chunk_id in published)
    differing = sum(chunk_id in published and published[chunk_id] != key for chunk_id, key in desired.items())
    return Difference(missing, stale, differing)
