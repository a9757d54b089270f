"""What a variant is served from at this moment, without a restart and without hashing every file for every question.

The pointer is read for each question. Files are hashed again when the pointer moved, or when a file of the base or of
an adapter is not the one that was looked at: another size, time of change or inode.

pointer and files                                    served                                      problems
as before                                            as before                                   as before
moved, files intact, prompts are ours                the release that it names                   none
files differ from what was released, or they were    the newest intact release below it, or the  what differs
made for prompts that this version does not write    base alone
pointer or its history damaged, served before        what was served before                      the damage
pointer or its history damaged, never served         CorruptState
nothing released yet                                 the base alone                              none
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

from assets.errors import CorruptState, ModelError
from assets.prompting import Template
from assets.serving.release import NONE, Move, Release
from assets.serving.releases import Releases, template_of

Marks = tuple[tuple[str, int, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Current:
    """What answers: the release, its base, adapter and prompt by their ids, the adapter's folder (None: the base
    alone), the template of its prompts, and what is wrong with newer releases. `usual` holds keys of facts that its
    manner states whatever the question."""

    release_id: str
    base: str
    adapter: str
    folder: Path | None
    template: Template
    problems: tuple[str, ...] = ()
    usual: frozenset[str] = frozenset()

    @property
    def prompt(self) -> str:
        """The template's name and version, as releases note it."""
        return f"{self.template.name}@{self.template.version}"


@dataclass(frozen=True, slots=True)
class _Held:
    name: str
    marks: Mapping[Path, Marks]
    current: Current = field(repr=False)


class Watch:
    """The release of each variant, as it is now; of one instance for all threads.

    `base` gives the id of the configured base, `template` is what is shown to it where nothing is released, `usual` the
    facts of a released adapter's manner. `files`: False where another machine holds the models, so that the files here
    decide nothing.
    """

    def __init__(
        self,
        releases: Releases,
        *,
        base: Callable[[], str],
        template: Template,
        usual: Callable[[str, str], frozenset[str]] = lambda variant, adapter: frozenset(),  # noqa: ARG005
        files: bool = True,
    ) -> None:
        self._releases, self._base, self._template = releases, base, template
        self._usual, self._files = usual, files
        self._held: dict[str, _Held] = {}
        self._locks: dict[str, Lock] = {}

    def current(self, variant: str) -> Current:
        """What answers now; see the table above."""
        held = self._held.get(variant)
        try:
            move = self._releases.moves.now(variant)
            name = move.name if move else ""
            if held is not None and self._same(held, name):
                return held.current
            with self._locks.setdefault(variant, Lock()):
                held = self._held.get(variant)
                if held is None or not self._same(held, name):
                    held = self._held[variant] = self._looked(variant, name, move)
            return held.current
        except CorruptState as error:
            if held is None:
                raise
            return replace(held.current, problems=(*held.current.problems, str(error)))

    def _same(self, held: _Held, name: str) -> bool:
        return held.name == name and all(marks(folder) == was for folder, was in held.marks.items())

    def _looked(self, variant: str, name: str, move: Move | None) -> _Held:
        seen: dict[Path, Marks] = {}
        if move is not None and move.release is not None:
            self._note(move.release, seen)

        def check(release: Release) -> None:
            self._note(release, seen)
            if self._files:
                self._releases.verify(release)
            else:
                template_of(release)

        served = self._releases.served(variant, check)
        release = served.move.release if served.move else None
        if release is None:
            current = Current(NONE, self._base(), "", None, self._template, served.problems)
        else:
            folder = self._releases.folders(release)[1] if release.adapter else None
            usual = self._usual(variant, release.adapter) if release.adapter else frozenset()
            template = template_of(release)
            current = Current(release.id, release.base, release.adapter, folder, template, served.problems, usual)
        return _Held(name, seen, current)

    def _note(self, release: Release, seen: dict[Path, Marks]) -> None:
        """Before a folder is read: what changes while it is being hashed is looked at again."""
        try:
            folders = self._releases.folders(release) if self._files else ()
        except ModelError:
            return  # it has no place; verifying says so
        for folder in folders:
            if folder is not None:
                seen.setdefault(folder, marks(folder))


def marks(folder: Path) -> Marks:
    """Name, size, times and inode of every file; empty where there is no folder."""
    found = []
    for path in sorted(folder.rglob("*")):
        try:
            said = path.stat()
        except OSError:
            continue
        found.append((path.as_posix(), said.st_size, said.st_mtime_ns, said.st_ctime_ns, said.st_ino))
    return tuple(found)
