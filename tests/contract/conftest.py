"""The `engine`, its `place` and an `index` for every test that asks for one, once for each registered engine."""

from __future__ import annotations

import pytest

from tests.contract.engines import ENGINES, Engine


@pytest.fixture(scope="session", params=list(ENGINES))
def engine(request) -> Engine:
    found = ENGINES[request.param]
    if found.unavailable:
        pytest.skip(f"{found.name}: {found.unavailable}")
    return found


@pytest.fixture
def place(tmp_path):
    return tmp_path


@pytest.fixture
def index(engine: Engine, place):
    return engine.open(place, 5)
