"""From raw names to a Listing, the same for every kind of source; and the split of a listing into shards."""

from __future__ import annotations

import hashlib
import unicodedata

from assets.knowledge.sources.selection import Selection
from assets.ports import Listing, Reason, Refusal, SourceFile

RACY_NS = 2_000_000_000
"""A file that changed less than this before the listing may change again within one tick of its file system's clock
without a new time stamp, so its stamp is left empty. 2 s is the coarsest clock in use (FAT)."""


def shard_of(path: str, shards: int) -> int:
    """The shard, 0 <= shard < shards, that a path belongs to: the same on every machine and in every release.

    The first 8 bytes of sha256(UTF-8 path), big-endian, modulo `shards`. ValueError when shards < 1.
    """
    if shards < 1:
        raise ValueError(f"shards must be at least 1, not {shards}")
    digest = hashlib.sha256(path.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % shards


def split(listing: Listing, shards: int, index: int) -> Listing:
    """The part of a listing that belongs to shard `index` of `shards`. ValueError when there is no such shard."""
    if not 0 <= index < max(shards, 1):
        raise ValueError(f"shard index must be 0..{shards - 1}, not {index}")
    if shards == 1:
        return listing
    return Listing(
        files=tuple(file for file in listing.files if shard_of(file.path, shards) == index),
        refused={path: refusal for path, refusal in listing.refused.items() if shard_of(path, shards) == index},
        revision=listing.revision,
    )


def readable(raw: bytes) -> str | None:
    """A raw name or path as text in NFC, or None where it is not UTF-8."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def escaped(raw: bytes) -> str:
    """A raw name that cannot be an identity, in printable ASCII."""
    return raw.decode("utf-8", "surrogateescape").encode("ascii", "backslashreplace").decode("ascii")


class Gathering:
    """Collects files under their NFC path. `raws` keeps the real name of every file whose name is not that path."""

    def __init__(self, selection: Selection, max_bytes: int) -> None:
        self.selection = selection
        self.max_bytes = max_bytes
        self.files: dict[str, SourceFile] = {}
        self.refused: dict[str, Refusal] = {}
        self.raws: dict[str, bytes] = {}

    def add(self, raw: bytes, path: str, size: int, stamp: str, modified: float | None) -> bool:
        """Adds a file that the selection takes; False when it is refused: too large, or a name given twice.

        Of two real names that are one path in NFC, the one that is NFC already stays, else the first in byte order.
        """
        if size > self.max_bytes:
            self.refuse(path, Reason.TOO_LARGE, f"{size:,} bytes; at most {self.max_bytes:,} are read")
            return False
        own = path.encode()
        if path in self.files:
            other = self.raws.get(path, own)
            first, second = sorted((raw, other), key=lambda name: (name != own, name))
            self._refuse_twin(second, first)
            if second == raw:
                return False
        self.files[path] = SourceFile(path, size, stamp, modified)
        self.raws.pop(path, None)
        if raw != own:
            self.raws[path] = raw
        return True

    def _refuse_twin(self, second: bytes, first: bytes) -> None:
        detail = f"its name is the same text as {escaped(first)} in another Unicode form; rename one of the two"
        self.refuse(escaped(second), Reason.UNREADABLE, detail)

    def refuse(self, path: str, reason: Reason, detail: str) -> None:
        """Records a file that may not be read."""
        self.refused[path] = Refusal(reason, detail)

    def refuse_name(self, raw: bytes, what: str = "its name") -> None:
        """Records a name that is not UTF-8, escaped, where the selection takes it."""
        if self.selection.takes(escaped(raw)):
            self.refuse(escaped(raw), Reason.UNREADABLE, f"{what} is not UTF-8; rename it")

    def listing(self, revision: str | None = None) -> Listing:
        """What was gathered, sorted by path."""
        files = tuple(self.files[path] for path in sorted(self.files))
        return Listing(files, dict(sorted(self.refused.items())), revision)
