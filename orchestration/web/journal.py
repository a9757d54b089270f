"""The journal: every exchange and every feedback is on disk before anybody is told that it is noted.

Many lines share one sync (group commit): while one is under way, those that come wait together for the next. The queue
is bounded: where the disk is slower than the questions, they wait, and then they are refused; nothing is dropped.

| what happens | what becomes of a line |
|---|---|
| written and synced | acknowledged; a killed process loses none of these |
| the disk is full | taken back and refused (DiskFull); the next line tries again |
| the disk fails | taken back and refused (EngineBusy); the next line goes to a new file |
| the folder was removed, or its disk unmounted | disk.py |
| the writer fails otherwise, as by a bug | refused (EngineBusy); the next line goes to a new file |
| it does so BUGS times in a row | the writer has ended: all are refused (JournalEnded) until the server's restart |
| the queue stays full | refused (EngineBusy) |
| the process is killed | half a line at most is left, which nobody was told of: segments.mend |
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from assets.errors import EngineBusy, TwohandsError
from orchestration.web.disk import Disk, no_room, translated
from orchestration.web.recent import Recent
from orchestration.web.segments import Segment, mend

BUGS = 3  # failures of the writer in a row that no disk is to blame for, after which it is given up
log = logging.getLogger("twohands.serve")


class JournalEnded(EngineBusy):
    """Nothing writes the journal any more: waiting does not help, a restart does."""


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
        self._disk = Disk(folder)
        self._segment: Segment | None = None
        self._opened, self._number = 0.0, 0
        self._failure: tuple[float, TwohandsError] | None = None
        self._waiting: deque[_Line] = deque()
        self._changed = threading.Condition()
        self._closing, self._bugs = False, 0
        self._thread = threading.Thread(target=self._write_all, name="twohands-journal", daemon=True)

    def start(self) -> list[Path]:
        """Makes the folder, mends what killed processes left (returned), and begins to write."""
        self._disk.open()
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
        self._lives()
        if self._failure and self._now() - self._failure[0] < self.limits.pause_seconds:
            raise self._failure[1]
        try:
            free = self._disk.free()
        except OSError as error:
            raise translated(error, self.folder) from error
        if free < self.limits.free_bytes:
            raise no_room(self.folder)

    def find(self, id: str) -> bytes | None:
        """The newest line of an interaction; None where the last days have none. EngineBusy: nobody can tell now."""
        try:
            line = self.recent.find(id)
        except OSError as error:
            raise translated(error, self.folder, "read") from error
        if line is None:
            self.check()  # it may lie on a disk that is not there
        return line

    def append(self, line: bytes) -> Future[None]:
        """Queues one line, with its line end. The future is done when it is on disk. EngineBusy: the queue is full;
        JournalEnded: nothing writes any more.

        The future fails with DiskFull or EngineBusy where the line could not be written: then it is not there.
        """
        with self._changed:
            self._lives()
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

    def _lives(self) -> None:
        if self._closing:
            raise JournalEnded("the server is going down", next_step="ask again in a moment")
        if not self._thread.is_alive() or self._bugs >= BUGS:
            raise _ended()

    def _write_all(self) -> None:
        batch: list[_Line] = []
        try:
            while batch := self._next():
                try:
                    self._write(batch)
                except OSError as error:
                    self._refuse(batch, translated(error, self.folder))
                except Exception as error:
                    self._failed(batch, error)
                    if self._bugs >= BUGS:
                        raise
        finally:  # nobody waits for a writer that is gone
            with self._changed:
                self._bugs = BUGS
                left = [*batch, *self._waiting]
                self._waiting.clear()
            for line in left:
                if not line.future.done():
                    line.future.set_exception(_ended())
            if self._segment:
                self._segment.close()

    def _refuse(self, batch: Sequence[_Line], failure: TwohandsError) -> None:
        self._failure = (self._now(), failure)
        for line in batch:
            if not line.future.done():
                line.future.set_exception(failure)

    def _failed(self, batch: Sequence[_Line], error: Exception) -> None:
        """After a bug, or want of memory: nobody knows how far the file is, so it is left."""
        log.error("the journal's writer failed", exc_info=error)
        self._bugs += 1
        former, self._segment = self._segment, None
        if former:
            with suppress(OSError):
                former.close()
        failure = EngineBusy(
            f"the journal's writer failed ({type(error).__name__})",
            expected="that what is asked and said can be noted",
            next_step="try again in a moment; where it stays so, look into the server's log and restart it",
        )
        self._refuse(batch, failure)

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
        self.recent.add(segment.path, start, lines)
        self._failure, self._bugs = None, 0
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
            self._disk.restore()
            self._opened, self._number = now, self._number + 1
            old = self._segment = Segment(self.folder, day, self.process, self._number)
        return old

    def _is_done(self, segment: Segment, age: float) -> bool:
        limits = self.limits
        if segment.size >= limits.segment_bytes or age >= limits.segment_seconds:
            return True
        return segment.size >= limits.busy_bytes and age >= limits.busy_seconds


def _ended() -> JournalEnded:
    return JournalEnded(
        "the journal's writer has ended by an error",
        expected="that what is asked and said can be noted",
        next_step="look into the server's log, and restart the server",
    )
