"""How long from a change on disk to the published index, through the sensor of `make run`?

    python -m benchmarks.reindex.bench_latency [--edits 20] [--every 20]

Starts the server that `make run` starts (`twohands dev`: UI, daemon, sensor) on a copy of the sample handbook with a
home folder of its own, edits one file at a time at random moments, and polls the published index in this process until
the new sentence is in it. Everything it started and wrote is removed at the end. Writes benchmarks/out/latency.json.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run as a file: `benchmarks` is no installed package
    sys.path[0] = str(ROOT)

SLICE = "handbook"
POLL = 0.2  # seconds between two looks: the resolution
READY, LOST = 300.0, 120.0  # seconds for the first index, and until an edit counts as lost
TARGETS = {"p50": 10.0, "p95": 15.0}


def main() -> int:
    """Runs, prints, writes. 1 when the server fails or an edit is lost."""
    given = _arguments()
    with tempfile.TemporaryDirectory(prefix="latency-") as root:
        folder, config = _project(Path(root))
        reader = Reader(_index(config, Path(root) / "home"))
        with server(config, Path(root)) as process:
            started = time.monotonic()
            if not _await(lambda: bool(reader.look()), READY, process):
                print(f"FAILED: nothing was published within {READY:.0f} s; the server's log ends with:\n{_tail(root)}")
                return 1
            print(f"first index {time.monotonic() - started:.1f} s after the start; {given.edits} edits", flush=True)
            waits = _edits(given, folder, reader, process)
        lost = given.edits - len(waits)
        if lost:
            print(f"FAILED: {lost} edits were not published within {LOST:.0f} s; the log ends with:\n{_tail(root)}")
    if waits:
        _report(waits, lost, given.out)
    return int(bool(lost))


def _edits(given: argparse.Namespace, folder: Path, reader: Reader, process: subprocess.Popen[bytes]) -> list[float]:
    chance = random.Random(given.seed)  # noqa: S311 -- no secret
    files = sorted(folder.rglob("*.md"))
    waits: list[float] = []
    for number in range(given.edits):
        time.sleep(given.every * chance.uniform(0.75, 1.25))
        word = f"marker{chance.getrandbits(48):012x}"
        file = chance.choice(files)
        file.write_text(f"{file.read_text(encoding='utf-8').rstrip()}\n\nNote {word}.\n", encoding="utf-8")
        changed = time.monotonic()
        if not _await(lambda: word in reader.look(), LOST, process):  # noqa: B023 -- called before the next round
            break
        waits.append(time.monotonic() - changed)
        print(f"  {number + 1:2}: {waits[-1]:5.1f} s  {file.relative_to(folder)}", flush=True)
    return waits


def quantile(values: list[float], share: float) -> float:
    """The nearest-rank quantile: the smallest value that at least `share` of the values do not exceed."""
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


@contextmanager
def server(config: Path, root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The server of `make run` in a process group of its own, stopped as Ctrl-C would stop it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"TWOHANDS_CONFIG": str(config), "TWOHANDS_HOME": str(root / "home")}
    environment |= {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", "from orchestration.cli import main; main()"]
    with (root / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "dev", "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # else Ctrl-C is ignored
        )
    try:
        yield process
    finally:
        for kind, patience in ((signal.SIGINT, 20), (signal.SIGTERM, 10), (signal.SIGKILL, 5)):
            if _group_is_gone(process, kind, patience):
                break


def _group_is_gone(process: subprocess.Popen[bytes], kind: signal.Signals, patience: float) -> bool:
    until = time.monotonic() + patience
    try:
        os.killpg(process.pid, kind)
        while time.monotonic() < until:
            process.poll()
            os.killpg(process.pid, 0)
            time.sleep(0.2)
    except ProcessLookupError:
        return True
    return False


def _project(root: Path) -> tuple[Path, Path]:
    """A copy of the sample handbook and a configuration that points at it."""
    folder, config = root / "handbook", root / "twohands.toml"
    shutil.copytree(ROOT / "sample" / "handbook", folder)
    config.write_text(f'[sources.{SLICE}]\nurl = "{folder}"\n')
    return folder, config


def _index(config: Path, home: Path) -> Any:
    from orchestration.assembly import open_index
    from orchestration.config import load

    return open_index(load(str(config), str(home)))


class Reader:
    """The published text as one string, read again only when the version is another: looking must not slow the run."""

    def __init__(self, index: Any) -> None:
        self._index, self._version, self.text = index, "", ""

    def look(self) -> str:
        """All published text; empty before the first publish."""
        found = self._index.published()
        if found is not None and found.version != self._version:
            self._version, self.text = found.version, "\n".join(p.text for p in found.passages(SLICE))
        return self.text


def _await(condition: Any, seconds: float, process: subprocess.Popen[bytes]) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        if condition():
            return True
        time.sleep(POLL)
    return False


def _tail(root: str, lines: int = 25) -> str:
    log = (Path(root) / "server.log").read_text(encoding="utf-8", errors="replace")
    return "\n".join(log.splitlines()[-lines:])


def _report(waits: list[float], lost: int, out: Path) -> None:
    found = {"p50": quantile(waits, 0.5), "p95": quantile(waits, 0.95), "max": max(waits)}
    print("\n| change on disk -> published | seconds | target | met |\n|---|---:|---:|---:|")
    for name, value in found.items():
        target = TARGETS.get(name)
        met = "" if target is None else "yes" if value <= target else "NO"
        print(f"| {name} of {len(waits)} | {value:.1f} | {'' if target is None else f'<= {target:.0f}'} | {met} |")
    out.mkdir(parents=True, exist_ok=True)
    result = {"seconds": waits, "lost": lost, **found, "cores": os.cpu_count(), "load_after": os.getloadavg()[0]}
    (out / "latency.json").write_text(json.dumps(result, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--edits", type=int, default=20)
    options.add_argument("--every", type=float, default=20.0, help="mean seconds between two edits")
    options.add_argument("--quick", action="store_true", help="five edits")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out")
    given = options.parse_args()
    given.edits = min(given.edits, 5) if given.quick else given.edits
    return given


if __name__ == "__main__":
    sys.exit(main())
