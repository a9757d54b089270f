"""The keeper of the ask page's server: starts it again, and ends with whoever asked for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SERVER = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); time.sleep(600)"


class Kept:
    """A parent process that starts a keeper and waits, as `dg dev` does."""

    def __init__(self, folder: Path, server: str = SERVER) -> None:
        self.started = folder / "started"
        command = [sys.executable, "-c", server, str(self.started)]
        parent = (
            "import os, subprocess, sys, time; k = subprocess.Popen([sys.executable, '-m', 'orchestration.web.keeper', "
            "str(os.getpid()), *sys.argv[1:]]); print(k.pid, flush=True); k.wait(); print('kept no more', flush=True); "
            "time.sleep(600)"
        )
        self.parent = subprocess.Popen(
            [sys.executable, "-c", parent, *command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.parent.stdout is not None
        self.keeper = int(self.parent.stdout.readline())

    def pids(self) -> list[int]:
        return [int(line) for line in self.started.read_text().splitlines()] if self.started.exists() else []

    def wait(self, condition) -> None:
        end = time.monotonic() + 90
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.05)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def kept(tmp_path):
    made: list[Kept] = []

    def start(*args) -> Kept:
        made.append(Kept(tmp_path, *args))
        return made[-1]

    yield start
    for one in made:
        one.parent.kill()
        one.parent.wait(10)
        one.wait(lambda: not any(map(lives, [one.keeper, *one.pids()])))  # noqa: B023


def test_server_that_dies_is_started_again(kept):
    one = kept()
    one.wait(lambda: len(one.pids()) == 1)
    os.kill(one.pids()[0], signal.SIGKILL)
    one.wait(lambda: len(one.pids()) == 2)
    assert lives(one.pids()[1])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_server_ends_with_the_process_that_asked_for_it(kept, how):
    one = kept()
    one.wait(lambda: len(one.pids()) == 1)
    one.parent.send_signal(how)
    one.wait(lambda: not lives(one.pids()[0]))
    assert len(one.pids()) == 1


def test_keeper_that_is_told_to_end_ends_its_server(kept):
    one = kept()
    one.wait(lambda: len(one.pids()) == 1)
    os.kill(one.keeper, signal.SIGTERM)
    one.wait(lambda: not lives(one.pids()[0]))
    one.wait(lambda: not lives(one.keeper))


def test_wrong_configuration_is_not_tried_again(kept):
    one = kept("import os, sys; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); sys.exit(2)")
    assert one.parent.stdout.readline() == "kept no more\n"
    assert len(one.pids()) == 1
