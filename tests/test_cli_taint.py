"""`twohands taint` on a project: what it prints, and how it ends."""

from __future__ import annotations

import json

import pytest

from assets.behavior.adapter.store import Adapters
from assets.behavior.dataset import store
from assets.behavior.dataset.rows import Example
from assets.serving.release import Release
from orchestration.assembly import open_the_lake
from orchestration.assembly_serving import base_folder, releases
from orchestration.config import load
from tests.behavior.adapter import made
from tests.serving.models import PROMPT, write
from tests.test_cli import Project
from tests.test_cli_behavior import DAY


@pytest.fixture
def project(tmp_path) -> Project:
    """Two rows whose interactions are gone, an adapter that learned one of them and answers."""
    found = Project(tmp_path)
    found.configure('[base]\nmodel = "base"\n[variants.main]\nmax_tainted_share = 0.2\n[variants.other]\n')
    settings = load(str(found.folder / "twohands.toml"))
    lake = open_the_lake(settings)
    chat = ({"role": "user", "content": "When?"}, {"role": "assistant", "content": "At seven."})
    rows = [
        Example(chat, (f"i{n}",), "t", "accepted", "accepted", DAY, "g", split, "When?", "At seven.", origin="0")
        for n, split in enumerate(("train", "test"))
    ]
    manifest = store.write(lake, "main", rows, [], request="r", frozen="f.parquet", made_of={}, card={})
    told = made.adapter(dataset=manifest.digest, content=manifest.content)
    Adapters(settings.home / "adapters").publish(made.saved(tmp_path / "scratch"), told)
    write(base_folder(settings), "weights")
    serving = releases(settings, lake)
    release = Release("b", told.id, PROMPT)
    id = serving.propose("main", release, promoted=True, sentence="Better.", against="base").id
    serving.promote("main", id, why="better", by="a test")
    return found


def test_taint_tells_of_every_variant_in_words_and_numbers(project):
    code, out, _ = project.run("taint", "--json")
    main, other = json.loads(out)["variants"]
    assert (code, main["limit"], other["limit"]) == (0, 0.2, 0.05)
    assert (other["adapters"], other["said"]) == ([], "The base alone answers.")
    [adapter], [dataset] = main["adapters"], main["datasets"]
    assert (adapter["rows"], adapter["touched"], adapter["share"], adapter["released"]) == (1, 1, 1.0, True)
    assert (dataset["by_reason"], dataset["ids"]) == ({"deleted": 2}, {"deleted": ["i0", "i1"]})
    code, out, _ = project.run("taint", "--variant", "main")
    assert code == 0
    assert "100.0% of the 1 rows that adapter" in out
    assert "the limit is 20.0%; more than the limit, so a fine-tune is proposed" in out
    assert "deleted (deleted, or moved to another day): i0, i1" in out
    code, _, err = project.run("taint", "--variant", "nobody")
    assert (code, "Valid variants are: main, other" in err) == (2, True)
