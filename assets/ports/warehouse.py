"""Where the marts are built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # see __init__.py
    import pyarrow as pa


class Warehouse(Protocol):
    """Where SQL turns interactions and attributions into marts, day by day. One writer at a time."""

    def locked(self) -> AbstractContextManager[None]:
        """The warehouse for ourselves; EngineBusy names the holder who does not let go."""
        ...

    def inputs(self, days: Sequence[date]) -> dict[date, str]:
        """What the marts of each day are built from, as a digest: rows of the lake, the reference, the models."""
        ...

    def load(self, days: Sequence[date]) -> None:
        """Makes these days of the lake readable in SQL; nothing to do where the warehouse reads the lake itself."""
        ...

    def build(self, days: Sequence[date] | None) -> object:
        """Rebuilds these days of every mart, or all; EngineError naming the models and tests that failed."""
        ...

    def build_whole(self) -> object:
        """Rebuilds the models over all days, and no day; errors as for `build`."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """What a dbt process needs to build the same; of a password only the name of its variable."""
        ...

    def arguments(self, days: Sequence[date] | None) -> list[str]:
        """dbt's words for building these days, or the models that have no days."""
        ...

    def target(self) -> Path:
        """An empty folder for the output of one dbt process that somebody else runs; call it under the lock."""
        ...

    def export_daily(self, days: Sequence[date], inputs: Mapping[date, str]) -> int:
        """Writes these days of behavior_daily to the lake, where they can be read without a lock; returns the rows.

        `inputs` is what `inputs` said before the build; each day's file carries it.
        """
        ...

    def purge(self) -> None:
        """Rewrites what is stored, so that nothing of deleted rows is left on the disk."""
        ...

    def gaps(self) -> pa.Table:
        """The rows of knowledge_gaps, worst first."""
        ...

    def candidates(self, days: Sequence[date] | None = None) -> pa.Table:
        """The rows of training_candidates, by day and id; of all days where none are named."""
        ...

    def candidates_count(self, days: Sequence[date] | None = None) -> pa.Table:
        """How many candidates there are: variant, topic, source, n."""
        ...

    def release_days(self, days: Sequence[date]) -> pa.Table:
        """How many interactions each release answered: variant, day, release_id, n."""
        ...
