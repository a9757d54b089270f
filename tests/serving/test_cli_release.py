"""`twohands releases`, `promote` and `rollback`: what they print, and their exit codes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from assets.errors import ModelError
from assets.serving.release import Release
from orchestration.assembly import open_the_lake
from orchestration.assembly_serving import adapter_folder, base_folder, releases
from orchestration.cli import cli
from orchestration.config import load
from tests.serving.models import PROMPT, other_prompts, write


class Line:
    """A command line over a project with a base and two variants."""

    def __init__(self, folder) -> None:
        self.file = folder / "twohands.toml"
        self.file.write_text(
            '[sources.docs]\nurl = "docs"\n[base]\nmodel = "models/small"\n[variants.main]\n[variants.legal]\n'
        )
        self.settings = load(str(self.file))
        self.releases = releases(self.settings, open_the_lake(self.settings))
        write(folder / "models" / "small", "base weights")

    def propose(self, adapter: str, promoted: bool = True) -> str:
        release = Release("b1", adapter, PROMPT, "encoder", "index-7")
        write(adapter_folder(self.settings, adapter), f"weights of {adapter}")
        now = self.releases.moves.now("main")
        said = "Promote: better." if promoted else "Refuse: less right."
        return self.releases.propose(
            "main", release, promoted=promoted, sentence=said, against=now.id if now else "base"
        ).id

    def run(self, *arguments: str):
        result = CliRunner().invoke(cli, ["--config", str(self.file), *arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def json(self, *arguments: str) -> dict:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def line(tmp_path):
    return Line(tmp_path)


def test_before_a_release_the_base_answers(line):
    found = line.json("releases")
    assert found == {
        "variant": "main", "release": "base", "served": "base", "since": None, "pointer": None, "problems": [],
        "history": [], "candidates": [],
    }  # fmt: skip
    assert line.run("releases").stdout == "main: base answers\n"


def test_promote_shows_the_pointer_and_rollback_takes_it_back(line):
    id = line.propose("a1")
    assert [one["release"] for one in line.json("releases")["candidates"]] == [id]
    said = line.json("promote", id, "--why", "it cites")
    assert (said["release"], said["adapter"], said["why"], said["forced"]) == (id, "a1", "it cites", False)
    shown = line.json("release", "show")
    assert (shown["release"], shown["served"]) == (id, id)
    assert shown["since"] == f"{shown['pointer']['created'][:19]}+00:00"  # as `status` says it
    assert abs(datetime.now(UTC) - datetime.fromisoformat(shown["since"])) < timedelta(minutes=5)
    assert set(shown["pointer"]) == {"index", "base", "adapter", "prompt", "encoder", "created", "why"}
    text = line.run("releases").stdout
    for part in (
        f"main: {id} answers since {shown['since'][:10]}\n",
        PROMPT,
        "it cites",
        "passed  Promote: better.",
    ):
        assert part in text
    assert line.json("rollback", "--why", "people complain")["release"] == "base"
    assert [move["action"] for move in line.json("release", "history")["history"]] == ["rollback", "promote"]
    assert line.json("release", "promote", id)["number"] == 3
    assert line.json("releases", "--variant", "legal")["release"] == "base"


def test_tampered_release_is_shown_with_what_is_served_meanwhile(line):
    id = line.propose("a1")
    line.json("promote", id)
    (adapter_folder(line.settings, "a1") / "model.safetensors").write_text("evil")
    found = line.json("releases")
    assert (found["release"], found["served"]) == (id, "base")
    assert "model.safetensors is another" in found["problems"][0]
    said = line.run("releases").stdout
    assert said.startswith(f"main: {id} has been in force since {found['since'][:10]}\nserved from base meanwhile:")


def test_release_of_other_prompts_is_not_said_to_answer_nor_put_in_force(line, monkeypatch):
    first = line.json("promote", line.propose("a1"))["release"]
    second = line.json("promote", line.propose("a2"))["release"]
    waiting = line.propose("a3")
    prompts = other_prompts(monkeypatch)
    found = line.json("releases")
    assert (found["release"], found["served"]) == (second, "base")
    for id, problem in zip((second, first), found["problems"], strict=True):
        assert problem.startswith(f"{id}: it was made for the prompts {PROMPT}, and this version of Twohands writes")
        assert f"writes {prompts}. Expected: " in problem
    assert "served from base meanwhile:" in line.run("releases").stdout
    for arguments in (("promote", waiting), ("promote", first), ("promote", second), ("rollback",)):
        with pytest.raises(ModelError, match="made for the prompts"):
            line.run(*arguments)
    assert line.json("releases")["pointer"] == found["pointer"]
    assert line.json("rollback", "--to", "base")["release"] == "base"
    assert line.json("releases")["problems"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("promote", "WORSE"), 3, "the gate refused it: Refuse: less right."),
        (("promote", "WORSE", "--force"), 2, "--force needs --why TEXT"),
        (("promote", "nobody"), 1, "no release and no candidate 'nobody'"),
        (("promote", "WORSE", "--variant", "sales"), 2, "Valid variants are: main, legal"),
        (("rollback",), 1, "nothing was released yet"),
    ],
)
def test_refusals_have_their_exit_codes(line, monkeypatch, capsys, arguments, code, message):
    from orchestration.cli import main

    worse = line.propose("a1", promoted=False)
    told = [worse if part == "WORSE" else part for part in arguments]
    monkeypatch.setattr("sys.argv", ["twohands", "--config", str(line.file), *told])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == code
    assert message in capsys.readouterr().err
    assert line.json("releases")["release"] == "base"


def test_forced_promotion_is_marked(line):
    worse = line.propose("a1", promoted=False)
    assert line.json("promote", worse, "--force", "--why", "a demo")["forced"]
    assert "a demo (forced)" in line.run("releases").stdout


@pytest.mark.parametrize("id", ["../etc", "", "a/b", ".hidden"])
def test_name_of_an_adapter_stays_in_its_folder(line, id):
    with pytest.raises(ModelError, match="no id of an adapter"):
        adapter_folder(line.settings, id)


def test_base_from_the_hub_is_pinned_and_not_downloaded(tmp_path):
    from assets.errors import ConfigError

    def configured(revision: str):
        file = tmp_path / "twohands.toml"
        file.write_text(f'[sources.docs]\nurl = "docs"\n[base]\nmodel = "some/model"\nrevision = "{revision}"\n')
        return base_folder(load(str(file)))

    with pytest.raises(ConfigError, match=r"base\.revision: received 'main'"):
        configured("main")
    with pytest.raises(ModelError, match="not in the hub's cache"):
        configured("0" * 40)
