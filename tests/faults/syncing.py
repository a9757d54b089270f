"""A fast hand over a folder, for tests that kill it: run as `python -m tests.faults.syncing FOLDER` to sync once."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from assets.knowledge import documents, publish, vectors
from assets.knowledge.pipeline import FastHand, SliceSpec
from assets.knowledge.sources import open_source
from orchestration.engines.lake import open_lake
from orchestration.engines.lancedb_index import LanceIndex
from tests.fakes import HashEncoder, PlainParser, WordTokenizer

DOCUMENTS, SECTIONS = 40, 4
BATCH = 16


class LoggingEncoder(HashEncoder):
    """Writes down every text before it is embedded, so that the log survives a kill; slow enough to be hit by one."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self._log = log

    def encode(self, texts):
        with self._log.open("a") as file:
            file.writelines(text.replace("\n", " ") + "\n" for text in texts)
        time.sleep(0.01)
        return super().encode(texts)


def write(folder: Path, version: int) -> None:
    """Every document in one version: each section says which."""
    target = folder / "docs"
    target.mkdir(exist_ok=True)
    for number in range(DOCUMENTS):
        sections = (f"## Section {i}\n\nVersion {version} of document {number}, section {i}." for i in range(SECTIONS))
        (target / f"{number}.md").write_text(f"# Document {number}\n\n" + "\n\n".join(sections))


def hand(folder: Path) -> FastHand:
    """A fast hand whose batches are small, so that a kill finds something half done."""
    vectors.BATCH, documents.FLUSH_ROWS, publish.BATCH = BATCH, 10, 32
    return FastHand(
        slices=[SliceSpec("docs", "docs")],
        source=lambda name: open_source(str(folder / "docs"), base=folder, cache=folder / "git"),
        lake=open_lake(str(folder / "lake"), locks=folder / "locks"),
        index=LanceIndex(str(folder / "index")),
        encoder=LoggingEncoder(folder / "embedded.log"),
        tokenizer=WordTokenizer(),
        parser=PlainParser(),
    )


if __name__ == "__main__":
    worker = hand(Path(sys.argv[1]))
    worker.vector_index.published()  # imports are done
    print("ready", flush=True)  # noqa: T201
    worker.sync("docs")
    print("done", flush=True)  # noqa: T201
