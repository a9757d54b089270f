"""One parser process and the conversation with it: a request, an answer, and an end by the clock if there is none."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path

import assets
from assets.errors import EngineError
from assets.knowledge.formats.base import MAX_TEXT
from assets.knowledge.parsing_worker import HEADER, READY, unpack
from assets.ports import Document, Reason, Refusal

CLOCK = 3  # times the CPU seconds: a machine that does other things must not refuse files
START = 60.0  # seconds that a process may take to start on a machine that does other things
MAX_FACTS = 1 << 28  # bytes of an answer's JSON: a text of very many lines has an outline as long
PROGRAM = "assets.knowledge.parsing_worker"


class Lost(Exception):
    """A worker that is of no more use. `final`: another one would end the same way."""

    def __init__(self, reason: Reason, detail: str, *, final: bool = False) -> None:
        super().__init__(detail)
        self.refusal = Refusal(reason, detail)
        self.final = final


class ParserProcess:
    """Only one thread talks to it at a time; any may kill it."""

    def __init__(self, seconds: float, memory: int, program: str = PROGRAM) -> None:
        self.seconds, self.memory, self.program = seconds, memory, program
        self.parsed = 0
        self._talking = threading.Lock()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        limits = [str(os.getpid()), str(memory), f"{seconds:g}"]
        self.process = subprocess.Popen(  # noqa: S603 - this interpreter and a module of ours
            [sys.executable, "-P", "-m", program, *limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_environment(),
            bufsize=0,
        )
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
        try:
            facts, _ = self._exchange([], time.monotonic() + START)
        except (_Silent, TimeoutError):
            facts = b""
        if facts != READY:
            error = self._not_started()
            self.kill()
            raise error

    def ask(self, path: str, data: bytes) -> Document | Refusal:
        """Sends one file and waits for the outcome; Lost where there is none."""
        name = path.encode("utf-8", "surrogateescape")
        header = HEADER.pack(len(name), len(data))
        try:
            facts, text = self._exchange([header + name, data], time.monotonic() + CLOCK * self.seconds)
        except TimeoutError:
            raise self._too_slow(f"{CLOCK * self.seconds:g} s by the clock") from None
        except _Silent:
            raise self._died() from None
        self.parsed += 1
        if facts == b'{"memory": true}':
            raise Lost(
                Reason.TOO_LARGE,
                f"The file needs more memory than a parser may take; expected at most {self.memory / 2**20:,.0f} MiB; "
                "split it, or raise parsing.memory_megabytes.",
            )
        try:
            return unpack(facts, text)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Lost(Reason.CORRUPT, "The file made the parser answer nonsense; save it again.") from None

    @property
    def lives(self) -> bool:
        """Whether it can be asked."""
        return self.process.poll() is None

    def kill(self) -> None:
        """Ends the process and frees its pipes; a second call does nothing."""
        self.process.kill()
        self.process.wait()
        with self._talking:  # a thread that waits for an answer has seen the end of the pipe and let go
            for file in (self.process.stdin, self.process.stdout, self._errors):
                if file is not None:
                    file.close()

    def _exchange(self, payload: list[bytes], deadline: float) -> tuple[bytes, bytes]:
        with self._talking:
            return self._answer(payload, deadline)

    def _answer(self, payload: list[bytes], deadline: float) -> tuple[bytes, bytes]:
        """Writes a request while it reads the answer; neither side of the pipe can block the other."""
        if self.process.stdin is None or self.process.stdout is None or self.process.stdout.closed:
            raise _Silent
        sink, source = self.process.stdin.fileno(), self.process.stdout.fileno()
        waiting = deque(memoryview(part) for part in payload if part)
        answer = bytearray()
        wanted = HEADER.size
        while len(answer) < wanted:
            left = deadline - time.monotonic()
            readable, writable, _ = select.select([source], [sink] if waiting else [], [], max(left, 0))
            if not readable and not writable:
                raise TimeoutError
            if writable:
                _write(sink, waiting)
            if readable:
                block = os.read(source, 1 << 20)
                if not block:
                    raise _Silent
                answer += block
            if wanted == HEADER.size and len(answer) >= wanted:
                named, size = HEADER.unpack_from(answer)
                if named > MAX_FACTS or size > 4 * MAX_TEXT:
                    raise _Silent
                wanted += named + size
        named, size = HEADER.unpack_from(answer)
        start = HEADER.size + named
        return bytes(answer[HEADER.size : start]), bytes(answer[start : start + size])

    def _died(self) -> Lost:
        """Why a worker ended by itself."""
        try:
            code = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            code = 0
        if code == -signal.SIGPROF:
            return self._too_slow(f"{self.seconds:g} s of CPU time")
        name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return Lost(
            Reason.CORRUPT,
            f"The file ended the parser ({name}); expected a well-formed file; save it again, or exclude it.",
        )

    def _too_slow(self, limit: str) -> Lost:
        return Lost(
            Reason.TOO_LARGE,
            f"The file took more than {limit} to parse; expected less; split it, exclude it, or raise "
            "parsing.timeout_seconds.",
            final=True,
        )

    def _not_started(self) -> EngineError:
        self.process.kill()
        code = self.process.wait()
        self._errors.seek(0)
        said = self._errors.read()[-2_000:].decode("utf-8", "replace").strip().split("\n")[-1]
        return EngineError(
            f"A parser process did not start: {said or f'exit status {code}'}",
            expected=f"{sys.executable} -m {self.program} to run within {self.memory / 2**20:,.0f} MiB",
            next_step="run `twohands doctor`, and raise parsing.memory_megabytes if memory is what it lacks",
        )


class _Silent(Exception):
    """The worker closed its pipe, or wrote what is no answer."""


def _write(sink: int, waiting: deque[memoryview]) -> None:
    try:
        sent = os.write(sink, waiting[0][: 1 << 20])
    except BlockingIOError:
        return
    except BrokenPipeError:
        waiting.clear()  # its end is seen where the answer is read
        return
    rest = waiting.popleft()[sent:]
    if rest:
        waiting.appendleft(rest)


def _environment() -> dict[str, str]:
    """What a worker is told: where the code is, and nothing else. Secrets stay with the parent."""
    root = str(Path(next(iter(assets.__path__))).resolve().parent)
    kept = {
        name: os.environ[name] for name in ("LD_LIBRARY_PATH", "TMPDIR", "PYTHONPYCACHEPREFIX") if name in os.environ
    }
    # one hash seed, so that nothing depends on the order of a set; no threads, since each reserves address space
    return kept | {"PYTHONPATH": root, "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"}
