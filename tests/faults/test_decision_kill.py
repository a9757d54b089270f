"""kill -9 in every write between evidence and the end of a fine-tune: the next run goes on, once, and loses nothing."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from orchestration.engines.lake import FolderLake
from tests.conftest import ROOT
from tests.decision.house import CHANGE, House, shifted, steady
from tests.faults.deciding import FIRED, finetune, judge, opened, refreeze


@pytest.fixture(scope="module")
def nursery():
    """A process that has imported all and started nothing: each story is a child that it forks.

    Python's own fork server would do, were it not one for the whole process: whoever needed it first chose its folder.
    """
    command = [sys.executable, "-m", "tests.faults.deciding"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def run(story, folder: Path, write: int) -> int:
            print(json.dumps([story.__name__, str(folder), write]), file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield run
        process.stdin.close()


def killed(nursery, story, start: Path, folder: Path, write: int) -> House:
    """A copy of `start` in which the story was killed in a write, as the next process finds it."""
    shutil.copytree(start, folder)
    assert nursery(story, folder, write) == -signal.SIGKILL
    assert list(folder.rglob(".tmp-*")), "the kill came outside of a write"
    return House(folder).at(FIRED)


def stored(folder: Path) -> dict[str, str]:
    """Everything that is kept of the decision but the ledger, whose entries carry the time."""
    lake = FolderLake(folder / "lake")
    texts = {name: lake.read_text(name) or "" for name in lake.names("decision")}
    return texts | {name: str(lake.read(name)) for name in lake.names("behavior/frozen") if name.endswith(".parquet")}


def kinds(house: House) -> Counter[str]:
    return Counter(house.kinds())


@pytest.mark.timeout(300)
def test_killed_finetune_is_brought_to_its_end_once(nursery, tmp_path):
    start = tmp_path / "start"
    House(start, shifted())
    shutil.copytree(start, tmp_path / "whole")
    writes = finetune(tmp_path / "whole")
    whole = House(tmp_path / "whole").at(FIRED)
    assert kinds(whole) == {"verdict": 2, "request": 1, "finished": 1}
    assert writes >= 9  # contract, 2 records, 2 verdicts and their notes, request, 2 of candidates, end
    claimed = set()
    for write in range(1, writes + 1):
        folder = tmp_path / f"killed-{write}"
        house = killed(nursery, finetune, start, folder, write)
        verdicts, requests = house.kinds().count("verdict"), house.kinds().count("request")
        if verdicts and not requests:
            assert house.decision.finetunes.due("main"), "a verdict was lost"
        if requests:
            assert house.decision.finetunes.due("main") is None, "a second fine-tune is asked for"
        claimed.add((verdicts, requests))
        finetune(folder)
        assert stored(folder) == stored(tmp_path / "whole")
        assert kinds(house) == kinds(whole)
        [end] = [entry for entry in house.ledger.entries() if entry.kind == "finished"]
        assert end.data["outcome"] == "done"
    assert claimed >= {(0, 0), (1, 0), (1, 1)}  # kills before the verdict, between verdict and request, and after


@pytest.mark.timeout(300)
def test_killed_retraction_is_never_acted_on_and_made_once(nursery, tmp_path):
    start = tmp_path / "start"
    house = House(start, shifted())
    made = house.judge(FIRED)
    assert house.decision.finetunes.due("main")
    house.correct(*range(CHANGE, FIRED + 1), by=steady())
    shutil.copytree(start, tmp_path / "whole")
    writes = judge(tmp_path / "whole")
    assert writes == 4  # record, retraction, verdict, note
    for write in range(1, writes + 1):
        folder = tmp_path / f"killed-{write}"
        house = killed(nursery, judge, start, folder, write)
        if "retraction" in house.kinds():
            assert house.decision.finetunes.due("main") is None
        judge(folder)
        assert house.decision.finetunes.due("main") is None
        newest, former = house.decision.history("main")
        assert (newest.action, former.id, bool(former.retracted)) == ("wait", made.id, True)
        assert kinds(house) == {"verdict": 2, "retraction": 1}
        assert stored(folder) == stored(tmp_path / "whole")


@pytest.mark.timeout(300)
def test_killed_freezing_by_hand_is_done_again(nursery, tmp_path):
    start = tmp_path / "start"
    House(start, shifted()).judge(FIRED)
    shutil.copytree(start, tmp_path / "whole")
    writes = refreeze(tmp_path / "whole")
    for write in range(1, writes + 1):
        folder = tmp_path / f"killed-{write}"
        house = killed(nursery, refreeze, start, folder, write)
        assert write == writes or house.decision.overdue("main") or "override" not in house.kinds()
        refreeze(folder)
        assert kinds(house) == {"verdict": 2, "override": 1}
        assert stored(folder) == stored(tmp_path / "whole")
        assert house.decision.finetunes.due("main") is None


def test_lock_of_a_killed_process_holds_nobody_up(nursery, tmp_path):
    House(tmp_path / "start", shifted())
    killed(nursery, judge, tmp_path / "start", tmp_path / "next", 2)
    _, decision, _ = opened(tmp_path / "next")
    assert decision.judge("main").verdict.action == "finetune"
