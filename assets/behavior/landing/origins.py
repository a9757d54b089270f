"""Where interactions come from: the landing folder, logs in the warehouse, the server's journal; one or more of them.

They are looked at one after the other, and one that cannot be looked at keeps nobody from reading the others.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import date

from assets.behavior.landing.served import Served
from assets.errors import SourceBusy, TwohandsError
from assets.ports import DayLogs, Listing, Progress, Refusal, Source, SourceFile

FOLDER, LOGS, JOURNAL = "the landing folder", "the warehouse's log table", "the server's journal"


@dataclass(slots=True)
class Seen:
    """What one pass met: files that may not be handed over, origins that could not be looked at, busy files."""

    refused: dict[str, Refusal] = field(default_factory=dict)
    problems: dict[str, TwohandsError] = field(default_factory=dict)
    busy: int = 0


class Origins:
    """The origins that there are."""

    def __init__(self, folder: Source | None, logs: DayLogs | None, served: Served | None = None) -> None:
        self._folder, self._logs, self._served = folder, logs, served

    def owns(self, path: str) -> bool:
        """Whether a path is a day of the warehouse's logs."""
        return self._logs is not None and path.startswith(self._logs.prefix)

    def files(
        self,
        seen: Seen,
        wants: Callable[[SourceFile], bool],
        known: Mapping[str, str],
        days: Sequence[date] | None,
        progress: Progress | None,
    ) -> Generator[tuple[SourceFile, bytes], None, None]:
        """Every file that is wanted, with its bytes; one that changes while it is read is left out, and counted.

        `known` and `days` are as for `DayLogs.look`. Raises the error of the first origin when none can be looked at.
        """
        for name, opened in self._opened(known, days):
            try:
                with opened() as source:
                    listing = source.list()
                    seen.refused.update(listing.refused)
                    chosen = [file for file in listing.files if wants(file)]
                    for number, file in enumerate(chosen, start=1):
                        try:
                            data = source.read(file)
                        except SourceBusy:
                            seen.busy += 1
                            continue
                        yield file, data
                        del data
                        if progress:
                            progress("reading interactions", number, len(chosen))
            except TwohandsError as error:  # of the origin: what its reader raises does not come in here
                seen.problems[name] = error
        self._raise_if_all(seen.problems)

    def glance(self, known: Mapping[str, str]) -> tuple[list[SourceFile], dict[str, TwohandsError]]:
        """The files that are there, and what could not be looked at; waits for nobody.

        Where the logs want more than to be listed, a file stands for that which nobody has ever read.
        """
        files: list[SourceFile] = []
        problems: dict[str, TwohandsError] = {}
        for name, look in self._glances(known):
            try:
                listing = look()
            except TwohandsError as error:
                problems[name] = error
                continue
            files += listing.files if listing else [SourceFile(f"{self._prefix}look", 0, "")]
        self._raise_if_all(problems)
        return files, problems

    def looked(self, seen: Seen) -> None:
        """What a pass has seen is committed."""
        if self._logs is not None and LOGS not in seen.problems:
            self._logs.looked()

    @property
    def _prefix(self) -> str:
        return self._logs.prefix if self._logs else ""

    def _opened(
        self, known: Mapping[str, str], days: Sequence[date] | None
    ) -> Iterator[tuple[str, Callable[[], AbstractContextManager[Source]]]]:
        logs = self._logs
        for name, folder in self._folders():
            yield name, lambda folder=folder: nullcontext(folder)
        if logs is not None:
            yield LOGS, lambda: logs.look(known, days)

    def _glances(self, known: Mapping[str, str]) -> Iterator[tuple[str, Callable[[], Listing | None]]]:
        logs = self._logs
        for name, folder in self._folders():
            yield name, folder.list
        if logs is not None:
            yield LOGS, lambda: logs.glance(known)

    def _folders(self) -> Iterator[tuple[str, Source]]:
        if self._folder is not None:
            yield FOLDER, self._folder
        if self._served is not None and self._served.there:
            yield JOURNAL, self._served

    def _raise_if_all(self, problems: Mapping[str, TwohandsError]) -> None:
        if problems and len(problems) >= len([*self._folders()]) + (self._logs is not None):
            raise next(iter(problems.values()))
