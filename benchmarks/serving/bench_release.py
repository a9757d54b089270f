"""Release switch: from the command to promote (or roll back) until every reader sees the new release.

    python -m benchmarks.serving.bench_release [--switches 200] [--base-megabytes 24] [--adapter-megabytes 2]

Three columns: the pointer alone (the switch), the whole command with every file of base and adapter hashed first, and a
reader that asks what is in force. A history of `--switches` moves is behind it. Folders are warm in the page cache.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from assets.prompting import TEMPLATES
from assets.serving.release import Move, Release
from assets.serving.releases import Releases
from orchestration.engines.lake import FolderLake

GOAL = 50.0  # milliseconds
PROMPT = f"evidence@{TEMPLATES['evidence'].version}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--switches", type=int, default=200)
    parser.add_argument("--base-megabytes", type=float, default=24)
    parser.add_argument("--adapter-megabytes", type=float, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        report(Path(folder), options.switches, options.base_megabytes, options.adapter_megabytes)


def report(folder: Path, switches: int, base: float, adapter: float) -> None:
    releases = house(folder, base, adapter)
    ids = [propose(releases, name) for name in ("left", "right")]
    seals = [releases.sealed(Release("b", name, PROMPT)) for name in ("left", "right")]
    number = iter(range(1_000_000))
    whole = [timed(lambda: releases.promote("main", ids[next(number) % 2], why="w", by="b", force=True))
             for _ in range(switches)]  # fmt: skip
    pointer = [timed(lambda: switch(releases, seals[next(number) % 2])) for _ in range(switches)]
    back = [timed(lambda: releases.rollback("main", why="w", by="b")) for _ in range(switches)]
    look = [timed(lambda: releases.moves.now("main")) for _ in range(switches)]
    floor = [timed(lambda: releases.lake.write_text("floor", "x")) for _ in range(switches)]
    verified = [timed(lambda: releases.served("main")) for _ in range(20)]
    print(f"base {base:g} MB, adapter {adapter:g} MB, {switches} switches, load {os.getloadavg()[0]:.1f}")
    print(f"{'':34}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    for name, taken in (
        ("floor: one small file, flushed", floor),
        ("switch: move and pointer, locked", pointer),
        ("promote: files hashed, then switch", whole),
        ("rollback: files hashed, then switch", back),
        ("reader: what is in force", look),
        ("reader: and its files are intact", verified),
    ):
        p50, p99 = np.percentile(taken, [50, 99])
        print(f"{name:<34}{p50:9.2f}{p99:9.2f}{max(taken):9.2f}")
    print(f"goal: switch <= {GOAL:g} ms: {'met' if np.percentile(pointer, 99) <= GOAL else 'MISSED'} at p99")


def switch(releases: Releases, release: Release) -> None:
    """What `promote` does once base and adapter are verified."""
    with releases.lake.lock("release-main", 60):
        now = releases.moves.now("main")
        number, former = (now.number + 1, now.name) if now else (1, "")
        at = datetime.now(UTC).isoformat()
        releases.moves.append("main", Move(number, "promote", release, at, "w", "b", former, former))


def timed(act: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    act()
    return 1_000 * (time.perf_counter() - began)


def house(folder: Path, base: float, adapter: float) -> Releases:
    for name, size in (("base", base), ("left", adapter), ("right", adapter)):
        (folder / name).mkdir()
        (folder / name / "model.safetensors").write_bytes(os.urandom(int(size * 1e6)))
        (folder / name / "config.json").write_text("{}")
    return Releases(
        FolderLake(folder / "lake"), base=lambda _: folder / "base", adapter=lambda one: folder / one.adapter
    )


def propose(releases: Releases, name: str) -> str:
    return releases.propose("main", Release("b", name, PROMPT), promoted=True, sentence="s", against="base").id


if __name__ == "__main__":
    main()
