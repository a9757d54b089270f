"""Answering beside the event loop: each answer in a thread, so many at a time, stopped when its reader leaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Protocol

from assets.serving.answers import Answer, Asker
from orchestration.web.errors import RETRY_AFTER, Refused


class Answering(Protocol):
    """What the server asks (assets/serving/answering.py)."""

    def stream(self, question: str, *, variant: str, asker: Asker, where: Mapping[str, str]) -> Iterator[str | Answer]:
        """Pieces of text as they are generated, the Answer last: its text is what holds."""
        ...

    def variants(self) -> list[str]:
        """Their names."""
        ...

    def problems(self) -> list[str]:
        """What is wrong while it answers all the same."""
        ...


class Turns:
    """How many answers are made at a time. A place is given back when its thread ends, not when its reader left."""

    def __init__(self, most: int) -> None:
        self._most, self._held, self._lock = most, 0, threading.Lock()

    def take(self) -> None:
        """Takes a place; Refused (503) where there is none."""
        with self._lock:
            if self._held >= self._most:
                raise Refused(
                    503, "busy", f"{self._most} questions are being answered. Next: ask again in a moment.",
                    retry_after=RETRY_AFTER,
                )  # fmt: skip
            self._held += 1

    def give_back(self) -> None:
        """Frees a place."""
        with self._lock:
            self._held -= 1


async def pieces(
    answering: Answering, turns: Turns, question: str, *, variant: str, asker: Asker, where: Mapping[str, str]
) -> AsyncIterator[str | Answer]:
    """The pieces of an answer as they come, the Answer last. Raises what answering raises.

    Whoever stops reading stops the answer, at its next piece.
    """
    loop, found = asyncio.get_running_loop(), asyncio.Queue[Any]()
    left = threading.Event()

    def tell(what: Any) -> None:
        if not left.is_set():
            loop.call_soon_threadsafe(found.put_nowait, what)

    def make() -> None:
        made: Any = None
        try:
            made = answering.stream(question, variant=variant, asker=asker, where=where)
            for piece in made:
                if left.is_set():
                    break
                tell(piece)
            tell(None)
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is awaited
            tell(error)
        finally:
            if hasattr(made, "close"):
                made.close()
            turns.give_back()

    turns.take()
    threading.Thread(target=make, name="twohands-answer", daemon=True).start()
    try:
        while (piece := await found.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece
    finally:
        left.set()
