"""kill -9 of a sync, twenty times: no reader sees a torn document, and the next sync converges."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import pytest

from tests.faults.syncing import BATCH, DOCUMENTS, SECTIONS, hand, write

ROOT = Path(__file__).resolve().parent.parent.parent
KILLS = 20


def versions(reader) -> dict[str, list[int]]:
    """doc_id -> the version that each of its published passages states."""
    found = defaultdict(list)
    for passage in reader.passages():
        found[passage.doc_id].append(int(re.search(r"Version (\d+)", passage.text).group(1)))
    return found


def assert_whole(reader) -> None:
    found = versions(reader)
    assert len(found) == DOCUMENTS
    for doc_id, stated in found.items():
        assert len(stated) == SECTIONS, f"{doc_id} has {len(stated)} passages"
        assert len(set(stated)) == 1, f"{doc_id} is torn: {stated}"


class Watching(threading.Thread):
    """A reader that looks at the published version all the time."""

    def __init__(self, index) -> None:
        super().__init__(daemon=True)
        self._index, self._ended, self.looks, self.error = index, threading.Event(), 0, None

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                assert_whole(self._index.published())
                self.looks += 1
            except BaseException as error:  # noqa: BLE001 - reported by the test
                self.error = error
                return

    def end(self) -> None:
        self._ended.set()
        self.join()


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.faults.syncing", str(folder)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.timeout(600)
def test_killed_sync_tears_nothing_and_the_next_one_converges(tmp_path):
    write(tmp_path, 0)
    hand(tmp_path).sync("docs")
    write(tmp_path, 1)
    began = time.perf_counter()
    child = start(tmp_path)
    whole = time.perf_counter()
    assert child.wait(60) == 0
    duration = time.perf_counter() - whole
    assert whole > began

    choose = random.Random(11)  # noqa: S311
    killed = 0
    for version in range(2, KILLS + 2):
        write(tmp_path, version)
        child = start(tmp_path)
        watching = Watching(hand(tmp_path).vector_index)
        watching.start()
        time.sleep(choose.uniform(0, duration * 1.1))
        child.kill()
        killed += child.wait() != 0
        watching.end()
        assert watching.error is None, watching.error
        assert_whole(hand(tmp_path).vector_index.published())

        hand(tmp_path).sync("docs")
        found = versions(hand(tmp_path).vector_index.published())
        assert {v for stated in found.values() for v in stated} == {version}
        assert_whole(hand(tmp_path).vector_index.published())
        embedded = [
            line for line in (tmp_path / "embedded.log").read_text().splitlines() if f"Version {version} " in line
        ]
        assert len(embedded) - len(set(embedded)) <= BATCH
    assert killed >= KILLS // 2, "the kills came too late to hit anything"


def test_two_syncs_at_once_end_in_the_desired_state(tmp_path):
    write(tmp_path, 0)
    hand(tmp_path).sync("docs")
    write(tmp_path, 1)
    children = [start(tmp_path) for _ in range(2)]
    assert [child.wait(120) for child in children] == [0, 0]
    assert_whole(hand(tmp_path).vector_index.published())
    assert {v for stated in versions(hand(tmp_path).vector_index.published()).values() for v in stated} == {1}
    embedded = (tmp_path / "embedded.log").read_text().splitlines()
    assert len(embedded) == len(set(embedded)), "a text was embedded twice"
