"""The server's journal in the home, where the landing folder is none of this machine: one more origin of events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from assets.ports import Listing, Source, SourceFile

PREFIX = "$TWOHANDS_HOME/served/"  # no path of a landing folder: a copy of a journal's file there is another file


@dataclass(frozen=True, slots=True)
class Served:
    """A `Source` over the journal's folder, with its files under a name of their own. The folder may not be there yet:
    nothing was ever served."""

    folder: Path
    files: Source

    @property
    def there(self) -> bool:
        """Whether there is a journal."""
        return self.folder.is_dir()

    def list(self) -> Listing:
        """The journal's files, those that are still written among them. Errors as of `Source`."""
        found = self.files.list()
        return replace(
            found,
            files=tuple(replace(file, path=PREFIX + file.path) for file in found.files),
            refused={PREFIX + path: refusal for path, refusal in found.refused.items()},
        )

    def read(self, file: SourceFile) -> bytes:
        """As of `Source`."""
        return self.files.read(replace(file, path=file.path.removeprefix(PREFIX)))
