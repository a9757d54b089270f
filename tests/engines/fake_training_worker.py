"""A worker without torch: it speaks as the real one does, and behaves as the adapter's name tells it to."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from orchestration.engines.training_guard import die_with_parent


def say(**event) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def main() -> None:
    file, parent = Path(sys.argv[1]), int(sys.argv[2])
    die_with_parent(parent)
    order = json.loads(file.read_text())
    root, how = Path(order["scratch"]), order["adapter"]
    tried = root / "tried"
    tried.write_text(tried.read_text() + "x" if tried.exists() else "x")
    say(event="begun", steps=2, rows=len(order["train"]), resumed=0)
    say(event="step", step=1, steps=2, loss=2.0, validation=None, tokens_per_second=10.0, left=1.0)
    if how == "sleeps":
        (root / "pid").write_text(str(os.getpid()))
        time.sleep(60)
    if how == "killed-twice" or (how == "killed-once" and tried.read_text() == "x"):
        sys.stdout.write('{"event": "do')
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "crashes":
        sys.stderr.write("first line\nImportError: no such thing\n")
        sys.exit(3)
    if how.startswith("says-"):
        say(event="failed", kind=how.removeprefix("says-"), problem="it broke", expected="more", next_step="mend it")
        sys.exit(1)
    (root / "out").mkdir()
    (root / "spent").mkdir(exist_ok=True)
    (root / "spent" / order["run"]).write_text("2.5")
    (root / "out" / "adapter_config.json").write_text("{}")
    told = {"losses": [2.0, 1.0], "validation": [[2, 1.5]], "best": 2, "stopped": False, "resumed": 0}
    say(event="done", **told, tokens=20, answer_tokens=5, memory=1, preference={}, divergences=[])


if __name__ == "__main__":
    main()
