"""Runs one system through the steps in a process of its own, and writes what it saw as JSON."""

from __future__ import annotations

import argparse
import gc
import json
import resource
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.reindex import corpora, scenario
from benchmarks.reindex.encoders import CountingEncoder, Mode, count_tokens
from benchmarks.reindex.peers.base import NotInstalled, System

SYSTEMS = ("ours", "cocoindex", "cocoindex-lancedb", "langchain", "langchain-incremental")
# Systems that trust a file's times re-read one that is younger than this; nobody should be measured on that.
SETTLE = 2.5


@dataclass(frozen=True, slots=True)
class Result:
    """One step of one system. `stale` and `missing` count (document, text) rows against the chunker's own output."""

    key: str
    embeds: int
    floor: int
    seconds: float
    encoder: float
    cpu: float
    chunks: int
    stale: int
    missing: int


def system(name: str, encoder: CountingEncoder) -> System:
    """The system of that name. NotInstalled when its packages are not here."""
    if name == "ours":
        from benchmarks.reindex.peers.ours import Ours

        return Ours(encoder)
    if name.startswith("cocoindex"):
        from benchmarks.reindex.peers.cocoindex_peer import CocoIndex

        return CocoIndex(encoder, "lancedb" if name.endswith("lancedb") else "sqlite")
    from benchmarks.reindex.peers.langchain_peer import LangChain

    return LangChain(encoder, "incremental" if name.endswith("incremental") else "full")


def measure(subject: System, steps: list[scenario.Step], root: Path) -> tuple[list[Result], int]:
    """All steps in order; also the mean tokens of a chunk after the first."""
    folder, seen, results, tokens = root / "documents", set(), [], 0
    corpora.write(folder, {})
    subject.setup(folder, root / "state")
    for step in steps:
        corpora.write(folder, step.tree)
        time.sleep(SETTLE)
        desired = subject.desired()
        texts = {text for _, text in desired}
        tokens = tokens or round(count_tokens([text for _, text in desired]) / max(len(desired), 1))
        gc.collect()
        before = time.process_time()
        done = subject.sync()
        cpu = time.process_time() - before
        wanted, stored = set(desired), set(subject.stored())
        results.append(
            Result(
                step.key,
                done.embeds,
                floor=len(texts - seen),
                seconds=done.seconds,
                encoder=done.encoder,
                cpu=cpu,
                chunks=len(desired),
                stale=len(stored - wanted),
                missing=len(wanted - stored),
            )
        )
        line = f"  {subject.name}: {step.key}: {done.embeds} embedded, {done.seconds:.2f} s"
        print(line, file=sys.stderr, flush=True)
        seen |= texts
    return results, tokens


def main() -> None:
    """Entry point of the process that `bench_reindex` starts for each system."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("system", choices=SYSTEMS)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--mode", choices=("real", "free"), default="free")
    arguments.add_argument("--quick", action="store_true")
    given = arguments.parse_args()
    given.out.write_text(json.dumps(run(given.system, given.mode, given.quick)))


def run(name: str, mode: Mode, quick: bool) -> dict:
    """One system in one mode: its results, or why there are none."""
    encoder = CountingEncoder(mode)
    try:
        subject = system(name, encoder)
    except NotInstalled as reason:
        return {"system": name, "skipped": str(reason)}
    with tempfile.TemporaryDirectory(prefix="reindex-") as root:
        try:
            results, tokens = measure(subject, scenario.steps(quick), Path(root))
        except Exception as error:  # noqa: BLE001 -- whatever a peer raises is its result
            traceback.print_exc()
            return {"system": name, "failed": f"{type(error).__name__}: {error}"}
        finally:
            subject.close()
    return {
        "system": name,
        "settings": subject.settings(),
        "tokens": tokens,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "steps": [asdict(result) for result in results],
    }


if __name__ == "__main__":
    main()
