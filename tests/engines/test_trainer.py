"""The parent's side of a training: what a worker says, how it ends, and who may go on."""

import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from assets.errors import DiskFull, EngineBusy, EngineError, ModelError
from assets.ports.training import Diverged, Left, MissingExtra, OutOfMemory, Superseded, UnfitRows
from orchestration.engines import training_checkpoints as checkpoints
from orchestration.engines import training_memory
from orchestration.engines.base_model import NoChatTemplate
from orchestration.engines.trainer import ProcessTrainer
from tests.engines.training_rows import order

FAKE = "tests.engines.fake_training_worker"
ROOT = str(Path(__file__).parents[2])


@pytest.fixture
def trainer(tmp_path: Path) -> ProcessTrainer:
    return ProcessTrainer(tmp_path, wait_seconds=0, program=FAKE)


def nothing(_step) -> None:
    pass


def workers() -> list[psutil.Process]:
    alive = [one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]
    return [one for one in alive if FAKE in " ".join(one.cmdline())]


def test_worker_is_followed_to_its_end_and_what_it_kept_is_removed(trainer, tmp_path):
    steps = []
    with trainer.train(order(tmp_path, adapter="well"), steps.append) as trained:
        assert [(one.step, one.steps, one.loss, one.validation) for one in steps] == [(1, 2, 2.0, None)]
        assert (trained.losses, trained.validation, trained.best, trained.seconds) == ([2.0, 1.0], [(2, 1.5)], 2, 2.5)
        assert [file.name for file in trained.folder.iterdir()] == ["adapter_config.json"]
        assert trainer.spent("well") == {"run-1": 2.5}
    assert not (tmp_path / "training" / "well").exists()
    assert trainer.spent("well") == {}


@pytest.mark.parametrize("blocked", [1, 2, 3])
def test_full_disk_before_the_worker_starts_is_said_in_our_words_and_keeps_no_rows(
    trainer, tmp_path, monkeypatch, blocked
):
    """The fence, the payer and the order are written, in this turn."""
    fsync, count = os.fsync, iter(range(1, 99))

    def full(handle: int) -> None:
        if next(count) == blocked:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(DiskFull, match="Next: free disk space"),
        trainer.train(order(tmp_path, adapter="well"), nothing),
    ):
        pass
    root = tmp_path / "training" / "well"
    written = [checkpoints.FENCE, checkpoints.PAYER]
    assert sorted(file.name for file in root.iterdir()) == sorted(written[: blocked - 1])
    with trainer.train(order(tmp_path, adapter="well"), nothing) as trained:
        assert trained.best == 2


def test_what_killed_runs_left_is_paid_for_before_it_is_removed(trainer, tmp_path):
    folder, long_ago = tmp_path / "training", time.time() - 20 * 86_400
    for name, device in (("old", "cpu"), ("newer", "cuda"), ("well", "cpu")):
        checkpoints.take(folder / name, "killed")
        checkpoints.charge(folder / name, "api", device)
        checkpoints.spend(folder / name, f"{name}-run", 7)
    checkpoints.spend(folder / "well", "run-1", 3)  # this run's own, which is paid for when it is done
    for rows in ("order.json", ".order.json.abc"):
        (folder / "newer" / rows).write_text("rows of somebody")
    os.utime(folder / "old", (long_ago, long_ago))
    told = []

    def pay(one: Left) -> None:
        assert (folder / one.adapter).is_dir()
        told.append((one.adapter, one.variant, one.device, dict(one.spent)))

    with trainer.train(replace(order(tmp_path, adapter="well"), variant="main"), nothing, pay) as trained:
        assert trained.seconds == 9.5
    assert told == [
        ("newer", "api", "cuda", {"newer-run": 7.0}),
        ("old", "api", "cpu", {"old-run": 7.0}),
        ("well", "main", "cpu", {"well-run": 7.0}),
    ]
    assert [path.name for path in folder.iterdir()] == ["newer"]
    assert sorted(path.name for path in (folder / "newer").iterdir()) == ["fence", "payer.json", "spent"]


def test_training_that_cannot_be_paid_for_is_not_removed(trainer, tmp_path):
    old, long_ago = tmp_path / "training" / "old", time.time() - 20 * 86_400
    checkpoints.take(old, "killed")
    checkpoints.charge(old, "main", "cpu")
    os.utime(old, (long_ago, long_ago))

    def busy(_one: Left) -> None:
        raise EngineBusy("the ledger is held")

    with pytest.raises(EngineBusy), trainer.train(order(tmp_path, adapter="well"), nothing, busy):
        pass
    assert old.is_dir()


def test_rows_are_on_the_disk_no_longer_than_the_worker_runs(trainer, tmp_path):
    with pytest.raises(UnfitRows), trainer.train(order(tmp_path, adapter="says-UnfitRows"), nothing):
        pass
    assert not list((tmp_path / "training").rglob("order.json"))


@pytest.mark.parametrize(
    "kind",
    [Diverged, OutOfMemory, UnfitRows, MissingExtra, Superseded, DiskFull, EngineBusy, ModelError, NoChatTemplate],
)
def test_error_that_a_worker_names_is_raised_with_its_words(trainer, tmp_path, kind):
    with pytest.raises(kind) as caught, trainer.train(order(tmp_path, adapter=f"says-{kind.__name__}"), nothing):
        pass
    assert str(caught.value) == "it broke. Expected: more. Next: mend it."


def test_worker_that_ends_without_a_word_is_reported_with_its_last_line(trainer, tmp_path):
    with (
        pytest.raises(EngineError, match=r"exit status 3\): ImportError: no such thing"),
        trainer.train(order(tmp_path, adapter="crashes"), nothing),
    ):
        pass


def test_worker_that_somebody_killed_is_replaced_once(trainer, tmp_path, monkeypatch):
    monkeypatch.setattr(training_memory, "kills", lambda: 7)
    with trainer.train(order(tmp_path, adapter="killed-once"), nothing) as trained:
        assert trained.best == 2
    with pytest.raises(OutOfMemory, match="twice"), trainer.train(order(tmp_path, adapter="killed-twice"), nothing):
        pass
    assert (tmp_path / "training" / "killed-twice" / "tried").read_text() == "xx"


@pytest.mark.parametrize("counts", [[7, 8], [None, None]])
def test_worker_that_memory_killed_is_not_replaced(trainer, tmp_path, monkeypatch, counts):
    monkeypatch.setattr(training_memory, "kills", iter(counts).__next__)
    with (
        pytest.raises(OutOfMemory, match="by the kernel"),
        trainer.train(order(tmp_path, adapter="killed-twice"), nothing),
    ):
        pass
    assert (tmp_path / "training" / "killed-twice" / "tried").read_text() == "x"


def test_canceled_run_ends_its_worker(trainer, tmp_path):
    def cancel(_step) -> None:
        assert workers()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), trainer.train(order(tmp_path, adapter="sleeps"), cancel):
        pass
    assert not workers()


def test_second_training_on_a_machine_is_refused(trainer, tmp_path):
    with (
        trainer.train(order(tmp_path, adapter="well"), nothing),
        pytest.raises(EngineBusy),
        ProcessTrainer(tmp_path, wait_seconds=0, program=FAKE).train(order(tmp_path, adapter="other"), nothing),
    ):
        pass


def test_training_that_another_run_took_over_is_not_published(trainer, tmp_path):
    def taken_over(_step) -> None:
        checkpoints.take(tmp_path / "training" / "well", "run-2")

    with (
        pytest.raises(Superseded, match="run-2 does"),
        trainer.train(order(tmp_path, adapter="well"), taken_over),
    ):
        pytest.fail("an orphan would have published")


def test_worker_ends_when_the_process_that_started_it_is_killed(tmp_path):
    program = (
        "from pathlib import Path; from orchestration.engines.trainer import ProcessTrainer;"
        "from tests.engines.training_rows import order; home = Path(__import__('sys').argv[1]);"
        f"ProcessTrainer(home, program={FAKE!r}).train(order(home, adapter='sleeps'), print).__enter__()"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdout=subprocess.DEVNULL)
    file, end = tmp_path / "training" / "sleeps" / "pid", time.monotonic() + 60
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < end
        time.sleep(0.02)
    worker = int(file.read_text())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    end = time.monotonic() + 20
    while psutil.pid_exists(worker) and psutil.Process(worker).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end, "the worker outlived its parent"
        time.sleep(0.05)


def test_kills_of_the_kernel_are_counted_or_unknown():
    count = training_memory.kills()
    assert count is None or count >= 0
