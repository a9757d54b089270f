"""The fast hand as `twohands sync` runs it: default settings, LanceDB, the default chunker and parser.

Only the encoder is another: the shared counting one. The index holds vectors and a full-text index, and every publish
passes the checks that stand before it, so that the work compared here is more than the peers'.
"""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.reindex.encoders import CountingEncoder
from benchmarks.reindex.peers.base import Row, Sync, measured

SLICE = "docs"


class Ours:
    """`FastHand` over one folder."""

    name = "ours"

    def __init__(self, encoder: CountingEncoder) -> None:
        self._encoder = encoder

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the encoder in use."""
        return self._encoder.fingerprint

    def setup(self, folder: Path, state: Path) -> None:
        """Writes a twohands.toml and makes the fast hand from it."""
        self._state = state
        state.mkdir(parents=True, exist_ok=True)
        self._config = state / "twohands.toml"
        self._config.write_text(f'[sources.{SLICE}]\nurl = "{folder}"\n')
        self._hand = self._assembled(state / "home")
        self._hand.rejected()
        import lancedb  # noqa: F401 -- imported late by the engine; the start of a process is not measured

    def switch(self, encoder: CountingEncoder) -> None:
        """Goes on with another encoder, as a new process with another configuration would."""
        self._encoder = encoder
        self._hand = self._assembled(self._state / "home")

    def sync(self) -> Sync:
        """One sync of the slice."""
        return measured(self._encoder, lambda: self._hand.sync(SLICE))

    def desired(self) -> list[Row]:
        """The chunks of the folder as it is now, cut from scratch with no earlier state."""
        from assets.knowledge import chunks

        home = self._state / "scratch"
        shutil.rmtree(home, ignore_errors=True)
        hand = self._assembled(home)
        hand.documents(SLICE)
        hand.chunks(SLICE)
        records = chunks.open_records(hand.lake, SLICE)
        return [_row(passage) for passage in chunks.passages(records, records.state(), SLICE)]

    def stored(self) -> list[Row]:
        """The published passages."""
        published = self._hand.vector_index.published()
        return [_row(passage) for passage in published.passages(SLICE)] if published else []

    def settings(self) -> str:
        """Versions and settings."""
        return (
            f"twohands {_version()}: default settings, LanceDB {version('lancedb')} with full-text index, all publish "
            f"checks; heading-anchored chunker, at most {self._hand.tokenizer.max_tokens} tokens"
        )

    def close(self) -> None:
        """Nothing to release."""

    def _assembled(self, home: Path) -> Any:
        from orchestration.assembly import fast_hand
        from orchestration.config import load

        hand = fast_hand(load(str(self._config), str(home)))
        hand.encoder = self._encoder
        return hand


def _row(passage: Any) -> Row:
    return passage.doc_id.removeprefix(f"{SLICE}/"), passage.text


def _version() -> str:
    import tomllib

    project = Path(__file__).resolve().parents[3] / "pyproject.toml"
    return tomllib.loads(project.read_text())["project"]["version"]
