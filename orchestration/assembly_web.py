"""From settings to the server: where its journal lies, what it looks passages up in, and the app itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI

from assets.behavior.landing import erased
from assets.errors import TwohandsError
from assets.knowledge import documents
from assets.knowledge.pipeline import FastHand
from assets.ports import Passage
from assets.ports.generation import Speaker, Voice
from assets.ports.index import told
from assets.serving.answers import Asker
from assets.serving.questions import Access as Reading
from assets.serving.release import NONE
from assets.serving.releases import Releases
from orchestration.assembly import fast_hand
from orchestration.assembly_answering import answering, generator
from orchestration.assembly_behavior import journal_folder
from orchestration.assembly_serving import releases
from orchestration.cli_views import passage_json
from orchestration.settings import Settings
from orchestration.settings_serve import ServeSettings
from orchestration.web.access import Access
from orchestration.web.app import app
from orchestration.web.journal import Journal, Limits

log = logging.getLogger("twohands.serve")
_LONGEST_ID = 256
_FRESH_SECONDS = 10.0  # how old the known dates and versions of documents may be


def web_app(settings: Settings, serve: ServeSettings, access: Access) -> FastAPI:
    """The app over the configured engines. They are loaded beside it, so that the first question need not wait."""
    hand = fast_hand(settings)
    found, speaker = releases(settings, hand.lake), generator(settings)
    threading.Thread(target=lambda: _warm(settings, hand, speaker), name="twohands-warm", daemon=True).start()
    limits = Limits(backlog=serve.backlog, days=serve.feedback_days)
    return app(
        answering(settings, hand, found, speaker),
        Journal(journal_folder(settings)[0], limits),
        serve,
        library=Shelf(hand, found, Reading(settings.access.field, settings.access.public)),
        access=access,
        line_bytes=settings.behavior.max_line_kilobytes * 1_024,
        erased=lambda: erased.read(hand.lake),
    )


def _warm(settings: Settings, hand: FastHand, speaker: Speaker) -> None:
    try:
        hand.encoder.encode_queries(["warm"])
        if settings.generator.engine == "transformers":  # a server has its model loaded, and is paid for words
            pieces: Any = speaker.stream([{"role": "user", "content": "warm"}], Voice())
            next(pieces, None)
            pieces.close()
    except TwohandsError as error:  # the first question meets it again, and tells whoever asked
        log.warning("%s", error)


class Shelf:
    """Passages of the published index, with the date and version of their documents; may be used by many threads."""

    def __init__(self, hand: FastHand, found: Releases, reading: Reading) -> None:
        self._hand, self._releases, self._reading = hand, found, reading
        self._known: dict[str, tuple[float, Mapping[str, Mapping[str, Any]]]] = {}
        self._lock = threading.Lock()

    def passage(self, chunk_id: str, asker: Asker) -> dict[str, Any] | None:
        """A published passage; None where there is none that the asker may read."""
        published = self._hand.vector_index.published()
        if published is None or not chunk_id or len(chunk_id) > _LONGEST_ID:
            return None
        passage = published.get([chunk_id]).get(chunk_id)
        if passage is None or not self._readable(passage, asker):
            return None
        document = self._documents(passage.slice).get(passage.doc_id, {})
        return {
            **passage_json(passage),
            "metadata": told(passage.metadata),
            "date": passage.metadata.get("date") or _day(document.get("modified")),
            "version": str(document.get("content_sha") or "")[:12] or None,
            "index": published.version,
        }

    def released(self, variant: str) -> str:
        """The id of the release in force; `base` where there is none."""
        move = self._releases.moves.now(variant)
        return move.id if move else NONE

    def _readable(self, passage: Passage, asker: Asker) -> bool:
        allowed = self._reading.allowed(asker)
        return all(not {*values}.isdisjoint(passage.values(name)) for name, values in allowed.items())

    def _documents(self, slice: str) -> Mapping[str, Mapping[str, Any]]:
        with self._lock:
            at, known = self._known.get(slice, (-_FRESH_SECONDS, {}))
            if time.monotonic() - at >= _FRESH_SECONDS:
                state = documents.open_records(self._hand.lake, slice).state()
                known = {row["doc_id"]: row for row in state.rows.values()}
                self._known[slice] = (time.monotonic(), known)
            return known


def _day(modified: float | None) -> str | None:
    return None if modified is None else datetime.fromtimestamp(modified, UTC).date().isoformat()
