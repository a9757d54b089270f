"""Bytes of a landing file to lines: bounded in memory, whatever the file holds."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from assets.behavior.quarantine import Reason

CHUNK = 4 << 20
_FEED = 16 << 10  # of a damaged stream so much is lost before the damage
GZIP = b"\x1f\x8b"
PARQUET = b"PAR1"
BOM = b"\xef\xbb\xbf"
_GZIP_WINDOW = 31  # zlib: a gzip header and trailer, the largest window


@dataclass(frozen=True, slots=True)
class Limits:
    """What a landing file may cost, and which times are believed. Sizes in bytes, times in seconds."""

    line_bytes: int = 1 << 20
    inflated_bytes: int = 8 << 30
    inflate_ratio: int = 250  # of real logs it is 5 to 50; of a bomb about 1,000
    future_seconds: float = 600.0
    skew_seconds: float = 86_400.0
    settle_seconds: float = 3600.0  # a half-written end waits this long, counted from the file's last change
    first_day: date = date(2000, 1, 1)  # earlier events are refused
    batch_events: int = 512
    flush_bytes: int = 128 << 20  # events held before their parts are written


class Cutter:
    """Chunks to lines, without their line ends. A line over the limit comes as None, and is never held whole."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._overlong = False
        self.rest = b""  # what follows the last line end
        self.consumed = 0  # bytes up to the last line end

    @property
    def holds(self) -> bool:
        """Whether something follows the last line end."""
        return bool(self.rest) or self._overlong

    @property
    def last(self) -> bytes | None:
        """What follows the last line end; None where that is over the limit."""
        return None if self._overlong else self.rest

    def feed(self, chunk: bytes) -> list[bytes | None]:
        """The lines that end in this chunk."""
        end = chunk.rfind(b"\n") + 1
        if not end:
            self._hold(self.rest + chunk if not self._overlong else b"")
            self._pending += len(chunk)
            return []
        self.consumed += self._pending + end
        self._pending = len(chunk) - end
        head = chunk[: end - 1]
        lines: list[bytes | None] = list((self.rest + head if self.rest else head).split(b"\n"))
        if self._overlong:
            lines[0] = None
        self._overlong = False
        self._hold(chunk[end:])
        if any(len(line) > self._limit for line in lines if line is not None):
            lines = [None if line is None or len(line) > self._limit else line for line in lines]
        return lines

    _pending = 0  # bytes fed after the last line end

    def _hold(self, rest: bytes) -> None:
        self._overlong = self._overlong or len(rest) > self._limit
        self.rest = b"" if self._overlong else rest


def plain_chunks(data: bytes, start: int) -> Iterator[bytes]:
    """Slices of a plain file, from a place on; without its byte order mark."""
    if start == 0 and data.startswith(BOM):
        start = len(BOM)
    for place in range(start, len(data), CHUNK):
        yield data[place : place + CHUNK]


def inflated(data: bytes, limits: Limits) -> Inflater:
    """A gzip file that was inflated once to its end: whether it fits its own checksums, and whether it is whole."""
    inflater = Inflater(data, limits)
    for _ in inflater.chunks():
        pass
    return inflater


class Inflater:
    """A gzip file, inflated piece by piece. `problem` says afterwards why it ended early; None where it did not."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data = data
        self._most = min(limits.inflated_bytes, (64 << 20) + limits.inflate_ratio * len(data))
        self.problem: Reason | None = None
        self.incomplete = False  # the stream ends before its end: it may still be being written

    def chunks(self) -> Iterator[bytes]:
        """The inflated bytes, in pieces of about CHUNK, without a byte order mark. What precedes damage is whole."""
        held: list[bytes] = []
        size, is_first = 0, True
        for piece in self._pieces():
            held.append(piece)
            size += len(piece)
            if size >= CHUNK:
                yield b"".join(held).removeprefix(BOM if is_first else b"")
                held, size, is_first = [], 0, False
        if held:
            yield b"".join(held).removeprefix(BOM if is_first else b"")

    def _pieces(self) -> Iterator[bytes]:
        total, place = 0, 0
        while place < len(self._data) or not place:
            stream = zlib.decompressobj(_GZIP_WINDOW)
            while not stream.eof:
                feed = stream.unconsumed_tail or self._data[place : place + _FEED]
                place += 0 if stream.unconsumed_tail else len(feed)
                try:
                    out = stream.decompress(feed, CHUNK)
                except zlib.error:
                    self.problem = Reason.CORRUPT_GZIP
                    return
                if not feed and not out:
                    self.incomplete = True
                    return
                total += len(out)
                if total > self._most:
                    self.problem = Reason.INFLATES_TOO_MUCH
                    return
                yield out
            place -= len(stream.unused_data)
            while padding := len(self._data[place : place + CHUNK]) - len(
                self._data[place : place + CHUNK].lstrip(b"\0")
            ):
                place += padding  # zeros after a member
