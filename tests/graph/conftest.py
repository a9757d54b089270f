from __future__ import annotations

from pathlib import Path

import pytest

from assets.behavior.marts.assets import Project
from assets.knowledge.pipeline import FastHand, SliceSpec
from orchestration.assembly_behavior import project as parsed
from orchestration.config import load
from orchestration.definitions import build
from orchestration.engines.lake import open_lake
from orchestration.engines.lancedb_index import LanceIndex
from tests.fakes import HashEncoder, MemorySource, PlainParser, WordTokenizer


class Graph:
    """The real definitions over stand-in engines: two slices, `docs` and `notes`."""

    def __init__(self, home: Path, project: Project) -> None:
        self.sources = {
            "docs": MemorySource({"a.md": "# Alpha\n\nAll about alpha.", "b.md": "# Bravo\n\nAll about bravo."}),
            "notes": MemorySource({"c.md": "# Charlie\n\nAll about charlie."}),
        }
        self.golden: list = []
        self.encoder = HashEncoder()
        config = home / "twohands.toml"
        config.write_text(
            '[sources.docs]\nurl = "docs"\n[sources.notes]\nurl = "notes"\n[automation]\nretry_seconds = 0\n'
        )
        self.settings = load(str(config), str(home / "home"))
        self.hand = FastHand(
            slices=[SliceSpec(name, name) for name in self.sources],
            source=lambda name: self.sources[name],
            lake=open_lake(str(home / "lake"), locks=home / "locks"),
            index=LanceIndex(str(home / "index")),
            encoder=self.encoder,
            tokenizer=WordTokenizer(),
            parser=PlainParser(),
            golden=lambda: self.golden,
        )
        self.defs = build(self.settings, self.hand, project=project)

    def run(self, instance, slice: str, job: str = "sync_slices"):
        return self.defs.resolve_job_def(job).execute_in_process(
            instance=instance, partition_key=slice, raise_on_error=False
        )


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """The dbt project, parsed once for all tests."""
    home = tmp_path_factory.mktemp("dbt")
    (home / "twohands.toml").write_text('[sources.docs]\nurl = "docs"\n')
    return parsed(load(str(home / "twohands.toml"), str(home / "home")))


@pytest.fixture
def graph(tmp_path, project):
    return Graph(tmp_path, project)
