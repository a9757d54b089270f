"""kill -9 between evidence, verdict, claim and the end of freezing: the next run comes to what was never killed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.decision.house import House, shifted
from tests.faults.deciding import STEPS, run

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    """Daily counts in which behavior shifts, and nothing is decided."""
    folder = tmp_path_factory.mktemp("stream")
    House(folder, shifted())
    return folder


@pytest.fixture(scope="module")
def never_killed(stream, tmp_path_factory):
    """What runs that nobody kills leave."""
    folder = tmp_path_factory.mktemp("whole") / "home"
    shutil.copytree(stream, folder)
    run(folder)
    assert House(folder).kinds() == ["verdict", "request", "finished"]
    run(folder)  # the verdict after the fine-tune, which waits for other days
    return state(folder)


def state(folder: Path) -> dict[str, object]:
    """All that was decided and frozen, without when: names and contents in the lake, and the ledger's entries."""
    house = House(folder)
    names = [name for part in ("decision", "behavior/frozen") for name in house.lake.names(part)]
    files: dict[str, object] = {name: _content(house, name) for name in names}
    return {**files, "ledger": sorted(json.dumps([one.id, one.data], sort_keys=True) for one in house.ledger.entries())}


def _content(house: House, name: str) -> object:
    table = house.lake.read(name) if name.endswith(".parquet") else None
    return table.to_pylist() if table is not None else house.lake.read_text(name)


def kill(folder: Path, step: str) -> None:
    """A run that is killed when it comes to a step."""
    command = [sys.executable, "-m", "tests.faults.deciding", str(folder), step]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    said = child.stdout.readline()
    child.kill()
    assert (said, child.wait()) == (f"at {step}\n", -9)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("step", STEPS)
def test_killed_decision_converges_and_asks_for_one_finetune(tmp_path, stream, never_killed, step):
    folder = tmp_path / "home"
    shutil.copytree(stream, folder)
    kill(folder, step)
    assert House(folder).kinds() == STEPS[step]
    assert House(folder).decision.store.latest("main"), "the evidence comes before all that is killed here"
    run(folder)
    kinds = House(folder).kinds()
    assert (kinds.count("request"), kinds.count("finished")) == (1, 1)
    run(folder)
    assert state(folder) == never_killed
