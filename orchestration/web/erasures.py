"""Which interactions were erased, for a server that must note nothing more of them.

The list is looked at again every SECONDS at most. Where that fails the last one stands: ingestion takes no text of an
erased interaction whatever the journal holds, so that a late refusal costs a line and brings nothing back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from assets.errors import TwohandsError

SECONDS = 2.0
log = logging.getLogger("twohands.serve")


class Erasures:
    """`read` lists the ids; it is called in a thread."""

    def __init__(self, read: Callable[[], frozenset[str]]) -> None:
        self._read, self._seconds = read, SECONDS
        self._ids: frozenset[str] = frozenset()
        self._looked = -SECONDS

    async def holds(self, id: str) -> bool:
        """Whether that interaction was erased."""
        now = time.monotonic()
        if now - self._looked >= self._seconds:
            self._looked = now
            try:
                self._ids = await asyncio.to_thread(self._read)
            except TwohandsError as error:
                log.warning("%s", error)
        return id in self._ids
