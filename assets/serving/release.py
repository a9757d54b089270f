"""What answers are served from: a pointer that is replaced atomically, and every place where it ever pointed.

    serving/releases/<variant>/pointer                  the name of the move that is in force
    serving/releases/<variant>/moves/000002-<hash>.json one move, named by its hash; never changed
    serving/candidates/<variant>/<release>.json         what was evaluated, and what the gate said

A move names the one before it by its hash, so the history is a chain from the pointer backwards: it cannot be changed
unseen, and a move that a kill (or a full disk) kept from the pointer is in no chain. Promoting and rolling back write a
move, then the pointer; whatever happens in between, the former release stays, and so does the history.

    event                    pointer moves to                              a rollback from there goes to
    promote B, A in force    B                                             A
    promote A, A in force    does not move                                 where it went before
    rollback, B over A       A                                             where it went from A before
    rollback, A over none    none: the configured base, without adapter    (refused: nothing to go back to)

A release names what answers: base, adapter and prompt. Index and encoder are noted as the gate saw them; content that
moves on makes no other release of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta

from assets.errors import CorruptState, Final
from assets.fingerprints import digest, sha256_text
from assets.ports import Lake
from assets.serving.files import Files, whole

FOLDER = "serving/releases"
NONE = "base"  # what answers before anything is released, as interactions name it
_MOVE = re.compile(r"(\d{6})-[0-9a-f]{32}")


class UnknownRelease(Final):
    """Neither a candidate nor a release of the past has this id."""


@dataclass(frozen=True, slots=True)
class Release:
    """A base with its adapter (empty: none) and prompt, by their own ids, and the hashes of their files; the index
    version and the encoder that it was evaluated with."""

    base: str
    adapter: str
    prompt: str
    encoder: str = ""
    index: str = ""
    base_files: Files = field(default_factory=dict)
    adapter_files: Files = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Names what answers: 16 hex digits."""
        parts = [self.base, whole(self.base_files), self.adapter, whole(self.adapter_files), self.prompt]
        return digest(parts)[:16]


@dataclass(frozen=True, slots=True)
class Move:
    """One change of the pointer. `release` is None where it went back to the base alone.

    `former` names the move before this one, `below` the one that a rollback goes back to; empty where there is none.
    """

    number: int
    action: str  # promote, rollback
    release: Release | None
    created: str  # ISO 8601, UTC
    why: str
    by: str
    former: str = ""
    below: str = ""
    gate: str = ""  # what the gate said
    forced: bool = False

    @property
    def id(self) -> str:
        """The id of what answers from here on."""
        return self.release.id if self.release else NONE

    @property
    def since(self) -> str:
        """The second (ISO 8601, UTC) from which on it is in force."""
        return datetime.fromisoformat(self.created).isoformat(timespec="seconds")

    @property
    def pointer(self) -> dict[str, str]:
        """The pointer as it is shown."""
        release = self.release or Release("", "", "")
        names = ("index", "base", "adapter", "prompt", "encoder")
        return {name: getattr(release, name) for name in names} | {"created": self.created, "why": self.why}

    def text(self) -> str:
        """As it is stored."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    @property
    def name(self) -> str:
        """Its file's name, which its content decides."""
        return f"{self.number:06d}-{sha256_text(self.text())[:32]}"


class Moves:
    """The chain of moves of each variant, over the lake. Who appends holds the variant's lock."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def now(self, variant: str) -> Move | None:
        """The move in force; None before the first. CorruptState where pointer or move are not what was written."""
        name = self._lake.read_text(_pointer(variant))
        if name is not None:
            return self.read(variant, name.strip())
        numbers = [n.rsplit("/", 1)[1][:6] for n in self._lake.names(f"{FOLDER}/{variant}/moves")]
        if any(number.isdigit() and int(number) > 1 for number in numbers):
            raise damaged(_pointer(variant), "it is missing, and there were releases")
        return None

    def read(self, variant: str, name: str) -> Move:
        """A move by its name."""
        file = _file(variant, name)
        text = self._lake.read_text(file) if _MOVE.fullmatch(name) else None
        if text is None:
            raise damaged(_pointer(variant) if not _MOVE.fullmatch(name) else file, "there is no such move")
        if sha256_text(text)[:32] != name[7:]:
            raise damaged(file, "its hash is another")
        try:
            return _parsed(text)
        except (ValueError, TypeError, KeyError) as error:
            raise damaged(file, f"{type(error).__name__}: {error}") from error

    def back(self, variant: str) -> Iterator[Move]:
        """Every move, newest first."""
        move = self.now(variant)
        while move is not None:
            yield move
            move = self.read(variant, move.former) if move.former else None

    def append(self, variant: str, move: Move) -> Move:
        """Writes a move, then the pointer. Until the pointer is written, nothing has happened."""
        self._lake.write_text(_file(variant, move.name), move.text())
        self._lake.write_text(_pointer(variant), move.name)
        return move

    def since(self, variant: str) -> tuple[str, date | None]:
        """What answers, and the first whole day (UTC) on which it did; ("base", None) before the first release."""
        name, since = NONE, None
        for move in self.back(variant):
            if since is not None and move.id != name:
                break
            name, since = move.id, datetime.fromisoformat(move.created).date() + timedelta(days=1)
        return name, since


def damaged(name: str, problem: str) -> CorruptState:
    """A file of the releases that is not what was written there."""
    return CorruptState(
        f"{name} in the lake is damaged ({problem})",
        expected="what Twohands wrote there, which is never changed",
        next_step="restore the folder serving/ of the lake from a backup; a pointer alone can be mended by writing the "
        "name of the newest file of moves/ (without .json) into it",
    )


def _parsed(text: str) -> Move:
    row = json.loads(text)
    held: Mapping[str, object] | None = row.pop("release")
    return Move(**row, release=Release(**held) if held else None)  # type: ignore[arg-type]


def _pointer(variant: str) -> str:
    return f"{FOLDER}/{variant}/pointer"


def _file(variant: str, name: str) -> str:
    return f"{FOLDER}/{variant}/moves/{name}.json"
