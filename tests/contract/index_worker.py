"""What the contract suite runs in another process: `python -m tests.contract.index_worker ENGINE PLACE TASK`."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from assets.errors import TwohandsError
from assets.ports import Query, VectorIndex
from tests.contract.engines import ENGINES, OTHER_SCHEMA, SCHEMA, generation, publish, vector, vectors


def say(line: str) -> None:
    """One line for the test that started this process."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def die() -> None:
    """What the kernel does to a process that used too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def candidate_until(index: VectorIndex, moment: str) -> None:
    """Dies inside a candidate that replaces what is published, at one of several moments."""
    schema = OTHER_SCHEMA if moment == "rebuilt" else SCHEMA
    with index.candidate(schema) as candidate:
        if moment == "entered":
            die()
        old, new = list(candidate.keys()), generation(99)
        candidate.add(new, vectors(new, schema.dimension))
        if moment in ("added", "rebuilt") and candidate.count():
            die()
        candidate.delete(old)
        if moment == "deleted" and candidate.count():
            die()
        candidate.search(Query("generation", vector("generation")))
        die()


def publish_forever(index: VectorIndex) -> None:
    """Publishes one generation after the other until it is killed."""
    say("ready")
    for number in range(100, 10_000):
        publish(index, generation(number))


def hold(index: VectorIndex) -> None:
    """Holds a candidate open until it is killed."""
    with index.candidate(SCHEMA):
        say("ready")
        time.sleep(60)


def watch(index: VectorIndex, stop: Path) -> None:
    """Reads what is published again and again until `stop` exists; prints what it saw as one JSON object."""
    seen: dict[str, dict[str, object]] = {}
    errors: list[str] = []
    reads = 0
    while not stop.exists():
        try:
            published = index.published()
            if published is None:
                errors.append("nothing is published")
                continue
            texts = sorted(each.text for each in published.passages())
            dimension = published.schema.dimension
            hits = published.search(Query("generation", vector("generation", dimension), k=50))
            found = sorted(hit.passage.text for hit in hits)
        except TwohandsError as error:
            errors.append(f"{type(error).__name__}: {error}")
            continue
        reads += 1
        if reads == 1:
            say("ready")
        seen[published.version] = {"texts": texts, "found": found, "encoder": published.schema.encoder}
    say(json.dumps({"seen": seen, "errors": errors, "reads": reads}))


if __name__ == "__main__":
    engine, place, task, *rest = sys.argv[1:]
    opened = ENGINES[engine].open(Path(place), 30)
    match task:
        case "publish_forever":
            publish_forever(opened)
        case "hold":
            hold(opened)
        case "watch":
            watch(opened, Path(rest[0]))
        case moment:
            candidate_until(opened, moment)
