"""LangChain's indexing API, at the best setting that was found.

loader       none of its own detects changes: every file is read, split and hashed on every run
splitter     MarkdownHeaderTextSplitter, then RecursiveCharacterTextSplitter (Markdown, 900 characters, no overlap)
record keys  SQLRecordManager on SQLite; blake2b; batches of 1,000 (100, the default, costs about 1.2x the time)
vectors      CacheBackedEmbeddings over SQLStore (LocalFileStore costs twice as much on a full index), one call to
             the encoder for each batch, so that sentence-transformers sorts 1,000 texts by length
store        LanceDB, as the others (FAISS with save_local was not faster, Chroma 2x slower)
cleanup      "full"; "incremental" and "scoped_full" leave the rows of files that are gone
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from benchmarks.reindex.encoders import CountingEncoder
from benchmarks.reindex.peers.base import NotInstalled, Row, Sync, documents, measured

BATCH = 1_000
CHARACTERS = 900
NEEDED = (
    "langchain_classic.indexes",
    "langchain_community.storage",
    "langchain_community.vectorstores",
    "langchain_text_splitters",
)
INSTALL = "langchain-core langchain-classic langchain-community langchain-text-splitters greenlet"


class LangChain:
    """`langchain_core.indexing.index` over a folder."""

    def __init__(self, encoder: CountingEncoder, cleanup: Literal["full", "incremental"] = "full") -> None:
        try:
            for module in NEEDED:
                importlib.import_module(module)
        except ImportError as error:
            raise NotInstalled(f"{error}; pip install {INSTALL}") from error
        self.name = "langchain" if cleanup == "full" else f"langchain-{cleanup}"
        self._encoder, self._cleanup = encoder, cleanup

    def setup(self, folder: Path, state: Path) -> None:
        """Opens the record manager, the vector cache and the store."""
        import lancedb
        from langchain_classic.embeddings import CacheBackedEmbeddings
        from langchain_classic.indexes import SQLRecordManager
        from langchain_community.storage import SQLStore
        from langchain_community.vectorstores import LanceDB

        self._folder = folder
        state.mkdir(parents=True, exist_ok=True)
        cache = SQLStore(namespace="vectors", db_url=f"sqlite:///{state}/vectors.db")
        cache.create_schema()
        embeddings = CacheBackedEmbeddings.from_bytes_store(
            _embeddings(self._encoder), cache, namespace=self._encoder.fingerprint, key_encoder="blake2b"
        )
        self._db = lancedb.connect(str(state / "lancedb"))
        self._store = LanceDB(connection=self._db, embedding=embeddings, mode="append")  # "overwrite" is the default!
        self._records = SQLRecordManager("bench", db_url=f"sqlite:///{state}/records.db")
        self._records.create_schema()

    def sync(self) -> Sync:
        """Splits every file and indexes the chunks."""
        from langchain_core.indexing import index

        return measured(
            self._encoder,
            lambda: index(
                _chunks(self._folder), self._records, self._store, cleanup=self._cleanup, source_id_key="source",
                batch_size=BATCH, cleanup_batch_size=10 * BATCH, key_encoder="blake2b",
            ),
        )  # fmt: skip

    def desired(self) -> list[Row]:
        """The chunks of the folder as it is now."""
        return [(found.metadata["source"], found.page_content) for found in _chunks(self._folder)]

    def stored(self) -> list[Row]:
        """The rows of the LanceDB table."""
        if "vectorstore" not in self._db.list_tables().tables:
            return []
        rows = self._db.open_table("vectorstore").to_arrow()
        return [(row["metadata"]["source"], row["text"]) for row in rows.select(["text", "metadata"]).to_pylist()]

    def settings(self) -> str:
        """Versions and settings."""
        return (
            f"langchain-core {version('langchain-core')}, langchain-classic {version('langchain-classic')}, "
            f"langchain-community {version('langchain-community')}: index(cleanup={self._cleanup!r}, "
            f"batch_size={BATCH}), SQLRecordManager (SQLite), CacheBackedEmbeddings over SQLStore (SQLite), "
            f"LanceDB {version('lancedb')}; MarkdownHeader + RecursiveCharacter splitter, {CHARACTERS} characters"
        )

    def close(self) -> None:
        """Nothing to release."""


def _chunks(folder: Path) -> list[Any]:
    from langchain_text_splitters import MarkdownHeaderTextSplitter, RecursiveCharacterTextSplitter

    headers = MarkdownHeaderTextSplitter([("#" * level, f"h{level}") for level in range(1, 5)], strip_headers=False)
    pieces = RecursiveCharacterTextSplitter.from_language("markdown", chunk_size=CHARACTERS, chunk_overlap=0)
    found = []
    for path, text in documents(folder):
        for piece in pieces.split_documents(headers.split_text(text)):
            piece.metadata = {"source": path, "headings": " > ".join(piece.metadata.values())}
            found.append(piece)
    return found


def _embeddings(encoder: CountingEncoder) -> Any:
    from langchain_core.embeddings import Embeddings

    class Shared(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return encoder.encode(texts).tolist()

        def embed_query(self, text: str) -> list[float]:
            return encoder.encode_queries([text])[0].tolist()

    return Shared()
