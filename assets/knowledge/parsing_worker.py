"""A process that parses one file after the other: requests on stdin, answers on stdout, nothing else in or out.

    python -m assets.knowledge.parsing_worker PARENT_PID MEMORY_BYTES CPU_SECONDS

    request     4 + 8 bytes of lengths (big-endian), the path in UTF-8, the bytes of the file
    answer      4 + 8 bytes of lengths, a JSON object, the document's text in UTF-8

JSON and raw bytes and no pickle: a parser that a hostile file has taken over must not run code in its parent. It ends
when stdin ends, and the kernel kills it when its parent dies.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

from assets.knowledge.parsing import parse
from assets.ports import Document, Mark, Reason, Refusal

HEADER = struct.Struct(">IQ")
READY = b"ready"  # what an answer's JSON is when the worker has started
WRITE_LIMIT = 1 << 20  # bytes that a parser may write to any file; byte code of its own modules is all that is written


def pack(document: Document | Refusal) -> tuple[bytes, bytes]:
    """An outcome as (JSON, text)."""
    if isinstance(document, Refusal):
        return json.dumps({"reason": str(document.reason), "detail": document.detail}).encode(), b""
    facts = {
        "title": document.title,
        "date": document.date,
        "links": list(document.links),
        "metadata": dict(document.metadata),
        "outline": document.outline,
    }
    return json.dumps(facts).encode(), document.text.encode()


def unpack(facts: bytes, text: bytes) -> Document | Refusal:
    """What `pack` packed; ValueError, KeyError or TypeError where it is something else."""
    found: dict[str, Any] = json.loads(facts)
    if "reason" in found:
        return Refusal(Reason(found["reason"]), str(found["detail"]))
    return Document(
        text=text.decode(),
        title=str(found["title"]),
        date=None if found["date"] is None else str(found["date"]),
        links=tuple(str(link) for link in found["links"]),
        metadata={str(key): str(value) for key, value in found["metadata"].items()},
        outline=None if found["outline"] is None else tuple(_mark(*mark) for mark in found["outline"]),
    )


def _mark(kind: str, start: int, end: int, name: str) -> Mark:
    return Mark(str(kind), int(start), int(end), str(name))


Read = Callable[[str, bytes], Document | Refusal]


def serve(source: BinaryIO, sink: BinaryIO, read: Read, before: Callable[[], None]) -> None:
    """Answers requests with `read` until `source` ends; `before` runs before each file."""
    _send(sink, READY, b"")
    while len(header := source.read(HEADER.size)) == HEADER.size:
        named, size = HEADER.unpack(header)
        path, data = source.read(named), source.read(size)
        if len(path) < named or len(data) < size:
            return
        before()
        try:
            facts, text = pack(read(path.decode("utf-8", "surrogateescape"), data))
        except MemoryError:
            facts, text = json.dumps({"memory": True}).encode(), b""
        del data
        _send(sink, facts, text)


def _send(sink: BinaryIO, facts: bytes, text: bytes) -> None:
    sink.write(HEADER.pack(len(facts), len(text)))
    sink.write(facts)
    sink.write(text)
    sink.flush()


def main(arguments: list[str], read: Read = parse) -> None:
    """Sets the limits of this process and serves its parent."""
    parent, memory, seconds = int(arguments[0]), int(arguments[1]), float(arguments[2])
    _die_with(parent)
    _limit(memory)
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not end up among the answers
    with contextlib.suppress(BrokenPipeError):
        serve(sys.stdin.buffer, sink, read, before=lambda: _limit_time(seconds))


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # 1 = PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it died before the line above
            sys.exit(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent closes the pipe in order


def _limit(memory: int) -> None:
    import resource

    wanted = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, WRITE_LIMIT), (resource.RLIMIT_AS, memory)]
    for which, value in wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS knows no limit of address space
            hard = resource.getrlimit(which)[1]
            resource.setrlimit(which, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _limit_time(seconds: float) -> None:
    """Gives the next file its own CPU time: past it the kernel ends this process with SIGPROF.

    RLIMIT_CPU counts whole seconds since the start of the process; this counts from now.
    """
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)


if __name__ == "__main__":
    main(sys.argv[1:])
