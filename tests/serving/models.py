"""Folders that look like models, and releases of them, for tests of serving."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from assets.ports import Lake
from assets.prompting import TEMPLATES
from assets.serving.release import Release
from assets.serving.releases import Releases

PROMPT = f"evidence@{TEMPLATES['evidence'].version}"
START = datetime(2026, 11, 5, 12, tzinfo=UTC)


class House:
    """A lake with a base and adapters beside it; every look at the clock is an hour later."""

    def __init__(self, folder: Path, lake: Lake) -> None:
        self.folder, self.lake, self.hours = folder, lake, 0
        self.base = folder / "base"
        if not self.base.exists():
            write(self.base, "base weights")
        self.releases = Releases(lake, base=lambda _: self.base, adapter=self.adapter, now=self.now)

    def now(self) -> datetime:
        self.hours += 1
        return START + timedelta(hours=self.hours)

    def adapter(self, release: Release) -> Path:
        return self.folder / "adapters" / release.adapter

    def propose(self, adapter: str, *, promoted: bool = True, against: str | None = None, prompt: str = PROMPT) -> str:
        """The id of a candidate with this adapter, which the gate compared with what is in force."""
        release = Release("b1", adapter, prompt, "encoder", "index-7")
        if not self.adapter(release).exists():
            write(self.adapter(release), f"weights of {adapter}")
        in_force = self.releases.moves.now("main")
        than = against or (in_force.id if in_force else "base")
        said = "Promote: better." if promoted else "Refuse: less right."
        return self.releases.propose("main", release, promoted=promoted, sentence=said, against=than).id

    def promote(self, adapter: str, **options) -> str:
        return self.releases.promote("main", self.propose(adapter), why=f"{adapter} is better", by="ann", **options).id


def other_prompts(patch: pytest.MonkeyPatch) -> str:
    """From now on this version of Twohands writes other prompts; their name and version."""
    changed = replace(TEMPLATES["evidence"], separator="\n--\n")
    patch.setitem(cast(Any, TEMPLATES), "evidence", changed)
    return f"evidence@{changed.version}"


def write(folder: Path, weights: str) -> None:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text(weights)
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text("a card")
