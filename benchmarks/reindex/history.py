"""Ours alone: whole histories, snapshot by snapshot, and what may happen to a corpus afterwards."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.reindex import corpora, scenario
from benchmarks.reindex.encoders import CountingEncoder
from benchmarks.reindex.peers.ours import Ours

QUICK_EVERY = 6


class Replay:
    """Counts, for each sync, what was embedded and how many of the chunk texts had never been seen."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "documents"
        self.encoder = CountingEncoder("free")
        self.subject = Ours(self.encoder)
        self.seen: dict[str, set[str]] = {}
        corpora.write(self.folder, {})
        self.subject.setup(self.folder, root / "state")

    def to(self, tree: corpora.Tree) -> dict[str, Any]:
        """Writes the tree, syncs, and compares what is published with a cut from scratch."""
        corpora.write(self.folder, tree)
        wanted = self.subject.desired()
        texts = {text for _, text in wanted}
        seen = self.seen.setdefault(self.subject.fingerprint, set())
        done = self.subject.sync()
        stored = self.subject.stored()
        fresh = len(texts - seen)
        seen |= texts
        return {
            "embeds": done.embeds, "fresh": fresh, "rows": len(stored), "seconds": done.seconds,
            "stale": len(set(stored) - set(wanted)), "missing": len(set(wanted) - set(stored)),
        }  # fmt: skip


def replay(name: str, quick: bool) -> dict[str, Any]:
    """One history; then a rename of a tenth, the way back, an old snapshot, another encoder, and the way back."""
    history = corpora.load(name)
    with tempfile.TemporaryDirectory(prefix="history-") as root:
        run = Replay(Path(root))
        snapshots, began = [], time.perf_counter()
        for snapshot in history[:: QUICK_EVERY if quick else 1]:
            snapshots.append({"snapshot": snapshot.number, "date": snapshot.date, **run.to(snapshot.tree)})
        print(f"  {name}: {len(snapshots)} snapshots, {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        last, first = history[:: QUICK_EVERY if quick else 1][-1].tree, history[0].tree
        events = [
            {"label": "a tenth renamed", **run.to(scenario.rename_tenth(last))},
            {"label": "renamed back", **run.to(last)},
            {"label": "reverted to the base", **run.to(first)},
            {"label": "forward again", **run.to(last)},
        ]
        run.subject.switch(CountingEncoder("free", "-other"))
        events.append({"label": "another encoder", **run.to(last)})
        run.subject.switch(run.encoder)
        events.append({"label": "the first encoder again", **run.to(last)})
    return {"name": name, "snapshots": snapshots, "events": events}
