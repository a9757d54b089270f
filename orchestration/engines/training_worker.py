"""The process that trains: `python -m orchestration.engines.training_worker ORDER.json PARENT`.

It tells its parent what happens, one JSON object a line on standard output (all that libraries print goes to standard
error), and ends with its parent. Memory, threads and a crash are this process's own; it publishes nothing.

    event    says
    begun    how many updates there are, and how many a former run has done
    step     loss, tokens a second, seconds left; the loss of held-out rows where it was measured
    done     what Trained holds
    failed   kind, and the error's problem, expectation and next step
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from assets.errors import DiskFull, EngineBusy, ModelError, TwohandsError
from assets.ports.training import MissingExtra, OutOfMemory
from orchestration.engines import training_checkpoints as checkpoints
from orchestration.engines.training_guard import die_with_parent

ORPHAN_SECONDS = 120.0  # within which a worker that lost its training has stopped
NOTE_SECONDS = 2.0
Emit = Callable[[Mapping[str, Any]], None]


def main(arguments: list[str]) -> int:
    """0: done; 1: failed, and said why."""
    file, parent = Path(arguments[0]), int(arguments[1])
    die_with_parent(parent)
    emit = _voice()
    order = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()  # the rows are somebody's; they stay here no longer than they are needed
    root = Path(order["scratch"])
    try:
        with FileLock(root / ".worker", timeout=ORPHAN_SECONDS):
            checkpoints.require(root, order["run"])
            with _noted(root, order["run"]):
                told = _trained(order, emit)
            emit({"event": "done", **told})
        return 0
    except Timeout:
        error: TwohandsError = EngineBusy(
            f"the worker of a former run still trains {order['adapter']}",
            expected=f"its end within {ORPHAN_SECONDS:g} s, since the training is not its own any more",
            next_step="look for a process that hangs, end it, and run this again",
        )
    except TwohandsError as known:
        error = known
    except (OSError, RuntimeError, MemoryError, Exception) as unknown:
        error = _translated(unknown, root)
        if error is unknown:
            raise
    emit({"event": "failed", "kind": type(error).__name__, **_said(error)})
    return 1


def _trained(order: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
    torch = _torch(order["said"])
    from orchestration.engines import training_declining, training_preference, training_run
    from orchestration.engines.training_rows import context, stop_tokens, tokenized

    base = _base(order)
    folder = Path(order["base"])
    limit, stops = context(base[0].config, base[1], order["max_tokens"]), stop_tokens(folder, base[1])
    rows, held = (
        tokenized(base[1], order[name], limit=limit, stops=stops, what=name) for name in ("train", "validation")
    )
    questions = training_declining.questions(order, *base)
    model, progress = training_run.train(order, base, rows, held, emit, questions)
    preference = training_preference.prefer(order, model, base[1], emit) if order["said"]["dpo"]["enabled"] else {}
    root = Path(order["scratch"])
    checkpoints.require(root, order["run"])
    training_run.save(model, root / checkpoints.OUT, order["base_id"], order["said"]["strength"])
    cuda = order["said"]["device"] == "cuda"
    memory = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024
    state = progress.state()
    told = {
        name: state[name]
        for name in ("losses", "divergences", "validation", "best", "stopped", "tokens", "answer_tokens")
    }
    return {**told, "resumed": progress.resumed, "memory": memory, "preference": preference}


def _torch(said: Mapping[str, Any]) -> Any:
    """torch, set to give the same bits again."""
    import torch

    torch.set_num_threads(said["threads"])
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    if said["device"] == "cuda" and not torch.cuda.is_available():
        raise MissingExtra(
            "adapter.device is cuda, and torch sees no GPU",
            expected="a GPU with a driver for this torch",
            next_step='set adapter.device = "cpu" or "auto", or mend the driver',
        )
    return torch


def _base(order: Mapping[str, Any]) -> tuple[Any, Any]:
    from orchestration.engines.base_model import load_base

    said, options = order["said"], {}
    if said["quantize"] == "4bit":
        options = _four_bits(said)
    dtype = "bfloat16" if said["precision"] == "bf16" else "float32"
    return load_base(Path(order["base"]), dtype=dtype, device=said["device"], **options)


def _four_bits(said: Mapping[str, Any]) -> dict[str, Any]:
    """QLoRA (Dettmers et al. 2023): the base in 4-bit NormalFloat, computed in bf16."""
    import torch
    from transformers import BitsAndBytesConfig

    if said["device"] != "cuda":
        raise MissingExtra(
            'adapter.quantize is "4bit", and there is no GPU',
            expected="a CUDA GPU: 4-bit kernels exist for no CPU",
            next_step='set adapter.quantize = "none"',
        )
    quantized = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": quantized, "device_map": {"": 0}}


@contextmanager
def _noted(root: Path, run: str) -> Iterator[None]:
    """Notes what the run has used, every two seconds and at the end, so that a killed one is paid for as well. A worker
    of this run that was killed has left a note, and is counted in."""
    before, begun, over = checkpoints.spent(root).get(run, 0.0), time.monotonic(), threading.Event()

    def note() -> None:
        checkpoints.spend(root, run, before + time.monotonic() - begun)

    def notes() -> None:
        while not over.wait(NOTE_SECONDS):
            with suppress(OSError, DiskFull):  # the training meets the full disk itself, and says so
                note()

    note()
    thread = threading.Thread(target=notes, daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        _end(thread, over)
        with suppress(OSError, DiskFull):  # what ended the training is the error, not this
            note()
        raise
    _end(thread, over)
    note()


def _end(thread: threading.Thread, over: threading.Event) -> None:
    over.set()
    thread.join()


def _voice() -> Emit:
    """Standard output, for this process alone: libraries print to standard error from here on."""
    mine = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def emit(event: Mapping[str, Any]) -> None:
        mine.write(json.dumps(event) + "\n")
        mine.flush()

    return emit


def _translated(error: BaseException, root: Path) -> Any:
    """What a library raised, as ours; the error itself where it is nobody's we know."""
    text = str(error)
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "can't allocate memory" in text:
        return OutOfMemory(f"the training ran out of memory ({text.splitlines()[0] if text else 'MemoryError':.200})")
    full = isinstance(error, OSError) and error.errno in checkpoints.FULL
    if full or "No space left" in text or "file write failed" in text:
        return checkpoints.full(root)
    if isinstance(error, ValueError) and "target modules" in text.lower():
        return ModelError(
            f"adapter.targets fits no layer of the base ({text:.200})",
            expected='"all-linear", or names of its layers',
            next_step="correct adapter.targets",
        )
    return error


def _said(error: TwohandsError) -> dict[str, str]:
    return {"problem": error.problem, "expected": error.expected, "next_step": error.next_step}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
