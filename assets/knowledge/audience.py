"""Who may read a document, where its source says so as well as the document itself: the narrower of both. Pure.

    the source's value    the document's own       what its passages hold
    --------------------  -----------------------  -------------------------------------------------------
    none                  any                      the document's
    any                   none                     the source's
    public                any                      the document's
    groups                public                   the source's: a document does not make itself public
    groups                some of them, or others  those of the document's that the source names too
    groups                only others              no value: read only by whoever may read all

Each may name several groups. Of every other field of metadata the source's value wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assets.ports.index import joined, values


@dataclass(frozen=True, slots=True)
class Audience:
    """The metadata field that says who may read a document, and the values that everybody may ([access])."""

    field: str = "audience"
    public: tuple[str, ...] = ("all",)

    def merged(self, own: Mapping[str, str], source: Mapping[str, str]) -> dict[str, str]:
        """A document's metadata with its source's, by the table above."""
        found = {**own, **source}
        if self.field in own and self.field in source:
            held = self._narrower(values(own[self.field]), values(source[self.field]))
            found.pop(self.field)
            found |= {self.field: joined(held)} if held else {}
        return found

    def _narrower(self, own: tuple[str, ...], source: tuple[str, ...]) -> tuple[str, ...]:
        if not {*source}.isdisjoint(self.public):
            return own
        if not {*own}.isdisjoint(self.public):
            return source
        return tuple(value for value in own if value in source)
