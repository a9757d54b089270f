"""LanceDB's exceptions in the words of `assets.errors`.

The vendor raises RuntimeError, ValueError and OSError, and RustPanic, a plain Exception, for some damaged files.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from assets.errors import DiskFull, EngineBusy, EngineError, TwohandsError

# Lance wraps object-store and file errors into one text, so that only the text tells them apart.
FULL = ("no space left", "os error 28", "disk quota exceeded", "storage full")
LATER = (
    "timed out",
    "timeout",
    "connection reset",
    "connection refused",
    "error sending request",
    "slowdown",
    "service unavailable",
    "too many requests",
    "too many concurrent writers",
    "commit conflict",
    "os error 24",  # too many open files
)
MISSING = ("was not found", "not found", "does not exist", "no such file", "no longer exists")
BROKEN = ("fill whole buffer", "file size is too small", "invalid magic", "while parsing", "expected value", "panicked")


def is_missing(error: Exception) -> bool:
    """Whether a vendor's error says that the thing asked for is not there."""
    return any(sign in str(error).lower() for sign in MISSING)


def translated(error: Exception, place: str, superseded: Callable[[], bool]) -> TwohandsError:
    """The error of our own that says what the vendor's means for the caller.

    `superseded` tells whether a later version was published since: files that are missing then were cleaned up.
    """
    text = " ".join(str(error).split())[:400]
    lowered = text.lower()
    if any(sign in lowered for sign in FULL) or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
        return DiskFull(f"No space left for the index at {place}", next_step="free space, then run again")
    if any(sign in lowered for sign in LATER):
        return EngineBusy(f"LanceDB at {place} did not answer: {text}", next_step="run again")
    if is_missing(error) and superseded():
        return EngineBusy(
            f"The version of the index at {place} that was being read is no longer kept",
            next_step="open the published version again",
        )
    if is_missing(error) or any(sign in lowered for sign in BROKEN):
        return EngineError(
            f"The index at {place} is damaged: {text}",
            expected="every file that the published version names, whole",
            next_step="restore the folder, or delete it and materialize knowledge/index: vectors come from the cache",
        )
    return EngineError(f"LanceDB at {place} refused: {text}", next_step="see the cause above in the traceback")


@contextmanager
def translating(place: str, superseded: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Turns the vendor's exceptions into ours; ours pass through."""
    try:
        yield
    except (RuntimeError, ValueError, OSError) as error:
        raise translated(error, place, superseded) from error
    except Exception as error:
        # Known by its name only: the class lives inside the extension module.
        if type(error).__name__ != "RustPanic":
            raise
        raise translated(error, place, superseded) from error
