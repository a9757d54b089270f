"""The command line over the real engines: the bundled encoder, LanceDB, the parser processes."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from assets.errors import TwohandsError
from orchestration.cli import cli, main

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Project:
    """A folder with documents and a twohands.toml; `run` gives (exit code, stdout, stderr)."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.docs = folder, folder / "docs"
        self.docs.mkdir()
        (folder / "models").symlink_to(ROOT / "models")  # the bundled base
        self.write(
            "ferry.md", "# Ferry\n\nThe ferry to the island leaves at seven.\n\n## Tickets\n\nA ticket costs 12 euros."
        )
        self.write("bakery.md", "# Bakery\n\nRye bread is baked on Fridays.")
        self.configure()

    def write(self, name: str, text: str) -> None:
        (self.docs / name).write_text(text)

    def configure(self, more: str = "") -> None:
        (self.folder / "twohands.toml").write_text(
            f'[sources.docs]\nurl = "docs"\nmetadata = {{ audience = "all" }}\n{more}'
            + ("" if "[serve]" in more else f"\n[serve]\nport = {free_port()}\n")  # somebody may have the default one
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        config = str(self.folder / "twohands.toml")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["twohands", "--config", config, *arguments])
            result = CliRunner().invoke(_Main(), [])
        return result.exit_code, result.stdout, result.stderr

    def json(self, *arguments: str):
        code, out, err = self.run(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)


class _Main:
    """`main` as click's runner wants to call it, error handling included."""

    name = "twohands"

    def main(self, args, prog_name, **options):
        return main()


@pytest.fixture(scope="module")
def synced(tmp_path_factory) -> Project:
    project = Project(tmp_path_factory.mktemp("project"))
    assert project.run("sync")[0] == 0
    return project


@pytest.fixture
def project(tmp_path, synced) -> Project:
    """A copy of the synced project, to change."""
    shutil.copytree(synced.folder, tmp_path / "copy")
    made = Project.__new__(Project)
    made.folder, made.docs = tmp_path / "copy", tmp_path / "copy" / "docs"
    return made


def test_sync_prints_the_object_of_the_contract(tmp_path):
    shown = Project(tmp_path).json("sync")
    assert shown["documents"] == {"seen": 2, "parsed": 2, "rejected": 0, "unchanged": 0}
    assert shown["chunks"] == {"total": 3, "added": 3, "moved": 0, "deleted": 0}
    assert shown["embedded"] == 3
    assert shown["published_version"]
    assert shown["seconds"] > 0
    assert set(shown) == {"documents", "chunks", "embedded", "published_version", "seconds"}


def test_ledger_holds_the_encoders_time_of_syncs_that_embedded(project):
    def seconds() -> list[float]:
        return [entry["data"]["seconds"] for entry in project.json("ledger", "--kind", "spend")["entries"]]

    [first] = seconds()
    assert first > 0
    assert project.json("sync")["embedded"] == 0
    assert seconds() == [first]
    project.write("bakery.md", "# Bakery\n\nRye bread is baked on Mondays.")
    shown = project.json("sync")
    assert shown["embedded"] == 1
    assert seconds()[0] == first
    assert 0 < seconds()[1] < shown["seconds"]


def test_second_sync_has_nothing_to_do(project):
    shown = project.json("sync")
    assert (shown["embedded"], shown["chunks"]["added"], shown["chunks"]["deleted"]) == (0, 0, 0)


def test_plan_foretells_and_does_nothing(project):
    project.write("bakery.md", "# Bakery\n\nRye bread is baked on Mondays.")
    foretold = project.json("plan")
    assert foretold == project.json("plan")
    assert (foretold["embed"], foretold["chunks"]["added"], foretold["chunks"]["deleted"]) == (1, 1, 1)
    assert foretold["cost"]["tokens"] > 0
    done = project.json("sync")
    assert done["embedded"] == foretold["embed"]
    assert done["chunks"] == foretold["chunks"]


def test_search_finds_by_meaning_and_by_word(synced):
    hits = synced.json("search", "when does the boat depart", "--k", "1")["passages"]
    assert [(hit["doc_id"], set(hit)) for hit in hits] == [
        ("docs/ferry.md", {"chunk_id", "doc_id", "title", "text", "score"})
    ]
    assert synced.json("search", "rye", "--k", "1")["passages"][0]["doc_id"] == "docs/bakery.md"


def test_search_filters_by_metadata(synced):
    assert synced.json("search", "ferry", "--where", "audience=all")["passages"]
    assert synced.json("search", "ferry", "--where", "audience=staff")["passages"] == []


def test_search_answers_a_file_of_queries_line_by_line(synced, tmp_path):
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"query": "ferry"}\n\n{"question": "bread"}\n"ticket"\n')
    code, out, _ = synced.run("search", "--queries", str(queries), "--k", "1")
    assert code == 0
    found = [json.loads(line)["passages"][0]["doc_id"] for line in out.splitlines()]
    assert found == ["docs/ferry.md", "docs/bakery.md", "docs/ferry.md"]


def test_search_without_an_index_says_how_to_get_one(tmp_path):
    code, out, err = Project(tmp_path).run("search", "ferry")
    assert (code, out) == (1, "")
    assert "there is no index to search" in err
    assert "Next: run `twohands sync`" in err


def test_chunks_prints_every_published_passage(synced):
    code, out, _ = synced.run("chunks")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert len(rows) == 3
    for row in rows:
        assert list(row) == ["chunk_id", "doc_id", "slice", "title", "headings", "text", "text_sha"]
        assert row["text_sha"] == hashlib.sha256(row["text"].encode()).hexdigest()


def test_rejected_names_the_file_and_the_reason(project):
    project.write("empty.md", " ")
    project.json("sync")
    rows = project.json("rejected")["rejected"]
    assert [(row["doc_id"], row["reason"]) for row in rows] == [("docs/empty.md", "empty")]


def test_status_shows_slices_and_index(synced):
    facts = synced.json("status")
    assert facts["index"]["passages"] == 3
    assert facts["slices"][0] == facts["slices"][0] | {"slice": "docs", "documents": 2, "published": True}
    assert re.search(
        r"docs: 2 documents, 3 passages, 0 refused; up to date, last synced \d+ seconds ago, newest document",
        synced.run("status")[1],
    )


def test_doctor_is_content_with_a_good_project(synced):
    assert synced.json("doctor")["ok"] is True


def test_doctor_names_what_is_wrong(project):
    shutil.rmtree(project.docs)
    code, out, _ = project.run("doctor", "--json")
    assert code == 1
    checks = json.loads(out)["checks"]
    assert {"serve", "serve port", "journal", "base", "generator", "answering", "access"} <= {c["name"] for c in checks}
    wrong = [row for row in checks if not row["ok"]]
    assert [row["name"] for row in wrong] == ["source docs"]
    assert "Next:" in wrong[0]["detail"]


@pytest.mark.parametrize(
    ("arguments", "config", "code", "message"),
    [
        (["sync"], "[index]\nengine = 'faiss'\n", 2, "index.engine: received 'faiss'"),
        (["sync", "--slice", "nowhere"], "", 2, "Valid slices are: docs"),
        (["search"], "", 2, "Give either QUERY or --queries FILE"),
        (["search", "x", "--where", "novalue"], "", 2, "Expected KEY=VALUE"),
        (["unknown"], "", 2, "No such command"),
        (["sync"], "[index]\ngolden = 'missing.jsonl'\n", 2, "index.golden"),
        (["sync"], "[encoder]\nmodel = 'someone/a-model'\n", 2, "encoder.revision"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_right(project, arguments, config, code, message):
    project.configure(config)
    found, out, err = project.run(*arguments)
    assert (found, message in err) == (code, True), err
    assert out == ""


@pytest.mark.parametrize(
    ("arguments", "code", "kind", "text"),
    [
        (["search", "ferry", "--json"], 1, "NothingPublished", "there is no index to search"),
        (["--json", "sync", "--slice", "nosuch"], 2, "BadParameter", "Valid slices are: docs"),
        (["ask", "ferry", "--variant", "nosuch", "--json"], 2, "BadParameter", "nosuch"),
    ],
)
def test_error_is_an_object_too_where_one_was_asked_for(tmp_path, arguments, code, kind, text):
    found, out, err = Project(tmp_path).run(*arguments)
    said = json.loads(out)
    assert (found, said["kind"]) == (code, kind)
    assert text in said["error"]
    assert text in err


def test_missing_source_ends_with_1_and_keeps_what_is_published(project):
    shutil.rmtree(project.docs)
    code, _, err = project.run("sync")
    assert code == 1
    assert "docs" in err
    assert len(project.run("chunks")[1].splitlines()) == 3


def test_failed_gate_ends_with_3_and_keeps_what_is_published(project):
    questions = [
        {"question": "what does a ticket cost", "text": "12 euros"},
        {"question": "bread", "doc_id": "docs/bakery.md"},
    ]
    (project.folder / "golden.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
    project.configure('[index]\ngolden = "golden.jsonl"\n')
    project.write("bakery.md", "# Bakery\n\nRye bread is baked on Sundays.")
    project.json("sync")
    before = project.run("chunks")[1]
    project.write("ferry.md", "# Ferry\n\nNothing is known about prices.")
    code, out, err = project.run("sync", "--json")
    assert code == 3
    assert "recall@5" in err
    assert json.loads(out)["errors"]["docs"]["refused"] is True
    assert project.run("chunks")[1] == before


def test_one_failing_slice_holds_up_no_other(project):
    (project.folder / "twohands.toml").write_text('[sources.gone]\nurl = "gone"\n[sources.docs]\nurl = "docs"\n')
    project.write("new.md", "# New\n\nSomething new.")
    code, _, err = project.run("sync")
    assert code == 1
    assert "gone" in err
    assert "docs/new.md" in project.run("chunks")[1]


def test_every_error_says_what_to_do_next():
    assert str(TwohandsError("It broke.", expected="it whole", next_step="mend it")) == (
        "It broke. Expected: it whole. Next: mend it."
    )


def test_command_line_starts_without_torch_and_dagster():
    code = "import sys, orchestration.cli; print([m for m in ('torch', 'dagster', 'lancedb') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_commands_are_those_of_the_design():
    assert {"plan", "sync", "chunks", "search", "rejected", "status", "doctor"} <= set(cli.commands)
