"""A function over many batches, by several processes; the order of the batches is kept."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from assets.errors import EngineBusy

In = TypeVar("In")
Out = TypeVar("Out")
_function: list[Callable[[Any], Any]] = []  # of a worker


def spread(workers: int) -> Callable[[Callable[[In], Out], Iterable[In]], Iterator[Out]]:
    """`map` over this many processes (0: one for each core, at most 8); with one, it is done here.

    The function travels once to each process, a batch to one of them; a few batches wait at a time, so that memory does
    not grow with their number. An error of the function is raised here; EngineBusy when a process was killed.
    """
    count = workers or min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 8)

    def mapped(function: Callable[[In], Out], batches: Iterable[In]) -> Iterator[Out]:
        if count == 1:
            yield from map(function, batches)
            return
        context = multiprocessing.get_context("spawn")  # a fork would take the threads' locks along
        waiting: deque[Future[Out]] = deque()
        with ProcessPoolExecutor(count, context, initializer=_begin, initargs=(function,)) as pool:
            try:
                for batch in batches:
                    waiting.append(pool.submit(_apply, batch))
                    if len(waiting) > 2 * count:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            except BrokenProcessPool as error:
                raise EngineBusy(
                    "a worker process ended before its work was done",
                    expected="enough memory for every worker",
                    next_step="try again; set fewer workers (dataset.workers) where memory is short",
                ) from error
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    return mapped


def _begin(function: Callable[[Any], Any]) -> None:
    _function[:] = [function]


def _apply(batch: Any) -> Any:
    return _function[0](batch)
