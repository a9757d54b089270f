"""The journal: every exchange and every feedback is on disk before anybody is told that it is noted.

Many lines share one sync (group commit): while one is under way, those that come wait together for the next. The queue
is bounded: where the disk is slower than the questions, they wait, and then they are refused; nothing is dropped.

| what happens | what becomes of a line |
|---|---|
| written and synced | acknowledged; a killed process loses none of these |
| the disk is full | taken back and refused (DiskFull); the next line tries again |
| the disk fails | taken back and refused (EngineBusy); the next line goes to a new file |
| the queue stays full | refused (EngineBusy) |
| the process is killed | half a line at most is left, which nobody was told of: segments.mend |
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from assets.errors import DiskFull, EngineBusy, TwohandsError
from orchestration.web.recent import Recent
from orchestration.web.segments import FULL, Segment, mend


@dataclass(frozen=True, slots=True)
class Limits:
    """What the journal may hold back and how large its files grow. Sizes in bytes, times in seconds."""

    backlog: int = 2_000  # lines that wait for the disk
    batch: int = 1_000  # lines of one sync
    segment_bytes: int = 64 << 20
    segment_seconds: float = 3_600.0
    busy_bytes: int = 1 << 20  # ingestion reads a file in a pause of it: one that has none is left after a minute
    busy_seconds: float = 60.0
    days: int = 2  # how long feedback finds its exchange
    pause_seconds: float = 2.0  # after a failure, in which questions are refused before they are answered
    free_bytes: int = 8 << 20  # of the disk, that are left alone


class _Line:
    __slots__ = ("data", "future")

    def __init__(self, data: bytes) -> None:
        self.data, self.future = data, Future[None]()


class Journal:
    """Lines to files of one folder. `append` may be called by any thread; one thread of its own writes."""

    def __init__(self, folder: Path, limits: Limits = Limits(), now: Callable[[], float] = time.time) -> None:
        self.folder, self.limits, self._now = folder, limits, now
        self.process = secrets.token_hex(5)
        self.recent = Recent(folder, self.process, limits.days, now)
        self.written = 0
        self._segment: Segment | None = None
        self._opened, self._number = 0.0, 0
        self._failure: tuple[float, TwohandsError] | None = None
        self._waiting: deque[_Line] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._write_all, name="twohands-journal", daemon=True)

    def start(self) -> list[Path]:
        """Makes the folder, mends what killed processes left (returned), and begins to write."""
        self.folder.mkdir(parents=True, exist_ok=True)
        mended = mend(self.folder)
        self._thread.start()
        return mended

    def close(self) -> None:
        """Writes what waits, and ends."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def backlog(self) -> int:
        """Lines that wait for the disk."""
        return len(self._waiting)

    @property
    def failure(self) -> TwohandsError | None:
        """What the last write failed with; None where it did not."""
        return self._failure[1] if self._failure else None

    def check(self) -> None:
        """Raises what a line would fail with now, as far as can be told: before an answer is paid for."""
        if self._failure and self._now() - self._failure[0] < self.limits.pause_seconds:
            raise self._failure[1]
        found = os.statvfs(self.folder)
        if found.f_bavail * found.f_frsize < self.limits.free_bytes:
            raise _translated(OSError(next(iter(FULL)), "No space left on device"), self.folder)

    def append(self, line: bytes) -> Future[None]:
        """Queues one line, with its line end. The future is done when it is on disk; EngineBusy: the queue is full.

        The future fails with DiskFull or EngineBusy where the line could not be written: then it is not there.
        """
        with self._changed:
            if self._closing:
                raise EngineBusy("the server is going down", next_step="ask again in a moment")
            if len(self._waiting) >= self.limits.backlog:
                raise EngineBusy(
                    f"{len(self._waiting):,} events wait for the disk",
                    expected=f"at most {self.limits.backlog:,}",
                    next_step="try again in a moment; where it stays so, the disk is too slow",
                )
            waiting = _Line(line)
            self._waiting.append(waiting)
            self._changed.notify()
        return waiting.future

    # ------------------------------------------------------------------------------------------------ the writer

    def _write_all(self) -> None:
        batch: list[_Line] = []
        try:
            while batch := self._next():
                try:
                    self._write(batch)
                except OSError as error:
                    failure = _translated(error, self.folder)
                    self._failure = (self._now(), failure)
                    for line in batch:
                        line.future.set_exception(failure)
        finally:  # nobody waits for a writer that is gone
            with self._changed:
                self._closing = True
                for line in (*batch, *self._waiting):
                    if not line.future.done():
                        line.future.set_exception(EngineBusy("the journal has ended", next_step="restart the server"))
                self._waiting.clear()
            if self._segment:
                self._segment.close()

    def _next(self) -> list[_Line]:
        """The lines that wait, as soon as there are some; none at the end."""
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            count = min(len(self._waiting), self.limits.batch)
            return [self._waiting.popleft() for _ in range(count)]

    def _write(self, batch: list[_Line]) -> None:
        lines = [line.data for line in batch]
        segment = self._current()
        start = segment.append(b"".join(lines))
        self._failure = None
        self.recent.add(segment.path, start, lines)
        self.written += len(lines)
        for line in batch:
            line.future.set_result(None)

    def _current(self) -> Segment:
        now = self._now()
        day, old = datetime.fromtimestamp(now, UTC).date(), self._segment
        if old and (old.broken or not old.is_ours or old.day != day or self._is_done(old, now - self._opened)):
            old.close()
            old = self._segment = None
        if old is None:
            self._opened, self._number = now, self._number + 1
            old = self._segment = Segment(self.folder, day, self.process, self._number)
        return old

    def _is_done(self, segment: Segment, age: float) -> bool:
        limits = self.limits
        if segment.size >= limits.segment_bytes or age >= limits.segment_seconds:
            return True
        return segment.size >= limits.busy_bytes and age >= limits.busy_seconds


def _translated(error: OSError, folder: Path) -> TwohandsError:
    if error.errno in FULL:
        return DiskFull(
            f"the journal in {folder} is full ({error.strerror})",
            expected="room for what is asked and said: nothing is answered that cannot be noted",
            next_step="free some space; the server goes on by itself",
        )
    return EngineBusy(
        f"the journal in {folder} cannot be written ({error.strerror or error})",
        expected="a folder on a disk that works",
        next_step="look at the disk and the folder's permissions; the server goes on by itself",
    )
