"""The worker's side: what libraries raise is said in our words, and what is missing is named."""

import errno
import time
from pathlib import Path

import pytest

from assets.errors import DiskFull, ModelError
from assets.ports.training import MissingExtra, OutOfMemory
from orchestration.engines import training_checkpoints, training_machine, training_worker
from tests.engines.training_rows import CONFIG

CUDA = "CUDA out of memory. Tried to allocate 2.00 GiB"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), OutOfMemory),
        (RuntimeError(CUDA), OutOfMemory),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"), OutOfMemory),
        (OSError(errno.ENOSPC, "No space left on device"), DiskFull),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), DiskFull),
        (RuntimeError("I/O error: No space left on device (os error 28)"), DiskFull),
        (RuntimeError("[enforce fail at inline_container.cc:668] . PytorchStreamWriter: file write failed"), DiskFull),
        (ValueError("Target modules {'nothing'} not found in the base model."), ModelError),
    ],
)
def test_error_of_a_library_is_said_in_our_words(error, kind, tmp_path):
    assert type(training_worker._translated(error, tmp_path / "training")) is kind


@pytest.mark.parametrize("error", [ValueError("other"), OSError(errno.EIO, "I/O error"), RuntimeError("shape")])
def test_error_that_nobody_knows_stays_itself(error, tmp_path):
    assert training_worker._translated(error, tmp_path) is error


def test_notes_end_before_the_last_one_is_written(tmp_path, monkeypatch):
    """Two writers of one note were a race that ended finished trainings."""
    monkeypatch.setattr(training_worker, "NOTE_SECONDS", 0.001)
    notes, writing, at_once = [], [], []

    def spend(_root: Path, _run: str, seconds: float) -> None:
        writing.append(seconds)
        at_once.append(len(writing))
        time.sleep(0.05)  # as long as a slow disk takes
        notes.append(writing.pop(0))

    monkeypatch.setattr(training_checkpoints, "spend", spend)
    with training_worker._noted(tmp_path, "run-1"):
        until = time.monotonic() + 30
        while len(notes) < 3 and time.monotonic() < until:  # however busy the machine is
            time.sleep(0.01)
    count = len(notes)
    time.sleep(0.1)
    assert (len(notes), set(at_once)) == (count, {1})
    assert count > 2
    assert notes == sorted(notes)


def test_worker_that_takes_the_place_of_a_killed_one_counts_on(tmp_path):
    training_checkpoints.spend(tmp_path, "run-1", 40)
    training_checkpoints.spend(tmp_path, "run-0", 900)
    with training_worker._noted(tmp_path, "run-1"):
        pass
    spent = training_checkpoints.spent(tmp_path)
    assert 40 <= spent["run-1"] < 60
    assert spent["run-0"] == 900


def test_failed_training_notes_its_end_and_keeps_its_error(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fails(then=lambda: None) -> None:
        time.sleep(0.05)
        then()
        raise RuntimeError("shape")

    with pytest.raises(RuntimeError, match="shape"), training_worker._noted(tmp_path, "run-1"):
        fails()
    assert training_checkpoints.spent(tmp_path)["run-1"] >= 0.05
    with pytest.raises(RuntimeError, match="shape"), training_worker._noted(tmp_path, "run-1"):
        fails(lambda: monkeypatch.setattr(training_checkpoints, "spend", full))


def test_four_bits_want_a_gpu():
    with pytest.raises(MissingExtra, match="there is no GPU"):
        training_worker._four_bits({"device": "cpu"})


def test_gpu_that_is_wanted_and_not_there_is_named():
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    before = torch.get_num_threads()
    try:
        with pytest.raises(MissingExtra, match="torch sees no GPU"):
            training_worker._torch({"device": "cuda", "threads": before})
    finally:
        torch.use_deterministic_algorithms(False)


def test_versions_are_those_that_decide_and_a_missing_extra_is_named(monkeypatch):
    said = CONFIG.settled("cpu", 1).said()
    assert training_machine.versions(said).keys() == {"torch", "transformers", "peft", "accelerate"}

    def version(name: str) -> str:
        if name == "trl":
            raise training_machine.importlib.metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(training_machine.importlib.metadata, "version", version)
    with pytest.raises(MissingExtra) as caught:
        training_machine.versions(said | {"dpo": {**said["dpo"], "enabled": True}})
    assert "trl is not installed, and adapter.dpo.enabled is true" in str(caught.value)
    assert "pip install 'twohands[dpo]'" in str(caught.value)
    assert training_machine.versions(said | {"quantize": "4bit"})["bitsandbytes"] == "1"


def test_machine_is_what_auto_comes_to():
    found = training_machine.machine()
    assert found.device in ("cpu", "cuda")
    assert found.cores >= 1
    assert (found.kind == "cpu") == (found.device == "cpu")


def test_module_of_the_worker_imports_no_torch():
    text = Path(training_worker.__file__).read_text()
    assert "\nimport torch" not in text
    assert "\nfrom transformers" not in text
