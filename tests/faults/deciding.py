"""A decision over a folder, for tests that kill it: `python -m tests.faults.deciding FOLDER STEP` decides and acts.

It says "at STEP" and waits when it comes to the step; nothing of the step is done by then.
"""

from __future__ import annotations

import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from assets.behavior import frozen
from assets.behavior.pipeline import span
from assets.decision.assets import freeze
from assets.decision.ledger import Entry
from orchestration.engines.lake import FolderLake
from orchestration.ledger import LakeLedger
from tests.decision.house import CHANGE, House, Marts

DAY = CHANGE + 8  # the shift of the stream is shown by then
STEPS = {  # in the order in which a run comes to them -> what the ledger holds then
    "verdict": [],  # the evidence is there
    "decision/judged/main": ["verdict"],
    "request": ["verdict"],  # nobody has claimed it
    "behavior/frozen/main/*.parquet": ["verdict", "request"],
    "behavior/frozen/main/*.json": ["verdict", "request"],
    "finished": ["verdict", "request"],  # all is frozen
}


def come_to(step: str) -> None:
    """Waits to be killed."""
    print(f"at {step}", flush=True)  # noqa: T201
    time.sleep(60)
    raise TimeoutError(f"nobody killed this at {step}")


class StoppingLake(FolderLake):
    """Waits before it writes the file of a step."""

    def __init__(self, root: Path, step: str) -> None:
        super().__init__(root)
        self._step = step

    def write(self, name: str, table: pa.Table) -> None:
        self._stop(name)
        super().write(name, table)

    def write_text(self, name: str, text: str) -> None:
        self._stop(name)
        super().write_text(name, text)

    def _stop(self, name: str) -> None:
        if self._step and Path(name).match(self._step):
            come_to(self._step)


class StoppingLedger(LakeLedger):
    """Waits before it appends an entry of the kind that a step is named by."""

    def __init__(self, lake: FolderLake, step: str) -> None:
        super().__init__(lake)
        self._step = step

    def append(self, entry: Entry) -> bool:
        if entry.kind == self._step:
            come_to(self._step)
        return super().append(entry)


class Data:
    """The slow hand's data, as far as a fine-tune asks for it."""

    def __init__(self, lake: FolderLake) -> None:
        self._lake, self._marts = lake, Marts()

    def freeze(self, variant: str, first: date, last: date, request: str) -> frozen.Frozen:
        """The candidates of these days."""
        rows = self._marts.candidates(span(first, last))
        return frozen.freeze(self._lake, rows, variant=variant, request=request, first=first, last=last)


def run(folder: Path, step: str = "") -> None:
    """A verdict, and what it asks for: as `twohands finetune` does."""
    lake = StoppingLake(folder / "lake", step)
    decision = House(folder).at(DAY).opened(lake=lake, ledger=StoppingLedger(lake, step))
    decision.judge("main")
    due = decision.finetunes.due("main")
    cause = decision.finetunes.resumable("main", "cli-") or (due[0] if due else None)
    if cause is not None:
        name = f"cli-{cause}"
        data: Any = Data(lake)
        freeze(decision, data, decision.finetunes.begin("main", cause, name, "test"), name)


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2])
