"""Kill -9 at random updates, and resume: is the adapter the one of a training that nobody killed, bit by bit?

    python -m benchmarks.training.bench_kill [--kills 5] [--seed 0] [--rows 120] [--threads 1] [--json FILE]

An adapter is trained over a base without a disturbance; then another one of the same order, whose worker gets a SIGKILL
at each of so many updates, drawn by the seed. A kill comes as the worker says that it has done the update: it is then
in its checkpoint, or in the next update. The first worker of a run is replaced by the trainer itself; a second kill
ends the run (OutOfMemory, "twice"), and another run goes on.

Goal: all kills happened, and the hash of the adapter's two files, losses, held-out losses, tokens and the kept update
are equal; exit code 1 where they are not. Seconds that are paid are those of all attempts, as the ledger gets them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from assets.behavior.adapter.config import AdapterConfig
from assets.behavior.adapter.store import SAVED
from assets.ports.training import Order, OutOfMemory, Step, Trained
from benchmarks.training.bench_training import ROOT, chats
from orchestration.engines.trainer import PROGRAM, ProcessTrainer

ADAPTER, BASE_ID = "0" * 16, "1" * 16  # names; nothing is published
SAME = ("hash", "losses", "validation", "best", "tokens")


class Killer:
    """Kills the worker at the next of `at` that it reaches; `seen` holds (killed at, went on from), both updates."""

    def __init__(self, at: list[int]) -> None:
        self.ahead, self.killed, self.seen = sorted(at), set[int](), list[list[int]]()

    def __call__(self, step: Step) -> None:
        """Told by the trainer after each update."""
        worker = _worker(self.killed)
        if worker is None:
            return  # this was said before it was killed
        if self.seen and self.seen[-1][1] < 0:
            self.seen[-1][1] = step.step - 1
        if self.ahead and step.step >= self.ahead[0]:
            self.ahead.pop(0)
            self.killed.add(worker.pid)
            self.seen.append([step.step, -1])
            worker.kill()


def _worker(killed: set[int]) -> psutil.Process | None:
    """The worker of this process that is alive."""
    for one in psutil.Process().children():
        if one.pid not in killed and one.status() != psutil.STATUS_ZOMBIE and PROGRAM in one.cmdline():
            return one
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the updates at which it is killed")
    parser.add_argument("--rows", type=int, default=120, help="8 make an update")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--base", type=Path, default=ROOT / "models" / "tiny-reader")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    updates = 2 * (asked.rows // 8)
    if not 0 < asked.kills <= updates - 3:
        parser.error(f"--kills {asked.kills}: from 1 to {updates - 3}, of {updates} updates in all")
    at = random.Random(asked.seed).sample(range(2, updates - 1), asked.kills)  # noqa: S311
    with tempfile.TemporaryDirectory() as folder:
        found = compared(Path(folder), asked, at)
    print(report(found))
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if found["met"] else 1)


def compared(folder: Path, asked: argparse.Namespace, at: list[int]) -> dict[str, Any]:
    """Both trainings, and what is the same of them."""
    whole, _ = trained(folder / "whole", asked, Killer([]))
    killer = Killer(at)
    killed, runs = trained(folder / "killed", asked, killer)
    same = {name: whole[name] == killed[name] for name in SAME}
    return {
        "updates": len(whole["losses"]),
        "planned": sorted(at),
        "kills": killer.seen,
        "runs": runs,
        "whole": whole,
        "killed": killed,
        "same": same,
        "met": all(same.values()) and len(killer.seen) == len(at),
        "load": round(os.getloadavg()[0], 1),
    }


def trained(home: Path, asked: argparse.Namespace, killer: Killer) -> tuple[dict[str, Any], int]:
    """What a training came to, over as many runs as it takes; and how many these were."""
    trainer, began = ProcessTrainer(home), time.monotonic()
    for number in range(1, asked.kills + 2):
        try:
            with trainer.train(order(asked, f"run-{number}"), killer) as made:
                return told(made) | {"clock": round(time.monotonic() - began, 1)}, number
        except OutOfMemory:  # killed twice; where the kernel hides its own kills, once
            continue
    raise AssertionError("no run is left without a kill")


def order(asked: argparse.Namespace, run: str) -> Order:
    config = AdapterConfig(epochs=2, min_steps=0, evaluations=6, patience=99, checkpoints=12, threads=asked.threads)
    said = config.settled("cpu", asked.threads).said()
    return Order(ADAPTER, run, asked.base, BASE_ID, said, chats(asked.rows, seed=1), chats(16, seed=99))


def told(made: Trained) -> dict[str, Any]:
    whole = hashlib.sha256(b"".join((made.folder / name).read_bytes() for name in SAVED))
    return {
        "hash": whole.hexdigest(),
        "losses": list(made.losses),
        "validation": [list(one) for one in made.validation],
        "best": made.best,
        "tokens": made.tokens,
        "resumed": made.resumed,
        "seconds": round(made.seconds, 1),
    }


def report(found: dict[str, Any]) -> str:
    whole, killed = found["whole"], found["killed"]
    lines = [f"{found['updates']} updates, {len(found['kills'])} kills in {found['runs']} runs, load {found['load']}"]
    lines += [f"  killed at update {at:>3}, went on from {max(after, 0):>3}" for at, after in found["kills"]]
    lines.append(f"{'':<24}{'not killed':>18}{'killed':>18}")
    for name, one, other in (
        ("adapter (sha256)", whole["hash"][:16], killed["hash"][:16]),
        ("last loss", f"{whole['losses'][-1]:.6f}", f"{killed['losses'][-1]:.6f}"),
        ("last held-out loss", f"{whole['validation'][-1][1]:.6f}", f"{killed['validation'][-1][1]:.6f}"),
        ("kept update", whole["best"], killed["best"]),
        ("seconds that are paid", whole["seconds"], killed["seconds"]),
        ("seconds by the clock", whole["clock"], killed["clock"]),
    ):
        lines.append(f"{name:<24}{one!s:>18}{other!s:>18}")
    lines.append("same: " + ", ".join(f"{name} {'yes' if same else 'NO'}" for name, same in found["same"].items()))
    lines.append(f"goal: {len(found['planned'])} kills, the same bits: {'met' if found['met'] else 'MISSED'}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
