"""Where the newest version of each recent interaction lies, so that feedback can be written as a whole event.

Feedback may come after a restart, or to another server than the one that answered: what is not known here is looked
for in the files of the last days, of which only what was added since is read.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from orchestration.web.segments import segments

MOST = 500_000  # interactions that are remembered; about 150 MB
LINE_END = b"]}\n"  # of a whole event: its list of tags comes last
_HEAD = re.compile(rb'\{"id":"([^"\\]{1,256})","occurred_at":"[^"\\]+","received_at":"([^"\\]+)"')
_LOOK_SECONDS = 0.5  # how old the view of other servers' files may be
_CHUNK = 4 << 20


class Place(NamedTuple):
    """A line of a file. `received_at` is RFC 3339 in UTC with microseconds: its order is that of time."""

    received_at: str
    path: Path
    start: int
    length: int


class Recent:
    """Ids to places, those of the files of the last `days`. Any thread may ask; one process writes `own` files."""

    def __init__(self, folder: Path, own: str, days: int, now: Callable[[], float] = time.time) -> None:
        self._folder, self._own, self._days, self._now = folder, f"-{own}-", days, now
        self._places: OrderedDict[str, Place] = OrderedDict()
        self._read: dict[Path, int] = {}
        self._looked = -1.0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._places)

    def add(self, path: Path, start: int, lines: list[bytes]) -> None:
        """Lines that this process wrote to one of its files, one after the other."""
        with self._lock:
            for line in lines:
                self._note(path, start, line)
                start += len(line)

    def find(self, id: str) -> bytes | None:
        """The newest version's line; None where the last days have none of that id."""
        with self._lock:
            now = time.monotonic()
            if id not in self._places or now - self._looked >= _LOOK_SECONDS:
                self._looked = now
                self._catch_up()
            place = self._places.get(id)
        if place is None or not self._fresh(place.path):
            return None
        try:
            line = _line(place)
        except FileNotFoundError:
            return None  # somebody took the file away,
        head = _HEAD.match(line)
        return line if head and head[1].decode() == id else None  # or lines out of it

    def _first_day(self) -> date:
        return datetime.fromtimestamp(self._now(), UTC).date() - timedelta(days=self._days - 1)

    def _fresh(self, path: Path) -> bool:
        return path.name[7:17] >= self._first_day().isoformat()

    def _catch_up(self) -> None:
        """Reads what other processes added: whole lines only."""
        for path in segments(self._folder, self._first_day()):
            if self._own in path.name:
                continue
            start = self._read.get(path, 0)
            if path.stat().st_size > start:
                self._read[path] = self._scan(path, start)

    def _scan(self, path: Path, start: int) -> int:
        rest = b""
        with path.open("rb") as file:
            file.seek(start)
            while chunk := file.read(_CHUNK):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._note(path, start, line + b"\n")
                    start += len(line) + 1
        return start

    def _note(self, path: Path, start: int, line: bytes) -> None:
        head = _HEAD.match(line)
        if head is None or not line.endswith(LINE_END):
            return  # half a line, that a killed process left
        id, received_at = head[1].decode(), head[2].decode()
        known = self._places.get(id)
        if known is None or received_at >= known.received_at:
            self._places[id] = Place(received_at, path, start, len(line))
            self._places.move_to_end(id)
        while len(self._places) > MOST:
            self._places.popitem(last=False)


def _line(place: Place) -> bytes:
    handle = os.open(place.path, os.O_RDONLY | os.O_CLOEXEC)  # a quarter of what Path.open costs
    try:
        return os.pread(handle, place.length, place.start)
    finally:
        os.close(handle)
