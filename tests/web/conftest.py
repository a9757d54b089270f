from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.web.world import World


@pytest.fixture
def world(tmp_path):
    with ExitStack() as stack:
        yield lambda **more: World(tmp_path / "landing", stack, **more)
