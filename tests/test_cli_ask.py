"""`twohands ask` over the real engines: the bundled base, encoder and index; releases, files, bad input."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from assets.behavior.adapter.identity import base_id
from assets.errors import EngineError
from assets.prompting import TEMPLATES
from assets.serving.answering import Answering, Asker
from assets.serving.release import Release
from orchestration.assembly import open_the_lake
from orchestration.assembly_answering import answering, form, generator
from orchestration.assembly_serving import releases
from orchestration.config import load
from orchestration.engines.base_model import check_base
from orchestration.engines.chat_generator import ChatGenerator
from tests.conftest import ROOT
from tests.test_cli import Project, _Main

QUESTION = "When does the ferry to the island leave?"
CONFIG = '[sources.staff]\nurl = "staff"\nmetadata = { audience = "staff" }\n[variants.main]\n[variants.api]\n'
CONFIG += 'answer = "json"\n'


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Asking(Project):
    """A project with a second source that only staff may read, on the bundled base."""

    def __init__(self, folder: Path) -> None:
        (folder / "staff").mkdir()
        (folder / "staff" / "safe.md").write_text("# Safe\n\nThe code of the ferry office safe is 4711.")
        super().__init__(folder)
        self.configure(CONFIG + f'[base]\nmodel = "{ROOT / "models" / "tiny-reader"}"\n')

    @property
    def settings(self):
        return load(str(self.folder / "twohands.toml"))

    def stdin(self, text: bytes, *arguments: str):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["twohands", "--config", str(self.folder / "twohands.toml"), *arguments])
            result = CliRunner().invoke(_Main(), [], input=text)
        return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()], result.stderr


@pytest.fixture(scope="module")
def synced(tmp_path_factory) -> Asking:
    project = Asking(tmp_path_factory.mktemp("asking"))
    code, _, said = project.run("sync")
    assert code == 0, said
    return project


@pytest.fixture
def project(tmp_path, synced) -> Asking:
    shutil.copytree(synced.folder, tmp_path / "copy")
    made = Asking.__new__(Asking)
    made.folder, made.docs = tmp_path / "copy", tmp_path / "copy" / "docs"
    return made


def test_ask_prints_the_object_of_the_contract(synced):
    shown = synced.json("ask", QUESTION)
    assert list(shown)[:6] == ["answer", "refused", "citations", "evidence", "passages", "release_id"]
    assert shown["answer"] == "The ferry to the island leaves at seven. [1]"
    [cited] = shown["citations"]
    assert (cited["n"], cited["doc_id"]) == (1, "docs/ferry.md")
    assert cited["chunk_id"] == shown["passages"][0]["chunk_id"]
    assert {"n", "sentence", "score"} == shown["evidence"][0].keys()
    assert (shown["refused"], shown["fallback"], shown["release_id"]) == (False, "", "base")  # no release yet
    stamp = shown["stamp"]
    assert stamp["index"] == synced.json("sync")["published_version"]
    assert (stamp["adapter"], stamp["variant"]) == ("", "main")
    assert stamp["base"] == base_id(check_base(ROOT / "models" / "tiny-reader"))


def test_plain_output_is_the_answer_and_numbered_sources(synced):
    code, out, _ = synced.run("ask", QUESTION)
    assert (code, out) == (0, "The ferry to the island leaves at seven. [1]\n\n[1] Ferry  (docs/ferry.md)\n")


def test_groups_decide_what_is_seen_and_where_only_narrows(synced):
    question = "What is the code of the ferry office safe?"
    found = answering(synced.settings)
    seen = {
        groups: {one.doc_id for one in found.answer(question, asker=Asker(groups)).passages}
        for groups in (None, frozenset({"staff"}), frozenset({"guests"}), frozenset())
    }
    assert [name for name, docs in seen.items() if "staff/safe.md" in docs] == [None, frozenset({"staff"})]
    named = found.answer(QUESTION, asker=Asker(None), where={"title": "Bakery"}).passages
    assert [one.doc_id for one in named] == ["docs/bakery.md"]
    assert "staff/safe.md" in {one["doc_id"] for one in synced.json("ask", question, "--groups", " staff")["passages"]}
    told = synced.json("ask", question, "--groups", "", "--where", "audience=staff", "--k", "1")
    assert (told["refused"], told["passages"]) == (True, [])


def test_json_variant_answers_in_a_frame_around_what_the_base_says(synced):
    shown = synced.json("ask", QUESTION, "--variant", "api", "--k", "1")
    assert (shown["fallback"], len(shown["passages"])) == ("", 1)
    assert json.loads(shown["answer"]) == {"answer": "The ferry to the island leaves at seven. [1]", "source": 1}


def test_questions_get_a_line_each_and_bad_ones_an_error(synced):
    lines = [
        json.dumps({"question": QUESTION}).encode(),
        b'"How much is a ticket?"',
        b"",
        b"{",
        b'{"question": 4}',
        b'{"text": "x"}',
        b"\xff\xfe\x00",
        json.dumps({"question": "a\x00b"}).encode(),
        json.dumps({"question": "x" * 1_000_000}).encode(),
        b'{"question": ""}',
        b"[" * 100_000,
        json.dumps({"question": "🚢 متى؟ \u202eferry"}).encode(),
    ]
    code, said, _ = synced.stdin(b"\n".join(lines), "ask", "--questions", "-")
    assert code == 1
    assert [next(iter(one)) for one in said] == ["answer", "answer", *["error"] * 8, "answer"]
    assert said[1]["answer"].startswith("A ticket costs 12 euros.")
    assert said[2]["error"].startswith("line 4: it is no question (JSONDecodeError)")
    assert "1,000,000 characters" in said[7]["error"]
    code, said, _ = synced.stdin(lines[0], "ask", "--questions", "-")
    assert (code, len(said)) == (0, 1)


def test_file_of_questions(synced, tmp_path):
    (tmp_path / "q.jsonl").write_text(json.dumps({"question": QUESTION, "note": "kept out"}) + "\n\n")
    code, out, _ = synced.run("ask", "--questions", str(tmp_path / "q.jsonl"))
    assert (code, json.loads(out)["refused"]) == (0, False)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "Give either QUESTION or --questions"),
        (("a", "--questions", "-"), 2, "Give either QUESTION or --questions"),
        (("a", "--variant", "legal"), 2, "Valid variants are: main, api"),
        (("a", "--where", "audience"), 2, "Expected KEY=VALUE"),
        (("a", "--k", "0"), 2, "--k"),
        (("",), 2, "the question is empty"),
        (("x" * 5_000,), 2, "the question has 5,000 characters"),
        (("a\x1bb", "--json"), 2, "U+001B"),
    ],
)
def test_wrong_usage_and_bad_questions_are_told(synced, arguments, code, message):
    found, out, err = synced.run("ask", *arguments)
    assert (found, bool(out)) == (code, "--json" in arguments)
    assert message in err


def test_missing_index_is_told(project):
    shutil.rmtree(project.folder / ".twohands" / "index")
    code, _, err = project.run("ask", QUESTION)
    assert code == 1
    assert "there is no index to answer from" in err
    assert "twohands sync" in err


def test_file_of_questions_ends_with_one_error_where_nothing_is_published(project):
    shutil.rmtree(project.folder / ".twohands" / "index")
    (project.folder / "q.jsonl").write_text('"When?"\n"How much?"\n')
    code, out, err = project.run("ask", "--questions", str(project.folder / "q.jsonl"))
    assert (code, out) == (1, "")
    assert err.count("there is no index to answer from") == 1


def test_question_that_an_engine_refuses_leaves_the_others_their_answers(synced, monkeypatch):
    real = Answering.answer

    def answer(self, question, **told):
        if question == "long":
            raise EngineError("there is not enough memory to answer one prompt")
        return real(self, question, **told)

    monkeypatch.setattr(Answering, "answer", answer)
    code, said, _ = synced.stdin(b'"long"\n"When does the ferry leave?"\n', "ask", "--questions", "-")
    assert (code, said[0]) == (1, {"error": "line 1: there is not enough memory to answer one prompt."})
    assert "at seven" in said[1]["answer"]


def test_missing_base_is_told(project):
    project.configure(CONFIG + '[base]\nmodel = "nowhere"\n')
    code, _, err = project.run("ask", QUESTION)
    assert code == 1
    assert "The base is not there" in err


# ------------------------------------------------------------------------------------------------ releases


def released(project: Asking, name: str, seed: int) -> str:
    """Publishes and promotes an adapter of random weights: nonsense, but its own."""
    settings = project.settings
    base = ROOT / "models" / "tiny-reader"
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=seed == 0, task_type="CAUSAL_LM")
    get_peft_model(model, config).save_pretrained(settings.home / "adapters" / name)
    found = releases(settings, open_the_lake(settings))
    files = check_base(base)
    prompt = f"evidence@{TEMPLATES['evidence'].version}"
    made = Release(base_id(files), name, prompt, "e", "i", base_files=files)
    now = found.moves.now("main")
    found.propose("main", made, promoted=True, sentence="better", against=now.id if now else "base")
    return found.promote("main", found.sealed(made).id, why="better", by="a test").id


def apart(project: Asking, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "orchestration", "--config", str(project.folder / "twohands.toml"), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_pointer_moves_under_a_running_answering_and_tampering_is_not_served(project):
    running = answering(project.settings)
    ask = lambda: running.answer(QUESTION, asker=Asker())  # noqa: E731
    assert ask().release_id == "base"
    first = released(project, "plain", 0)  # LoRA starts as the base
    told = ask()
    assert (told.release_id, told.stamp["adapter"], told.text[-3:]) == (first, "plain", "[1]")
    assert apart(project, "ask", QUESTION).stderr == ""  # no bars and no notices of libraries
    second = released(project, "noise", 1)
    assert ask().release_id == second
    weights = project.settings.home / "adapters" / "noise" / "adapter_model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert ask().release_id == first
    assert any("is not what was released" in one for one in running.problems())
    code, out, err = project.run("ask", QUESTION)  # and with a process of its own
    assert (code, out.splitlines()[0]) == (0, told.text)
    assert second in err
    releases(project.settings, open_the_lake(project.settings)).rollback("main", why="worse", by="a test")
    assert (ask().release_id, running.problems()) == (first, [])


def test_generator_by_url_needs_no_base_here(project):
    project.configure(
        CONFIG + '[base]\nmodel = "nowhere"\n[generator]\nengine = "openai"\nurl = "http://127.0.0.1:9/v1"\n'
        'model = "big"\nattempts = 1\n'
    )
    assert isinstance(generator(project.settings), ChatGenerator)
    code, _, err = project.run("ask", QUESTION)
    assert code == 1
    assert "The generator at http://127.0.0.1:9/v1 did not answer" in err


def test_schema_of_a_variant_is_its_manners(project):
    schema = {"type": "object", "required": ["reply"], "properties": {"reply": {"type": "string"}}}
    (project.folder / "answer.json").write_text(json.dumps(schema))
    project.configure(CONFIG + '[evaluation.manners.api]\nschema_file = "answer.json"\n')
    found = form(project.settings, "api")
    assert found.keeps('{"reply": "yes"}')
    assert not found.keeps('{"answer": "yes"}')
    assert form(project.settings, "main").keeps("yes")


def test_help_of_ask_imports_no_torch():
    said = subprocess.run(
        [sys.executable, "-c", "import sys, orchestration.cli; print('torch' in sys.modules)"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.strip() == "False"
