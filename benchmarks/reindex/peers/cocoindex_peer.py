"""CocoIndex 1.x, at the best setting that was found, and as its own LanceDB example has it.

    source     localfs.walk_dir; file-level memo: files whose time and content are unchanged are not read again
    splitter   RecursiveSplitter(language="markdown"), chunks of 900 bytes, no overlap
    encoder    batched as in its SentenceTransformerEmbedder, but up to 512 texts instead of 64, which
               sentence-transformers sorts by length; a memo for each text
    state      its LMDB database

    "cocoindex"          SQLite target, all files in one component. Memos belong to a component, so that a rename or a
                         duplicate across files costs nothing, which no other layout reaches.
    "cocoindex-lancedb"  LanceDB target, one component for each file: its examples/text_embedding_lancedb. The LanceDB
                         connector deletes row by row, one commit each, which is most of its time on a change.

Vectors in SQLite are float32 BLOBs, what sqlite-vec reads; the extension itself cannot be loaded by every Python.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.reindex.encoders import DIMENSION, CountingEncoder
from benchmarks.reindex.peers.base import NotInstalled, Row, Sync, documents, measured

os.environ.setdefault("COCOINDEX_DISABLE_USAGE_TRACKING", "1")  # read at import: it sends an event otherwise
try:
    import cocoindex as coco
    from cocoindex.connectors import lancedb, localfs, sqlite
    from cocoindex.ops.text import RecursiveSplitter
    from cocoindex.resources.file import FileLike, PatternFilePathMatcher
    from cocoindex.resources.id import IdGenerator
except ImportError as error:
    raise NotInstalled(f"{error}; pip install 'cocoindex[lancedb]'") from error

Target = Literal["sqlite", "lancedb"]
BYTES = 900
BATCH = 512
TABLE = "passages"


class Embedder:
    """The shared encoder in the shape of `cocoindex.ops.sentence_transformers.SentenceTransformerEmbedder`."""

    def __init__(self, encoder: CountingEncoder) -> None:
        self.encoder = encoder

    def __coco_memo_key__(self) -> object:
        return self.encoder.fingerprint

    @coco.fn.as_async(batching=True, runner=coco.GPU, max_batch_size=BATCH)
    def _embed(self, texts: list[str]) -> list[bytes]:
        return [vector.tobytes() for vector in self.encoder.encode(texts)]

    @coco.fn(memo=True, version=1, logic_tracking="self")
    async def embed(self, text: str) -> bytes:
        """The vector of one text, as float32 bytes; concurrent calls are batched."""
        return await self._embed(text)


SQLITE = coco.ContextKey[sqlite.ManagedConnection]("bench_sqlite")
LANCEDB = coco.ContextKey[lancedb.LanceAsyncConnection]("bench_lancedb")
EMBEDDER = coco.ContextKey[Embedder]("bench_embedder", detect_change=True)
SPLITTER = RecursiveSplitter()


@dataclass
class Passage:
    """One row of the target."""

    id: int
    path: str
    text: str
    embedding: Any


def _split(text: str) -> list[Any]:
    return SPLITTER.split(text, chunk_size=BYTES, chunk_overlap=0, language="markdown")


@coco.fn
async def process_chunk(text: str, path: str, ids: IdGenerator, table: Any, as_array: bool) -> None:
    """Declares the row of one chunk."""
    raw = await coco.use_context(EMBEDDER).embed(text)
    vector = np.frombuffer(raw, np.float32) if as_array else raw
    table.declare_row(row=Passage(id=await ids.next_id(text), path=path, text=text, embedding=vector))


@coco.fn(memo=True)
async def process_file(file: FileLike, table: Any, as_array: bool) -> None:
    """Splits one file."""
    path = file.file_path.path.as_posix()
    texts = [chunk.text for chunk in _split(await file.read_text())]
    await coco.map(process_chunk, texts, path, IdGenerator(path), table, as_array)


def _files(folder: Path) -> Any:
    matcher = PatternFilePathMatcher(included_patterns=["**/*.md", "**/*.mdx"])
    return localfs.walk_dir(folder, recursive=True, path_matcher=matcher).items()


@coco.fn
async def one_component(folder: Path) -> None:
    """All files in one component, into SQLite."""
    columns = {
        "id": sqlite.ColumnDef(type="INTEGER", nullable=False),
        "path": sqlite.ColumnDef(type="TEXT"),
        "text": sqlite.ColumnDef(type="TEXT"),
        "embedding": sqlite.ColumnDef(type="BLOB"),
    }
    table = await sqlite.mount_table_target(SQLITE, TABLE, sqlite.TableSchema(columns, primary_key=["id"]))
    files = [file async for _, file in _files(folder)]
    await coco.map(process_file, files, table, False)


@coco.fn
async def component_per_file(folder: Path) -> None:
    """One component for each file, into LanceDB."""
    import pyarrow as pa

    columns = {
        "id": lancedb.ColumnDef(type=pa.int64(), nullable=False),
        "path": lancedb.ColumnDef(type=pa.string()),
        "text": lancedb.ColumnDef(type=pa.string()),
        "embedding": lancedb.ColumnDef(type=pa.list_(pa.float32(), list_size=DIMENSION)),
    }
    table = await lancedb.mount_table_target(LANCEDB, TABLE, lancedb.TableSchema(columns, primary_key=["id"]))
    await coco.mount_each(process_file, _files(folder), table, True)


class CocoIndex:
    """A CocoIndex app over a folder. One for each process: its environment is global."""

    def __init__(self, encoder: CountingEncoder, target: Target = "sqlite") -> None:
        self.name = "cocoindex" if target == "sqlite" else f"cocoindex-{target}"
        self._encoder, self._target = encoder, target

    def setup(self, folder: Path, state: Path) -> None:
        """Opens the environment and the app."""
        self._folder, self._state = folder, state
        state.mkdir(parents=True, exist_ok=True)

        @coco.lifespan
        async def lifespan(builder: coco.EnvironmentBuilder) -> AsyncIterator[None]:
            builder.settings.db_path = state / "cocoindex.db"
            builder.provide(EMBEDDER, Embedder(self._encoder))
            if self._target == "lancedb":
                builder.provide(LANCEDB, await lancedb.connect_async(str(state / "lancedb")))
                yield
            else:
                with sqlite.managed_connection(state / "passages.db", load_vec=False) as connection:
                    builder.provide(SQLITE, connection)
                    yield

        main = one_component if self._target == "sqlite" else component_per_file
        self._app = coco.App(coco.AppConfig(name="Reindex"), main, folder=folder)
        coco.start_blocking()

    def sync(self) -> Sync:
        """One catch-up run of the app."""
        return measured(self._encoder, self._app.update_blocking)

    def desired(self) -> list[Row]:
        """The chunks of the folder as it is now."""
        return [(path, chunk.text) for path, text in documents(self._folder) for chunk in _split(text)]

    def stored(self) -> list[Row]:
        """The rows of the target."""
        if self._target == "sqlite":
            import sqlite3

            with sqlite3.connect(self._state / "passages.db") as connection:
                rows = connection.execute(f"select path, text from {TABLE}").fetchall()  # noqa: S608 -- a constant
        else:
            import lancedb as plain

            table = plain.connect(str(self._state / "lancedb")).open_table(TABLE).to_arrow()
            rows = [(row["path"], row["text"]) for row in table.select(["path", "text"]).to_pylist()]
        return [(Path(path).relative_to(self._folder).as_posix(), text) for path, text in rows]

    def settings(self) -> str:
        """Versions and settings."""
        layout = "all files in one component" if self._target == "sqlite" else "one component for each file"
        return (
            f"cocoindex {version('cocoindex')}: {self._target} target, {layout}, memo on files and on embeddings, "
            f"batches of {BATCH}, LMDB state; RecursiveSplitter markdown, {BYTES} bytes"
        )

    def close(self) -> None:
        """Stops the environment."""
        coco.stop_blocking()
