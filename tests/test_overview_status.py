"""`twohands status` of a home where nothing has happened yet, of one with everything, and of a damaged one."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from assets.behavior.adapter.identity import base_id
from assets.behavior.adapter.store import MANIFEST, WEIGHTS, Adapters
from assets.deployment.overview import metadata
from assets.serving.release import Release
from orchestration.assembly import open_the_lake
from orchestration.assembly_adapter import base
from orchestration.assembly_serving import releases
from orchestration.config import load
from orchestration.overview_status import text
from tests.behavior.adapter import made as adapters
from tests.decision.house import CHANGE, House, shifted
from tests.serving.models import other_prompts
from tests.test_cli import Project
from tests.test_cli_behavior import event

BUNDLED = Path(__file__).resolve().parents[1] / "models" / "tiny-reader"
SETTINGS = f'[behavior]\nlanding = "landing"\n[base]\nmodel = "{BUNDLED}"\n'


def project(folder: Path) -> Project:
    made = Project(folder)
    made.configure(SETTINGS)
    (made.folder / "landing").mkdir()
    return made


def test_home_without_anything_says_what_is_not_there_yet(tmp_path):
    made = project(tmp_path)
    lines = made.run("status")[1].splitlines()
    assert lines[:5] == [
        "index: lancedb, version none yet, 0 passages",
        "docs: 0 documents, 0 passages, 0 refused; not published yet",
        "interactions: none yet",
        "main: no verdict yet",
        "main: no adapter yet; the base alone answers",
    ]
    assert lines[5].endswith(": 0.00 of 500.00 EUR, 0 fine-tunes")
    found = made.json("status")
    [main] = found["variants"]
    assert (main["verdict"], main["evidence"], main["adapters"]["release"]) == (None, None, "base")
    assert (main["adapters"]["since"], main["adapters"]["age_days"]) == (None, None)
    shown = metadata(found, text(found))
    assert "main_M_of_threshold" not in shown  # there is none, which is another thing than 0


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A synced index and a refused file, logs and a bad line, a verdict, an adapter that was released 3 days ago."""
    made = project(tmp_path_factory.mktemp("everything"))
    made.write("empty.md", "")
    assert made.run("sync")[0] == 0
    (made.folder / "landing" / "a.jsonl").write_text(json.dumps(event(1)) + "\nnot json\n")
    made.json("ingest")
    settings = load(str(made.folder / "twohands.toml"))
    lake, now = open_the_lake(settings), base(settings)
    House(settings.home, shifted()).judge(CHANGE + 2)
    one = adapters.adapter(base=base_id(now.files), base_files=now.files, template=now.template)
    Adapters(settings.home / "adapters").publish(
        adapters.saved(made.folder / "scratch", base_model_name_or_path=one.base), one
    )
    found = releases(settings, lake)
    found._now = lambda: datetime.now(UTC) - timedelta(days=3)
    release = Release(one.base, one.id, f"evidence@{one.template}")
    id = found.propose("main", release, promoted=True, sentence="Better.", against="base").id
    found.promote("main", id, why="better", by="a test")
    return made, one.id, id


def test_home_with_everything_says_how_each_part_is(everything):
    made, adapter, release = everything
    found = made.json("status")
    [slice], [main] = found["slices"], found["variants"]
    assert (slice["rejected"], slice["published"], found["behavior"]["quarantined"]) == (1, True, 1)
    evidence = main["evidence"]
    assert evidence["M_of_threshold"] == pytest.approx(evidence["M"] / evidence["threshold"])
    assert evidence["M_of_threshold"] > 1
    tuned = main["adapters"]
    assert (tuned["release"], tuned["released"], tuned["retired"]) == (release, adapter, {})
    assert tuned["age_days"] == pytest.approx(3, abs=0.1)
    assert (tuned["served"], tuned["problems"]) == (release, [])
    said = made.run("status")[1]
    for part in ("1 refused; up to date", "1 line quarantined", f"main: {main['verdict']['action']} as of",
                 f"main: 1 adapter; {adapter} answers since {tuned['since'][:10]} ({release})"):  # fmt: skip
        assert part in said, part


def test_numbers_of_the_overview_are_those_of_status(everything):
    made, _, _ = everything
    found = made.json("status")
    shown = metadata(found, text(found))
    [main] = found["variants"]
    assert shown["refused_files"] == shown["quarantined_lines"] == 1
    assert shown["main_M_of_threshold"] == main["evidence"]["M_of_threshold"]
    assert shown["main_adapter_age_days"] == pytest.approx(3, abs=0.1)
    assert shown["passages"] == found["index"]["passages"] > 0
    assert 0 <= shown["hours_since_oldest_sync"] < 1
    long_ago = {**found, "slices": [{**found["slices"][0], "synced": "2020-01-01T00:00:00+00:00"}, *found["slices"]]}
    assert metadata(long_ago, "")["hours_since_oldest_sync"] > 50_000
    assert all(line in shown["status"] for line in ("- `index: lancedb", "- `spend: "))


TAMPERED = {
    "another weight": lambda folder: (folder / WEIGHTS).write_bytes(b"evil"),
    "a file less": lambda folder: (folder / WEIGHTS).unlink(),
    "no manifest": lambda folder: (folder / MANIFEST).unlink(),
    "gone": lambda folder: folder.rename(folder.parent.parent / "elsewhere"),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_released_adapter_that_was_tampered_with_is_never_said_to_answer(everything, tmp_path, how):
    made, adapter, release = everything
    folder = made.folder / ".twohands" / "adapters" / adapter
    shutil.copytree(folder, tmp_path / "whole")
    TAMPERED[how](folder)
    try:
        shown, tuned = made.json("releases"), made.json("status")["variants"][0]["adapters"]
        said = next(line for line in made.run("status")[1].splitlines() if "in force" in line)
        doctor = json.loads(made.run("doctor", "--json")[1])
        [check] = [row for row in doctor["checks"] if row["name"] == "adapters main"]
        made.configure(SETTINGS + '[generator]\nengine = "openai"\nurl = "http://127.0.0.1:1/v1"\nmodel = "m"\n')
        apart = made.json("status")["variants"][0]["adapters"]
    finally:
        made.configure(SETTINGS)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "whole", folder)
    assert tuned["problems"] == shown["problems"] != []
    assert (tuned["release"], tuned["released"], tuned["age_days"]) == (release, adapter, None)
    assert (tuned["served"], tuned["since"]) == (shown["served"], shown["since"]) == ("base", shown["since"])
    assert f"{adapter} has been in force since {tuned['since'][:10]} ({release})" in said
    assert f"served from base meanwhile: {release}: The adapter" in said
    assert (doctor["ok"], check["ok"]) == (False, False)
    assert "served from base meanwhile" in check["detail"]
    assert "Next: restore" in check["detail"]
    assert (apart["served"], apart["problems"]) == (release, []), "another machine holds the models"


def test_released_adapter_of_other_prompts_is_never_said_to_answer(everything, monkeypatch):
    made, adapter, release = everything
    prompts = other_prompts(monkeypatch)
    shown, tuned = made.json("releases"), made.json("status")["variants"][0]["adapters"]
    made.configure(SETTINGS + '[generator]\nengine = "openai"\nurl = "http://127.0.0.1:1/v1"\nmodel = "m"\n')
    try:
        apart = made.json("status")["variants"][0]["adapters"]
    finally:
        made.configure(SETTINGS)
    for found in (tuned, apart):  # the prompts are written here, whoever holds the models
        assert (found["release"], found["served"], found["problems"]) == (release, "base", shown["problems"])
        assert f"this version of Twohands writes {prompts}" in found["problems"][0]
    assert "made for prompts" in tuned["retired"][adapter]
    said = next(line for line in made.run("status")[1].splitlines() if "in force" in line)
    assert f"served from base meanwhile: {release}: it was made for the prompts" in said
    doctor = json.loads(made.run("doctor", "--json")[1])
    [check] = [row for row in doctor["checks"] if row["name"] == "adapters main"]
    assert (check["ok"], "was made for prompts" in check["detail"]) == (False, True)


def test_index_that_cannot_be_read_hides_no_other_part(tmp_path):
    made = project(tmp_path)
    made.configure(SETTINGS + '[index]\nengine = "weaviate"\nurl = "http://127.0.0.1:1"\ngrpc_port = 1\n')
    found = made.json("status")
    assert "error" in found["index"]
    assert found["spend"]["spent"] == 0
    lines = made.run("status")[1].splitlines()
    assert lines[0].startswith("index: ")
    assert "main: no verdict yet" in lines
    assert "passages" not in metadata(found, text(found))
