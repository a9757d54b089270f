from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestration.web.journal import Journal, Limits
from tests.web.events import NOON
from tests.web.world import World

DEFAULT = Limits()


@pytest.fixture
def world(tmp_path):
    with ExitStack() as stack:
        yield lambda folder=tmp_path / "landing", **more: World(folder, stack, **more)


@pytest.fixture
def opened(tmp_path):
    made: list[Journal] = []

    def open(limits: Limits = DEFAULT, now=lambda: NOON.timestamp(), folder: Path | None = None) -> Journal:
        one = Journal(folder or tmp_path / "landing", limits, now)
        one.start()
        made.append(one)
        return one

    yield open
    for one in made:
        one.close()
