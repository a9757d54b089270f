"""Keeps one server running for as long as the process that asked for it lives: `python -m ... PARENT COMMAND...`.

| what happens | what is done |
|---|---|
| the server ends with 2, wrong usage or configuration | said once; nothing is started again |
| the server ends otherwise | started again, later each time, at most after MOST_SECONDS |
| the parent ends, or this process is told to end | the server is told to end, and killed where it does not |
| this process is killed | the kernel kills the server |
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

POLL_SECONDS = 0.25
MOST_SECONDS = 300.0  # a port that somebody else has is not free in a moment
STEADY_SECONDS = 60.0  # a server that ran for so long starts anew without delay
END_SECONDS = 25.0
WRONG_USAGE = 2
KEEPER = "TWOHANDS_KEEPER"


def keep(parent: int, command: Sequence[str]) -> int:
    """Runs until the parent has ended; the exit status."""
    signal.signal(signal.SIGTERM, _interrupted)
    server, delay = None, 0.5
    try:
        while os.getppid() == parent:
            began = time.monotonic()
            server = subprocess.Popen(  # noqa: S603 - no shell
                command, stdin=subprocess.PIPE, env={**os.environ, KEEPER: str(os.getpid())}
            )
            while server.poll() is None and os.getppid() == parent:
                time.sleep(POLL_SECONDS)
            status = server.poll()
            if status is None:
                break
            if status == WRONG_USAGE:
                sys.stderr.write("The ask page is not served until that is corrected and this is started again.\n")
                return status
            steady = time.monotonic() - began >= STEADY_SECONDS
            delay = 0.5 if steady else min(delay * 2, MOST_SECONDS)
            sys.stderr.write(f"The ask page's server ended ({status}); it is started again in {delay:g} s.\n")
            until = time.monotonic() + delay
            while time.monotonic() < until and os.getppid() == parent:
                time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        pass
    finally:
        _end(server)
    return 0


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def _end(server: subprocess.Popen[bytes] | None) -> None:
    if server is None or server.poll() is not None:
        return
    server.terminate()
    try:
        server.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


if __name__ == "__main__":
    sys.exit(keep(int(sys.argv[1]), sys.argv[2:]))
