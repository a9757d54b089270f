"""kill -9 in every write between evidence and the end of a fine-tune: the next run goes on, once, and loses nothing."""

from __future__ import annotations

import multiprocessing
import shutil
from collections import Counter
from pathlib import Path

import pytest

from orchestration.engines.lake import FolderLake
from tests.decision.house import CHANGE, House, shifted, steady
from tests.faults.deciding import FIRED, finetune, judge, opened, refreeze


@pytest.fixture(scope="module")
def processes():
    """Children are forked from a process that has imported all and started nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.deciding"])
    return context


def killed(processes, story, start: Path, folder: Path, write: int) -> House:
    """A copy of `start` in which the story was killed in a write, as the next process finds it."""
    shutil.copytree(start, folder)
    child = processes.Process(target=story, args=(folder, write))
    child.start()
    child.join(120)
    assert child.exitcode == -9
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
def test_killed_finetune_is_brought_to_its_end_once(processes, tmp_path):
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
        house = killed(processes, finetune, start, folder, write)
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
def test_killed_retraction_is_never_acted_on_and_made_once(processes, tmp_path):
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
        house = killed(processes, judge, start, folder, write)
        if "retraction" in house.kinds():
            assert house.decision.finetunes.due("main") is None
        judge(folder)
        assert house.decision.finetunes.due("main") is None
        newest, former = house.decision.history("main")
        assert (newest.action, former.id, bool(former.retracted)) == ("wait", made.id, True)
        assert kinds(house) == {"verdict": 2, "retraction": 1}
        assert stored(folder) == stored(tmp_path / "whole")


@pytest.mark.timeout(300)
def test_killed_freezing_by_hand_is_done_again(processes, tmp_path):
    start = tmp_path / "start"
    House(start, shifted()).judge(FIRED)
    shutil.copytree(start, tmp_path / "whole")
    writes = refreeze(tmp_path / "whole")
    for write in range(1, writes + 1):
        folder = tmp_path / f"killed-{write}"
        house = killed(processes, refreeze, start, folder, write)
        assert write == writes or house.decision.overdue("main") or "override" not in house.kinds()
        refreeze(folder)
        assert kinds(house) == {"verdict": 2, "override": 1}
        assert stored(folder) == stored(tmp_path / "whole")
        assert house.decision.finetunes.due("main") is None


def test_lock_of_a_killed_process_holds_nobody_up(processes, tmp_path):
    House(tmp_path / "start", shifted())
    killed(processes, judge, tmp_path / "start", tmp_path / "next", 2)
    _, decision, _ = opened(tmp_path / "next")
    assert decision.judge("main").verdict.action == "finetune"
