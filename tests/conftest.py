from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may reach a model hub
os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
# Processes of several tests share the cores: threads of torch that spin while they wait for each other starve them all.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = Path(__file__).resolve().parent.parent
LONG = ("tests/test_demo.py", "tests/graph/test_finetune_graph.py", "tests/browser/", "tests/web/", "tests/warehouse/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of few and long tests come first: begun last, they keep one core busy while the others are done."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real public data beside the project; tests that need it are skipped, with the reason, where it is absent."""
    folder = Path(os.environ.get("TWOHANDS_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder} (set TWOHANDS_SHARED_DATA)")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium for the tests of one file: while it is open, no other event loop may run in this process."""
    from tests.ui import chromium

    with chromium() as launched:
        yield launched


@pytest.fixture(autouse=True)
def _same_folder() -> Iterator[None]:
    """No test, and no library under it, leaves the process in another folder: the next one would import from there."""
    before = Path.cwd()
    yield
    after = Path.cwd()
    os.chdir(before)
    assert after == before


@pytest.fixture(autouse=True)
def _own_environment(_same_folder: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the home or the configuration of the person who runs it."""
    for name in ("TWOHANDS_HOME", "TWOHANDS_CONFIG", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
