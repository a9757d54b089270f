"""The books: what was spent and decided."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from assets.decision.ledger import Entry, Kind


class Ledger(Protocol):
    """What was spent, decided, approved and done (assets/decision/ledger.py): entries are added, never changed.

    CorruptState names an entry that is not what was written; EngineBusy when another process does not let go.
    """

    def append(self, entry: Entry) -> bool:
        """Adds an entry; False, and nothing is changed, when there is one with its id, of whatever time.

        Whoever is told True is the only one, among all processes: this is how a fine-tune is claimed once.
        """
        ...

    def entries(
        self,
        kinds: Collection[Kind] = (),
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        variant: str | None = None,
    ) -> list[Entry]:
        """Entries of these kinds (none: of all), `since` <= at < `until`, of a variant (None: of all), in the order in
        which they were appended: that of time, but for a clock that went back."""
        ...

    def get(self, id: str) -> Entry | None:
        """The entry with this id, or None."""
        ...

    def maintain(self) -> Mapping[str, int]:
        """Joins entries of months that are over; returns counts. Nothing that is read changes."""
        ...
