"""The journal as the event loop sees it: waiting without blocking, and feedback as whole events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from assets.errors import EngineBusy
from orchestration.web import events
from orchestration.web.erasures import Erasures
from orchestration.web.errors import Refused
from orchestration.web.journal import Journal, JournalEnded

WAIT_SECONDS = 5.0  # how long an event waits for a place in the queue
_POLL_SECONDS = 0.02
_LOCKS = 1_024


class Log:
    """Events of one app. `line_bytes` is what ingestion takes as one line, `erased` what was forgotten for good."""

    def __init__(self, journal: Journal, line_bytes: int, erased: Erasures) -> None:
        self.journal, self._line_bytes, self._erased = journal, line_bytes, erased
        self._locks = [asyncio.Lock() for _ in range(_LOCKS)]

    def check(self) -> None:
        """Raises what an event would fail with now."""
        self.journal.check()

    async def append(self, event: Mapping[str, Any]) -> None:
        """Returns when the event is on disk. BadQuestion, DiskFull, EngineBusy: it was not noted."""
        line, until = events.line(event, self._line_bytes), time.monotonic() + WAIT_SECONDS
        while True:
            try:
                written = self.journal.append(line)
                break
            except EngineBusy as error:
                if isinstance(error, JournalEnded) or time.monotonic() >= until:
                    raise
                await asyncio.sleep(_POLL_SECONDS)
        await asyncio.shield(asyncio.wrap_future(written))

    async def revise(self, id: str, feedback: str | None, corrected_response: str | None) -> dict[str, Any]:
        """Puts what a person said of an answer on disk, as a whole event, and returns it; Refused (404, 410)."""
        if await self._erased.holds(id):
            raise Refused(
                410, "erased", "This question and its answer were erased: nothing more is noted of them.", param="id"
            )
        async with self._locks[hash(id) % _LOCKS]:  # two hands on one answer lose neither's word
            line = self.journal.find(id)
            event = _read(line) if line is not None else None
            if event is None:
                raise Refused(
                    404, "unknown_interaction",
                    f"No answer of the last {self.journal.limits.days} days has this id. "
                    "Next: send later feedback to the landing folder.", param="id",
                )  # fmt: skip
            event = events.revised(event, datetime.now(UTC), feedback, corrected_response)
            await self.append(event)
            return event


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        return json.loads(line)
    except ValueError:
        return None  # somebody changed the file under us
