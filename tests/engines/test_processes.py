from __future__ import annotations

import os

import pytest

from assets.errors import EngineBusy
from orchestration.engines.processes import spread


def double(batch: int) -> tuple[int, int]:
    """Twice the batch, and who did it."""
    return 2 * batch, os.getpid()


def refuse(batch: int) -> int:
    """Fails on the third batch."""
    if batch == 3:
        raise ValueError("no threes")
    return batch


def die(_: int) -> int:
    """As a process that the kernel kills for memory."""
    os._exit(9)


def test_spread_keeps_the_order_of_batches():
    found = list(spread(2)(double, range(25)))
    assert [value for value, _ in found] == list(range(0, 50, 2))
    assert os.getpid() not in {by for _, by in found}


def test_spread_over_one_process_is_map():
    assert list(spread(1)(double, range(3))) == [(0, os.getpid()), (2, os.getpid()), (4, os.getpid())]


def test_spread_holds_few_batches_at_a_time():
    taken = []

    def batches():
        for number in range(100):
            taken.append(number)
            yield number

    found = spread(2)(refuse, batches())
    assert next(found) == 0
    assert len(taken) <= 6
    with pytest.raises(ValueError, match="no threes"):
        list(found)
    assert len(taken) < 100


def test_killed_worker_is_worth_another_try():
    with pytest.raises(EngineBusy, match="ended before its work was done"):
        list(spread(2)(die, range(4)))
