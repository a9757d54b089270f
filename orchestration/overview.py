"""The state of the fast hand in facts: for `twohands status`, `twohands doctor` and the UI."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable, Sequence
from typing import Any

from assets.errors import TwohandsError
from assets.knowledge import chunks, documents, history
from assets.knowledge.pipeline import FastHand
from orchestration.settings import Settings

LOW_DISK = 2 * 2**30  # bytes


def overview(hand: FastHand) -> dict[str, Any]:
    """What is published, how fresh each slice is, what was refused. Times are ISO 8601 in UTC.

    Of a slice, `synced` is the last look at its source whose findings are published, `changed` when a document of it
    last did, as far as a sync has seen, and `newest` the time of its newest document.
    """
    published = hand.vector_index.published()
    known = history.load(hand.lake, published.version) if published else None
    slices = []
    for name in hand.slices:
        found, cut = documents.open_records(hand.lake, name).state(), chunks.open_records(hand.lake, name).state()
        rows = found.rows.values()
        slices.append(
            {
                "slice": name,
                "documents": sum(bool(row["part"]) for row in rows),
                "passages": sum(row["count"] for row in cut.rows.values()),
                "rejected": sum(bool(row["reason"]) for row in rows) + len(chunks.without_passages(cut)),
                "revision": found.facts.get("revision") or None,
                "newest": _iso(max((row["modified"] for row in rows if row["modified"]), default=None)),
                "synced": _iso(history.load_synced(hand.lake, name)),
                "changed": _iso(max((row["at"] / 1e9 for row in rows if row["at"]), default=None)),
                "published": known is not None and known.slices.get(name) == cut.facts.get("digest"),
            }
        )
    asked = known is not None and bool(known.outcome.ranks)
    return {
        "index": {
            **hand.vector_index.describe(),
            "version": published.version if published else None,
            "passages": published.count() if published else 0,
            "published_at": _iso(known.at) if known else None,
            "recall_at_5": known.outcome.recall if known and asked else None,
            "mrr": known.outcome.mrr if known and asked else None,
        },
        "slices": slices,
    }


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def examine(
    settings: Settings, hand: Callable[[], FastHand], more: Sequence[tuple[str, Callable[[], str]]] = ()
) -> list[dict[str, Any]]:
    """Tries everything that a sync needs, and `more`: [{name, ok, detail}]. Each runs, whatever failed before it."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("home", lambda: _home(settings)),
        ("disk", lambda: _disk(settings)),
        *((f"source {spec.name}", _source_check(hand, spec.name)) for spec in settings.slices()),
        ("golden", lambda: f"{len(hand().golden())} questions"),
        ("tokenizer", lambda: f"{hand().tokenizer.count(['one two three'])[0]} tokens in 'one two three'"),
        ("encoder", lambda: _encoder(hand())),
        ("index", lambda: ", ".join(f"{key} {value}" for key, value in hand().vector_index.describe().items())),
        ("published", lambda: _published(hand())),
        *more,
    ]
    return [tried(name, check) for name, check in checks]


def tried(name: str, check: Callable[[], str]) -> dict[str, Any]:
    """What a check says, or why it fails."""
    try:
        return {"name": name, "ok": True, "detail": check()}
    except (TwohandsError, OSError) as error:
        return {"name": name, "ok": False, "detail": str(error)}


def _source_check(hand: Callable[[], FastHand], name: str) -> Callable[[], str]:
    def check() -> str:
        listing = hand().listing(name)
        revision = f" at {listing.revision[:12]}" if listing.revision else ""
        return f"{len(listing.files)} files, {len(listing.refused)} refused{revision}"

    return check


def _home(settings: Settings) -> str:
    settings.home.mkdir(parents=True, exist_ok=True)
    probe = settings.home / ".doctor"
    probe.write_text("ok")
    probe.unlink()
    return f"{settings.home} is writable"


def _disk(settings: Settings) -> str:
    free = shutil.disk_usage(settings.home if settings.home.exists() else settings.root).free
    if free < LOW_DISK:
        raise OSError(f"only {free / 2**30:.1f} GiB free where the home folder is; expected {LOW_DISK / 2**30:.0f} GiB")
    return f"{free / 2**30:.0f} GiB free"


def _encoder(hand: FastHand) -> str:
    vector = hand.encoder.encode(["a sentence"])
    return f"{hand.encoder.fingerprint[:16]}, {vector.shape[1]} dimensions"


def _published(hand: FastHand) -> str:
    published = hand.vector_index.published()
    if published is None:
        return "nothing yet: run `twohands sync`"
    if published.schema.encoder != hand.encoder.fingerprint:
        return f"version {published.version}, made by another encoder: the next sync rebuilds it side by side"
    return f"version {published.version}, {published.count()} passages"
