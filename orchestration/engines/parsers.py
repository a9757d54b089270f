"""Parsing in worker processes, so that no file can take the time, the memory or the life of the run.

    what a file does                        what becomes of it
    is larger than max_bytes                too_large, without being sent to a worker
    takes more CPU than `seconds`           its worker is ended by the kernel; too_large
    takes three times that by the clock     its worker is killed; too_large
    needs more memory than a worker has     too_large; the worker is replaced
    makes the worker die                    corrupt, with the signal
    anything else                           what `parse` says of it

After a death or a lack of memory, a file is tried once more where its worker had parsed other files before: they may
have left little room, and the kernel picks its victims as it likes. The rest of the files go on meanwhile.
"""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import Self

from assets.errors import EngineError
from assets.fingerprints import digest
from assets.knowledge import parsing
from assets.ports import Document, Reason, Refusal
from orchestration.engines.parser_process import PROGRAM, Lost, ParserProcess

MAX_BYTES = 64 * 1024 * 1024
SECONDS = 30.0
MEMORY = 2 * 1024**3
PER_WORKER = 4  # files handed out for each worker: enough to keep it busy while results are taken in order
BYTES_AHEAD = 128 * 1024 * 1024  # of files handed out and not yet answered, unless one alone is larger


class _Job:
    """One file on its way. `worker` is the one that has it now."""

    def __init__(self, path: str, size: int) -> None:
        self.path, self.size = path, size
        self.future: Future[Document | Refusal] = Future()
        self.worker: ParserProcess | None = None
        self.abandoned = False

    def ask(self, worker: ParserProcess, data: bytes) -> Document | Refusal:
        """Has the file parsed; Lost where the worker is of no more use."""
        self.worker = worker
        try:
            if self.abandoned:
                raise Lost(Reason.UNREADABLE, "Nobody waits for the file any more.")
            return worker.ask(self.path, data)
        finally:
            self.worker = None

    def outcome(self) -> Document | Refusal:
        """Waits for the outcome."""
        try:
            return self.future.result()
        except CancelledError:
            raise _closed() from None

    def abandon(self) -> None:
        """Nobody waits for it any more."""
        self.abandoned = True
        worker = self.worker
        if not self.future.cancel() and worker is not None:
            worker.kill()


def _closed() -> EngineError:
    return EngineError("The parser pool was closed while it was parsing", next_step="run the sync again")


class ParserPool:
    """Fits `ports.Parser`. Workers start when there is something to parse and stay until `close`."""

    def __init__(
        self,
        workers: int = 0,
        *,
        max_bytes: int = MAX_BYTES,
        seconds: float = SECONDS,
        memory: int = MEMORY,
        program: str = PROGRAM,
    ) -> None:
        """`workers` = 0 is one for each CPU that this process may use, four at most. `program` is what they run."""
        self.workers = workers or min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2, 4)
        self.max_bytes = max_bytes
        self.fingerprint = digest(
            ["parsers", parsing.fingerprint(), str(max_bytes), f"{seconds:g}", str(memory)]
        )  # limits too: a file that a limit refused is read again when the limit was raised
        self._state = _State(self.workers, seconds, memory, program)
        self._finalizer = weakref.finalize(self, self._state.close)

    def parse(self, files: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, Document | Refusal]]:
        """Yields (path, outcome) in the order given. `files` is read a few files ahead, in the caller's thread."""
        pending: deque[_Job] = deque()
        ahead = 0
        try:
            for path, data in files:
                pending.append(self._hand_out(path, data))
                ahead += len(data)
                del data
                while pending and (len(pending) >= PER_WORKER * self.workers or ahead > BYTES_AHEAD):
                    ahead -= pending[0].size
                    yield pending[0].path, pending[0].outcome()
                    pending.popleft()
            while pending:
                yield pending[0].path, pending[0].outcome()
                pending.popleft()
        finally:
            for job in pending:  # the caller went away, or reading a file failed
                job.abandon()

    def _hand_out(self, path: str, data: bytes) -> _Job:
        job = _Job(path, len(data))
        if len(data) <= self.max_bytes:
            self._state.submit(job, data)
        else:
            job.future.set_result(
                Refusal(
                    Reason.TOO_LARGE,
                    f"The file has {len(data):,} bytes; expected at most {self.max_bytes:,}; split it, exclude it, "
                    "or raise parsing.max_megabytes.",
                )
            )
        return job

    def close(self) -> None:
        """Ends the workers. A later `parse` starts new ones."""
        self._state.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _State:
    """Workers and the threads that talk to them; apart from the pool, so that its finalizer does not keep it alive.

    The threads are daemons and no ThreadPoolExecutor: an interpreter that exits waits for an executor's threads, and so
    would wait for a file that hangs.
    """

    def __init__(self, count: int, seconds: float, memory: int, program: str) -> None:
        self.count, self.seconds, self.memory, self.program = count, seconds, memory, program
        self.lock = threading.Lock()
        self.crew: _Crew | None = None

    def submit(self, job: _Job, data: bytes) -> None:
        """Hands a file to the threads; starts one where all are busy and there may be more."""
        with self.lock:
            if self.crew is None:
                self.crew = _Crew(lambda: ParserProcess(self.seconds, self.memory, self.program))
            self.crew.submit(job, data, self.count)

    def close(self) -> None:
        """Ends all workers and threads."""
        with self.lock:
            crew, self.crew = self.crew, None
        if crew is not None:
            crew.close()


class _Crew:
    """The threads and processes between two calls of `close`."""

    def __init__(self, start: Callable[[], ParserProcess]) -> None:
        self.start = start
        self.lock = threading.Lock()
        self.jobs: queue.SimpleQueue[tuple[_Job, bytes] | None] = queue.SimpleQueue()
        self.waiting = self.threads = 0
        self.workers: set[ParserProcess] = set()
        self.closed = False

    def submit(self, job: _Job, data: bytes, count: int) -> None:
        with self.lock:
            if self.waiting:
                self.waiting -= 1
            elif self.threads < count:
                self.threads += 1
                threading.Thread(target=self._serve, name=f"parser-{self.threads}", daemon=True).start()
        self.jobs.put((job, data))

    def close(self) -> None:
        with self.lock:
            self.closed = True
            workers = list(self.workers)
        for _ in range(self.threads):
            self.jobs.put(None)
        for worker in workers:
            worker.kill()  # the thread that waits for it sees the end of its pipe

    def _serve(self) -> None:
        """A thread: one worker at a time, one file after the other."""
        worker: ParserProcess | None = None
        while (item := self.jobs.get()) is not None:
            job, data = item
            if job.future.set_running_or_notify_cancel():
                try:
                    worker, outcome = self._parse(worker, job, data)
                    job.future.set_result(outcome)
                except BaseException as error:  # noqa: BLE001 - it belongs to the one who waits for the outcome
                    job.future.set_exception(error)
            del item, job, data
            with self.lock:
                self.waiting += 1

    def _parse(
        self, worker: ParserProcess | None, job: _Job, data: bytes
    ) -> tuple[ParserProcess | None, Document | Refusal]:
        """(the worker to go on with, outcome)"""
        while True:
            if worker is None or not worker.lives:
                worker = self._replaced(worker)
            fresh = worker.parsed == 0
            try:
                return worker, job.ask(worker, data)
            except Lost as lost:
                worker.kill()
                if self.closed:  # that is what ended the worker
                    raise _closed() from None
                if fresh or lost.final or job.abandoned:
                    return worker, lost.refusal

    def _replaced(self, former: ParserProcess | None) -> ParserProcess:
        if self.closed:
            raise _closed()
        if former is not None:
            former.kill()
        worker = self.start()
        with self.lock:
            if former is not None:
                self.workers.discard(former)
            self.workers.add(worker)
            late = self.closed
        if late:
            worker.kill()
            raise _closed()
        return worker
