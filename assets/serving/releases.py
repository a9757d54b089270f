"""Promoting and rolling back: who may, what is verified, and what is served when a folder was tampered with.

One check decides whether a release may answer, wherever that is asked: its prompts are written by this version of
Twohands, and its files are those that were released.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from assets.errors import Final, GateRefused, ModelError
from assets.ports import Lake
from assets.prompting import TEMPLATES, Template
from assets.serving import candidates, files
from assets.serving.candidates import Candidate
from assets.serving.release import NONE, Move, Moves, Release, UnknownRelease

LOCK_SECONDS = 120.0


class NothingBefore(Final):
    """There is nothing to roll back to."""


@dataclass(frozen=True, slots=True)
class Served:
    """What is to be served: the newest release that may answer, and what is wrong with newer ones."""

    move: Move | None
    problems: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The id of what answers."""
        return self.move.id if self.move else NONE


class Releases:
    """The releases of every variant. `base` and `adapter` give the folders of a release; they raise ModelError where
    there can be none."""

    def __init__(
        self,
        lake: Lake,
        *,
        base: Callable[[Release], Path],
        adapter: Callable[[Release], Path],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.lake, self.moves = lake, Moves(lake)
        self._base, self._adapter, self._now = base, adapter, now

    # ------------------------------------------------------------------------------------------------ candidates

    def propose(
        self, variant: str, release: Release, *, promoted: bool, sentence: str, against: str, evaluation: str = ""
    ) -> Candidate:
        """Notes what was evaluated, and what the gate said of it; hashes the files that the release does not hash yet.

        `against` is the id of what the candidate was compared with.
        """
        made = self.sealed(release)
        at = self._now().isoformat(timespec="seconds")
        candidate = Candidate(made, promoted, sentence, against, at, evaluation)
        candidates.save(self.lake, variant, candidate)
        return candidate

    def sealed(self, release: Release) -> Release:
        """A release with the hashes of its files as they are now, where it has none."""
        base = release.base_files or files.hashed(self._base(release), "base")
        tuned = release.adapter_files
        if release.adapter and not tuned:
            tuned = files.hashed(self._adapter(release), "adapter")
        return replace(release, base_files=base, adapter_files=tuned)

    # ------------------------------------------------------------------------------------------------ moving

    def promote(self, variant: str, id: str, *, why: str, by: str, force: bool = False) -> Move:
        """Makes a candidate, or a release of the past, the one that answers; returns the move that is in force.

        GateRefused where the gate refused it, or compared it with something that is not served any more (`force`
        overrides both, and is noted); ModelError where its prompts or files are not those that were evaluated. The
        former release stays in force then, and whenever anything else fails.
        """
        with self._locked(variant):
            current = self.moves.now(variant)
            if current is not None and current.id == id:
                if current.release is not None:
                    self.verify(current.release)  # it does not answer where prompts or files are others
                return current
            release, gate, forced = self._chosen(variant, id, current, force)
            self.verify(release)
            move = self._move(current, "promote", release, why, by)
            return self.moves.append(
                variant, replace(move, below=current.name if current else "", gate=gate, forced=forced)
            )

    def rollback(self, variant: str, *, why: str, by: str, to: str = "") -> Move:
        """Goes back to the release before the one in force (or to `to`, an id); returns the move.

        NothingBefore where nothing was released or `to` is in force, UnknownRelease for an id that never was,
        ModelError where prompts or files of that release are no longer what they were. The one in force stays then.
        """
        with self._locked(variant):
            current = self.moves.now(variant)
            if current is None or current.release is None or current.id == to:
                raise NothingBefore(
                    f"variant {variant!r} cannot be rolled back{f' to {to}' if to else ''}: {_says(current)}",
                    expected="a release in force, and another one before it",
                    next_step="`twohands releases` shows the history",
                )
            target = self._before(variant, current, to)
            if target is not None and target.release is not None:
                self.verify(target.release)
            move = self._move(current, "rollback", target.release if target else None, why, by)
            return self.moves.append(variant, replace(move, below=target.below if target else ""))

    def follow(self, variant: str, *, why: str, by: str) -> Move | None:
        """Promotes the newest candidate if the gate passed it and it was never in force; returns what is in force.

        What a person rolled back from is therefore not promoted again.
        """
        newest = next(iter(candidates.all_of(self.lake, variant)), None)
        current = self.moves.now(variant)
        if newest is None or not newest.promoted or newest.against != self._rival(variant, newest, current):
            return current
        if any(move.id == newest.id for move in self.moves.back(variant)):
            return current
        return self.promote(variant, newest.id, why=why or newest.sentence, by=by)

    # ------------------------------------------------------------------------------------------------ reading

    def verify(self, release: Release) -> None:
        """ModelError where prompts, base or adapter are not what was released."""
        template_of(release)
        files.verify(self._base(release), release.base_files, "base")
        self.verify_adapter(release)

    def verify_adapter(self, release: Release) -> None:
        """The same of the adapter alone, which is small."""
        if release.adapter:
            files.verify(self._adapter(release), release.adapter_files, "adapter")

    def folders(self, release: Release) -> tuple[Path, Path | None]:
        """Where base and adapter of a release lie (no adapter: None); ModelError where there can be none."""
        return self._base(release), self._adapter(release) if release.adapter else None

    def served(self, variant: str, check: Callable[[Release], None] | None = None) -> Served:
        """What is to be loaded now: the release in force, or the newest one below it that may answer.

        `check` raises ModelError for a release that may not; by default it is `verify`.
        """
        move, problems = self.moves.now(variant), []
        while move is not None and move.release is not None:
            try:
                (check or self.verify)(move.release)
                break
            except ModelError as error:
                problems.append(f"{move.id}: {error}")
                move = self.moves.read(variant, move.below) if move.below else None
        return Served(move, tuple(problems))

    # ------------------------------------------------------------------------------------------------ plumbing

    def _locked(self, variant: str) -> AbstractContextManager[object]:
        return self.lake.lock(f"release-{variant}", LOCK_SECONDS)

    def _move(self, current: Move | None, action: str, release: Release | None, why: str, by: str) -> Move:
        at = self._now().astimezone(UTC).isoformat(timespec="milliseconds")
        number, former = (current.number + 1, current.name) if current else (1, "")
        return Move(number, action, release, at, why, by, former)

    def _chosen(self, variant: str, id: str, current: Move | None, force: bool) -> tuple[Release, str, bool]:
        past = next((move for move in self.moves.back(variant) if move.id == id and move.release), None)
        if past is not None and past.release is not None:
            return past.release, "released before", False
        found = candidates.load(self.lake, variant, id)
        if found is None:
            known = [one.id for one in candidates.all_of(self.lake, variant)[:5]]
            raise UnknownRelease(
                f"variant {variant!r} has no release and no candidate {id!r}",
                expected=f"one of {', '.join(known)}" if known else "a candidate that was evaluated; there is none yet",
                next_step="`twohands releases` lists releases and candidates",
            )
        serves = self._rival(variant, found, current)
        problem = "" if found.promoted else f"the gate refused it: {found.sentence}"
        if not problem and found.against != serves:
            problem = f"it was compared with {found.against}, and {serves} is served now"
        if problem and not force:
            raise GateRefused(
                f"release {id} of variant {variant!r} is not promoted: {problem}",
                expected=f"a candidate that the gate passed against {serves}",
                next_step="evaluate it again, or override the gate (--force --why TEXT, which the history keeps)",
            )
        return found.release, found.sentence, bool(problem)

    def _rival(self, variant: str, candidate: Candidate, current: Move | None) -> str:
        """The id that a candidate has to have been compared with: what is in force, or what answers in its place."""
        in_force = current.id if current else NONE
        return in_force if candidate.against == in_force else self.served(variant).id

    def _before(self, variant: str, current: Move, to: str) -> Move | None:
        """The move to go back to; None for the base alone."""
        if not to:
            return self.moves.read(variant, current.below) if current.below else None
        if to == NONE:
            return None
        found = next((move for move in self.moves.back(variant) if move.id == to), None)
        if found is None:
            raise UnknownRelease(
                f"variant {variant!r} was never served from {to!r}",
                expected="the id of a release of the past, or base",
                next_step="`twohands releases` shows the history",
            )
        return found


def template_of(release: Release) -> Template:
    """The template of a release's prompts; ModelError where this version of Twohands writes other ones."""
    name, _, version = release.prompt.partition("@")
    found = TEMPLATES.get(name)
    if found is None or found.version != version:
        ours = f"{found.name}@{found.version}" if found else f"templates {', '.join(TEMPLATES)}"
        raise ModelError(
            f"it was made for the prompts {release.prompt}, and this version of Twohands writes {ours}",
            expected="the prompts that it was trained and evaluated with",
            next_step="fine-tune again, or go back to the version of Twohands that released it",
        )
    return found


def _says(current: Move | None) -> str:
    if current is None:
        return "nothing was released yet"
    return "the base alone answers" if current.release is None else f"{current.id} is in force"
