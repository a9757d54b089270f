"""Parts written beside the reading: the disk's answer is not waited for, and compression runs on another core."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import pyarrow as pa

from assets.ports import Lake

_THREADS = 2
_MOST = 4  # tables held for writing


class Writes:
    """Writes that are under way. What `drain` returned from is stored; what failed is raised by `put` or `drain`."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._pool = ThreadPoolExecutor(_THREADS, "twohands-parts")
        self._under_way: deque[Future[None]] = deque()

    def put(self, name: str, table: pa.Table) -> None:
        """Begins to store a table; waits where too many are under way."""
        while len(self._under_way) >= _MOST:
            self._under_way.popleft().result()
        self._under_way.append(self._pool.submit(self._lake.write, name, table))

    def drain(self) -> None:
        """Waits until everything is stored."""
        while self._under_way:
            self._under_way.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
