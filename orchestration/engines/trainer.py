"""Trains adapters in a process of its own (training_worker.py), one at a time on a machine.

the worker                                  what follows
done                                        the caller publishes, while the training is still this run's
out of memory, or ended by the kernel       OutOfMemory: the caller may order smaller parts
  because memory ran out
killed by somebody, once                    another one goes on from the last whole checkpoint, to the same bits
killed twice                                OutOfMemory
the loss is no number, rows that do not     the error that it named; nothing is published
  fit, a base that does not load, disk full
this process is canceled                    the worker is killed; the next run goes on
this process is killed                      the worker ends by itself; the next run goes on
another run took the training over          the worker stops at its next step, and Superseded is raised here
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NoReturn

import assets
from assets import errors
from assets.errors import EngineBusy, EngineError, TwohandsError
from assets.ports import training as port
from assets.ports.training import Machine, Order, OutOfMemory, Pay, Report, Step, Trained
from orchestration.engines import base_model, training_machine, training_memory
from orchestration.engines import training_checkpoints as checkpoints
from orchestration.engines.lake import file_lock

PROGRAM = "orchestration.engines.training_worker"
ORDER, LOG = "order.json", "worker.log"
_KEPT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "PYTHONPYCACHEPREFIX")


class ProcessTrainer:
    """The trainer of one home (assets/ports/training.Trainer)."""

    def __init__(self, home: Path, *, wait_seconds: float = 600.0, program: str = PROGRAM) -> None:
        self.folder, self._locks = home / "training", home / "locks"
        self._wait, self._program = wait_seconds, program

    def machine(self) -> Machine:
        """Where it would train, by "auto"."""
        return training_machine.machine()

    def versions(self, said: Mapping[str, Any]) -> Mapping[str, str]:
        """Versions of the libraries that decide the bits."""
        return training_machine.versions(said)

    def spent(self, adapter: str) -> Mapping[str, float]:
        """Seconds of the device by run."""
        return checkpoints.spent(self.folder / adapter)

    @contextmanager
    def train(self, order: Order, report: Report, pay: Pay | None = None) -> Iterator[Trained]:
        """See the port."""
        root = self.folder / order.adapter
        with file_lock(self._locks / "training.lock", self._wait):
            checkpoints.take(root, order.run)
            checkpoints.charge(root, order.variant, order.said["device"])
            self._tidy(order, pay)
            told, watts = self._until_done(root, order, report)
            checkpoints.require(root, order.run)
            yield Trained(
                folder=root / checkpoints.OUT,
                losses=told["losses"],
                validation=[(int(step), float(loss)) for step, loss in told["validation"]],
                seconds=sum(checkpoints.spent(root).values()),
                watts=watts,
                **{name: told[name] for name in _TOLD},
            )
            shutil.rmtree(root, ignore_errors=True)

    def _tidy(self, order: Order, pay: Pay | None) -> None:
        """What killed runs left behind: paid for, then removed where nobody goes on with it."""
        for rows in (*self.folder.glob(f"*/{ORDER}"), *self.folder.glob(f"*/.{ORDER}.*")):
            rows.unlink(missing_ok=True)
        if pay:
            for one in checkpoints.left(self.folder):
                pay(replace(one, spent={run: seconds for run, seconds in one.spent.items() if run != order.run}))
        checkpoints.sweep(self.folder, order.adapter)

    def _until_done(self, root: Path, order: Order, report: Report) -> tuple[Mapping[str, Any], float | None]:
        """Runs workers until one is done; a killed one is replaced once."""
        for again in (True, False):
            before = training_memory.kills()
            worker = _Worker(root, order, self._program)
            done = worker.listen(report)
            if done is not None:
                return done, worker.watts
            after = training_memory.kills()
            starved = before is None or after is None or after > before
            if worker.code != -signal.SIGKILL:
                worker.fail()
            if starved or not again:
                break
        raise OutOfMemory(
            f"the worker that trained {order.adapter} was killed (signal 9)"
            + (", by the kernel, for its memory" if starved else ", twice"),
            expected="memory for one update, in the parts that it was told",
            next_step="free memory, or raise adapter.accumulation",
        )


_TOLD = ("best", "stopped", "resumed", "tokens", "answer_tokens", "memory", "preference", "divergences")


class _Worker:
    """One worker process."""

    def __init__(self, root: Path, order: Order, program: str) -> None:
        self.root, self.order, self.program = root, order, program
        self.code: int | None = None
        self._watts: list[float] = []

    @property
    def watts(self) -> float | None:
        """What the GPU drew on average."""
        return statistics.fmean(self._watts) if self._watts else None

    def listen(self, report: Report) -> Mapping[str, Any] | None:
        """Starts it and follows it to its end; what it came to, or None where it ended without a word."""
        shutil.rmtree(self.root / checkpoints.OUT, ignore_errors=True)
        file = self.root / ORDER
        try:
            checkpoints.write(file, json.dumps(_said(self.order, self.root)))
            return self._followed(file, report)
        finally:
            file.unlink(missing_ok=True)

    def _followed(self, file: Path, report: Report) -> Mapping[str, Any] | None:
        done = None
        with self._log() as log:
            process = subprocess.Popen(  # noqa: S603 - this interpreter and a module of ours
                [sys.executable, "-P", "-m", self.program, str(file), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(self.order.said),
                text=True,
            )
            try:
                for line in process.stdout or ():
                    if line.endswith("\n"):  # else it was killed within a word
                        done = self._heard(json.loads(line), report) or done
                self.code = process.wait()
            finally:
                process.kill()
                process.wait()
                for pipe in (process.stdin, process.stdout):
                    if pipe is not None:
                        pipe.close()
        return done if self.code == 0 else None

    def _log(self) -> IO[bytes]:
        with checkpoints.room(self.root):
            return (self.root / LOG).open("wb")

    def _heard(self, event: Mapping[str, Any], report: Report) -> Mapping[str, Any] | None:
        if event["event"] == "failed":
            raise _error(event)
        if event["event"] == "step":
            if self.order.said["device"] == "cuda" and (drawn := training_machine.watts()) is not None:
                self._watts.append(drawn)
            report(Step(**{name: event[name] for name in Step.__slots__}))
        return event if event["event"] == "done" else None

    def fail(self) -> NoReturn:
        """It ended without saying why."""
        lines = (self.root / LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        how = signal.Signals(-self.code).name if self.code and self.code < 0 else f"exit status {self.code}"
        raise EngineError(
            f"the worker that trained {self.order.adapter} ended ({how}): {lines[-1] if lines else 'it said nothing'}",
            expected="a training that ends, or says why not",
            next_step=f"read {self.root / LOG}",
        )


def _said(order: Order, root: Path) -> dict[str, Any]:
    asked = order.declining
    return {
        "adapter": order.adapter,
        "max_tokens": order.max_tokens,
        "run": order.run,
        "scratch": str(root),
        "base": str(order.base),
        "base_id": order.base_id,
        "said": dict(order.said),
        "train": [[dict(message) for message in chat] for chat in order.train],
        "validation": [[dict(message) for message in chat] for chat in order.validation],
        "pairs": [
            {"prompt": [dict(message) for message in pair.prompt], "chosen": pair.chosen, "rejected": pair.rejected}
            for pair in order.pairs
        ],
        "declining": asked
        and {
            "prompts": [[dict(message) for message in chat] for chat in asked.prompts],
            "says": asked.says,
            "base_says": asked.base_says,
            "weight": asked.weight,
            "lean": asked.lean,
        },
    }


def _error(event: Mapping[str, Any]) -> TwohandsError:
    """The error that a worker named."""
    for module in (port, errors, base_model):
        kind = getattr(module, event["kind"], None)
        if isinstance(kind, type) and issubclass(kind, TwohandsError):
            return kind(event["problem"], expected=event["expected"], next_step=event["next_step"])
    return EngineBusy(event["problem"], expected=event["expected"], next_step=event["next_step"])


def _environment(said: Mapping[str, Any]) -> dict[str, str]:
    """What a worker is told: where the code is, how many threads, no network. Secrets stay here."""
    root = str(Path(next(iter(assets.__path__))).resolve().parent)
    threads = str(said["threads"])
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    one = kept.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]  # transformers would spread over all it sees
    return kept | {
        "PYTHONPATH": root,
        "PYTHONHASHSEED": "0",
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin while they wait: 10 times slower on a machine that is shared
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "CUDA_VISIBLE_DEVICES": one if said["device"] == "cuda" else "",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # without it, cuBLAS sums in whatever order
    }
