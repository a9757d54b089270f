"""A worker must not outlive the run that started it: it would train on, and pay, for nobody."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """The kernel kills this process when its parent ends (Linux); anywhere, the end of its standard input does."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the line above
            os._exit(1)
    threading.Thread(target=_until_the_end, daemon=True).start()


def _until_the_end() -> None:
    while os.read(0, 1 << 10):
        pass
    os._exit(1)
