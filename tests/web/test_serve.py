"""`twohands serve` over a real index and the bundled base: asked, corrected, re-indexed under it, ingested."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from assets.behavior.landing import erased
from assets.serving.answers import Asker
from assets.serving.questions import Access as Reading
from orchestration.assembly import fast_hand, open_the_lake
from orchestration.assembly_behavior import journal_folder
from orchestration.assembly_serving import releases
from orchestration.assembly_web import Shelf
from orchestration.cli import cli
from orchestration.config import load
from tests.web.server import Client, Server

ROOT = Path(__file__).resolve().parent.parent.parent
TOML = f"""[sources.docs]
url = "docs"
metadata = {{ audience = "all" }}
[sources.board]
url = "board"
metadata = {{ audience = "board" }}
[base]
model = "{ROOT / "models" / "tiny-reader"}"
[behavior]
landing = "interactions"
"""


def run(folder: Path, *words: str) -> dict:
    done = CliRunner().invoke(
        cli, ["--config", str(folder / "twohands.toml"), "--home", str(folder / "home"), *words, "--json"]
    )
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("house")
    (folder / "docs").mkdir()
    (folder / "board").mkdir()
    (folder / "docs" / "ferry.md").write_text("# Ferry\n\nThe ferry leaves at seven.\n")
    (folder / "board" / "plans.md").write_text(
        "---\ndate: 2026-03-04\n---\n# Plans\n\nThe bakery will be sold in May.\n"
    )
    (folder / "twohands.toml").write_text(TOML)
    run(folder, "sync")
    return folder


class Served(Server):
    """The real command, started as its keeper does: by a process without which it ends."""

    def start(self, **environment: str) -> None:
        command = ["-m", "orchestration", "--config", str(self.folder / "twohands.toml"), "--home",
                   str(self.folder / "home"), "serve", "--port", str(self.port)]  # fmt: skip
        keeper = (
            "import os, subprocess, sys; os.environ['TWOHANDS_KEEPER'] = str(os.getpid()); "
            "subprocess.Popen([sys.executable, *sys.argv[1:]], stdin=subprocess.PIPE).wait()"
        )
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", keeper, *command], cwd=ROOT, stdout=log, stderr=log,
                env={**os.environ, **environment},
            )  # fmt: skip
        self.up()


@pytest.fixture(scope="module")
def served(house):
    made = Served(house)
    made.start()
    yield made
    made.kill()


def test_answer_follows_the_documents_and_feedback_is_ingested(house, served):
    client = Client(served.port)
    status, told = client.ask("When does the ferry leave?")
    assert status == 200, told
    ours = told["twohands"]
    assert ours["answer"] == "The ferry leaves at seven. [1]"
    assert told["usage"]["completion_tokens"] >= 5, "a token a word, at least"
    [cited] = ours["citations"]
    shown = client.get(f"/v1/passages/{cited['chunk_id']}")[1]
    assert (shown["doc_id"], shown["title"], shown["index"]) == ("docs/ferry.md", "Ferry", ours["stamp"]["index"])
    assert len(shown["version"]) == 12
    assert shown["date"] == time.strftime("%Y-%m-%d", time.gmtime((house / "docs" / "ferry.md").stat().st_mtime))

    (house / "docs" / "ferry.md").write_text("# Ferry\n\nThe ferry leaves at half past nine.\n")
    run(house, "sync")
    client = Client(served.port)  # a busy machine takes longer for that than a connection is kept
    assert "half past nine" in client.ask("When does the ferry leave?")[1]["twohands"]["answer"]
    assert client.get(f"/v1/passages/{cited['chunk_id']}")[0] == 404, "it is not published any more"

    correction = {"id": told["id"], "feedback": "down", "corrected_response": "At seven."}
    assert client.post("/v1/feedback", correction)[0] == 200
    report = run(house, "ingest")
    assert (report["accepted"], report["quarantined"]) == (3, 0)
    assert report["corrected"] == 1


def test_server_hears_of_an_erasure_while_it_runs(house, served):
    client = Client(served.port)
    id = client.ask("When does the ferry leave?")[1]["id"]
    erased.add(open_the_lake(load(str(house / "twohands.toml"), str(house / "home"))), [id])
    until = time.monotonic() + 15
    while (said := client.post("/v1/feedback", {"id": id, "feedback": "up"}))[0] == 200:  # it looks every two seconds
        assert time.monotonic() < until
        time.sleep(0.1)
    assert (said[0], said[1]["error"]["code"]) == (410, "erased")


def test_question_that_nothing_answers_is_declined(served):
    ours = Client(served.port).ask("Who won the chess championship in 1972?")[1]["twohands"]
    assert ours["refused"]
    assert ours["citations"] == []


def test_shelf_shows_a_passage_to_those_who_may_read_it(house):
    settings = load(str(house / "twohands.toml"), str(house / "home"))
    hand = fast_hand(settings)
    shelf = Shelf(hand, releases(settings, hand.lake), Reading())
    [plans] = [p for p in hand.vector_index.published().passages() if p.doc_id == "board/plans.md"]
    for groups, may in ((None, True), (frozenset({"board"}), True), (frozenset(), False), (frozenset({"all"}), False)):
        found = shelf.passage(plans.chunk_id, Asker(groups))
        assert (found is not None) == may, groups
        assert found is None or found["date"] == "2026-03-04"
    for odd in ("", "x" * 1_000, "'; --", "\0"):
        assert shelf.passage(odd, Asker(None)) is None
    assert shelf.released("main") == "base"


@pytest.mark.parametrize(
    ("behavior", "expected", "says"),
    [
        ('landing = "logs"', "FOLDER/logs", ""),
        ('landing = "~/logs"', "HOME/logs", ""),
        ('landing = "file:/srv/logs"', "/srv/logs", ""),
        ('landing = "file:///srv/my%20logs"', "/srv/my logs", ""),
        ('landing = "s3://key:secret@bucket/logs"', "FOLDER/home/served", "s3://bucket/logs cannot be added to"),
        ("", "FOLDER/sample/interactions", ""),
    ],
)
def test_events_go_to_the_landing_folder_or_the_home(tmp_path, monkeypatch, behavior, expected, says):
    monkeypatch.setenv("HOME", "/srv/people/me")
    (tmp_path / "twohands.toml").write_text(f'[sources.docs]\nurl = "docs"\n[behavior]\n{behavior}\n')
    folder, note = journal_folder(load(str(tmp_path / "twohands.toml"), str(tmp_path / "home")))
    assert str(folder) == expected.replace("FOLDER", str(tmp_path)).replace("HOME", "/srv/people/me")
    assert bool(note) == bool(says)
    assert says in note


def test_strangers_are_not_served_without_tokens(house):
    done = CliRunner().invoke(
        cli,
        ["--config", str(house / "twohands.toml"), "serve", "--host", "0.0.0.0", "--port", "39999"],  # noqa: S104
    )
    assert "anybody could ask" in str(done.exception)


def test_port_that_is_taken_is_named(house, served):
    done = CliRunner().invoke(
        cli,
        ["--config", str(house / "twohands.toml"), "--home", str(house / "home"), "serve", "--port", str(served.port)],
    )
    assert f"127.0.0.1:{served.port} is in use" in str(done.exception)


def test_server_dies_with_its_keeper(served):
    """The last test of this file: nobody is served any more."""
    served.kill()
    end = time.monotonic() + 10
    while True:
        try:
            Client(served.port).get("/healthz")
        except OSError:
            return
        assert time.monotonic() < end
        time.sleep(0.1)
