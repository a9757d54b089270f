from __future__ import annotations

import pytest

from tests.decision.house import House, shifted, steady


@pytest.fixture
def calm(tmp_path):
    """A house in which nothing happens."""
    return House(tmp_path, steady())


@pytest.fixture
def house(tmp_path):
    """A house in which behavior shifts for good."""
    return House(tmp_path, shifted())
