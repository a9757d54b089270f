"""`twohands doctor` of serving: each check over the real thing that it is about, good and bad."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import uvicorn

from assets.errors import ConfigError, DiskFull, EngineBusy, EngineError, ModelError, SourceError, TwohandsError
from orchestration import overview_serving
from orchestration.assembly import fast_hand
from orchestration.config import load
from orchestration.settings_serve import ServeSettings, TokenSettings
from orchestration.web.app import app
from orchestration.web.journal import Journal
from tests.test_cli import Project, free_port
from tests.web.fakes import FakeAnswering, FakeLibrary

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "a-token-of-sixteen-or-more"


@pytest.fixture
def made(tmp_path) -> Project:
    return Project(tmp_path)


def told(made: Project, name: str, more: str | None = None) -> str:
    """What one check says of the project, with these settings."""
    if more is not None:
        made.configure(more)
    settings = load(str(made.folder / "twohands.toml"))
    return dict(overview_serving.checks(settings, lambda: fast_hand(settings)))[name]()


def wrong(kind: type[TwohandsError], made: Project, name: str, more: str | None = None) -> str:
    with pytest.raises(kind) as error:
        told(made, name, more)
    assert "Next:" in str(error.value)
    return str(error.value)


class Says(BaseHTTPRequestHandler):
    """Answers every GET as the server's `said` (status, body) says."""

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        time.sleep(self.server.pause)
        status, body = self.server.said
        self.send_response(status)
        self.send_header("Location", "http://127.0.0.1:9/")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing."""


class Stranger(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A client that left."""


@pytest.fixture
def stranger():
    """Another server."""
    with Stranger(("127.0.0.1", 0), Says) as server:
        server.said, server.asked, server.pause = (200, b'{"status": "ok"}'), [], 0.0
        server.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@contextmanager
def serving(folder: Path, **settings):
    """Our own server over stand-ins, in this process: (answering, journal, port)."""
    answering, journal, port = FakeAnswering(), Journal(folder), free_port()
    ours = app(answering, journal, ServeSettings(port=port, **settings), library=FakeLibrary())
    server = uvicorn.Server(uvicorn.Config(ours, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield answering, journal, port
    server.should_exit = True
    thread.join(30)


def test_tokens_are_looked_up_and_strangers_need_one(made, monkeypatch):
    assert "this machine alone" in told(made, "serve")
    assert "anybody could ask" in wrong(ConfigError, made, "serve", '[serve]\nhost = "0.0.0.0"\n')
    said = '[serve]\nhost = "0.0.0.0"\ntokens = [{ token_env = "ASK_TOKEN", name = "intranet" }]\n'
    assert "'ASK_TOKEN' is not set" in wrong(ConfigError, made, "serve", said)
    monkeypatch.setenv("ASK_TOKEN", TOKEN)
    found = told(made, "serve")
    assert "1 tokens (intranet)" in found
    assert TOKEN not in found


def test_port_is_free_or_a_strangers_or_our_own(made, stranger):
    assert "is free" in told(made, "serve port", f"[serve]\nport = {free_port()}\n")
    assert "is in use" in wrong(EngineBusy, made, "serve port", f"[serve]\nport = {stranger.port}\n")
    stranger.said = (200, b"no JSON, and no page of ours")
    assert "is in use" in wrong(EngineBusy, made, "serve port")


def test_own_server_is_known_and_asked_how_it_is(made, monkeypatch):
    with serving(made.folder / "landing") as (answering, journal, port):
        assert told(made, "serve port", f"[serve]\nport = {port}\n").endswith(f":{port}, and says ok")
        answering.trouble = ["rel-2: the adapter is not what was released"]
        assert told(made, "serve port").endswith("says degraded")
        monkeypatch.setattr(journal, "check", lambda: (_ for _ in ()).throw(DiskFull("full")))
        assert "says that it is failing" in wrong(EngineBusy, made, "serve port")


def test_own_server_for_others_is_asked_by_one_of_its_names_and_without_a_token(made, monkeypatch):
    monkeypatch.setenv("ASK_TOKEN", TOKEN)
    tokens, names = (TokenSettings(token_env="ASK_TOKEN"),), ("ask.example.org",)
    with serving(made.folder / "landing", host="0.0.0.0", hosts=names, tokens=tokens) as (_, _, port):  # noqa: S104
        said = f'[serve]\nhost = "0.0.0.0"\nport = {port}\nhosts = ["ask.example.org"]\n'
        assert told(made, "serve port", said).endswith("says ok")


def test_journal_is_writable_and_left_as_it_is(made, monkeypatch):
    before = sorted(made.folder.iterdir())
    found = told(made, "journal", '[behavior]\nlanding = "logs/deep"\n')
    assert f"{made.folder}/logs/deep is writable" in found
    assert "the server will make it" in found
    assert sorted(made.folder.iterdir()) == before
    (made.folder / "logs" / "deep").mkdir(parents=True)
    assert "will make it" not in told(made, "journal")
    assert "ingestion reads it there" in told(made, "journal", '[behavior]\nlanding = "memory://bucket/logs"\n')
    assert "cannot be written" in wrong(SourceError, made, "journal", '[behavior]\nlanding = "twohands.toml/logs"\n')
    monkeypatch.setattr(overview_serving, "ROOM", 1 << 60)
    assert "MiB are free" in wrong(DiskFull, made, "journal", '[behavior]\nlanding = "logs"\n')


def test_base_must_be_there_and_mark_its_answers(made):
    assert "is whole" in told(made, "base")
    mine = made.folder / "mine"
    shutil.copytree(ROOT / "models" / "tiny-reader", mine)
    text = (mine / "chat_template.jinja").read_text()
    (mine / "chat_template.jinja").write_text(text.replace("{% generation %}", "").replace("{%- generation %}", ""))
    assert "does not mark answers" in wrong(ModelError, made, "base", '[base]\nmodel = "mine"\n')
    (mine / "model.safetensors").write_bytes(b"cut short")
    wrong(ModelError, made, "base")
    assert "no folder" in wrong(ModelError, made, "base", '[base]\nmodel = "nowhere"\n')
    remote = '[base]\nmodel = "nowhere"\n[generator]\nengine = "openai"\nurl = "http://127.0.0.1:9/v1"\nmodel = "m"\n'
    assert "a fine-tune would need it" in told(made, "base", remote)


def by_url(port: int, model: str = "base-model", more: str = "") -> str:
    return f'[generator]\nengine = "openai"\nurl = "http://127.0.0.1:{port}/v1"\nmodel = "{model}"\n{more}'


def test_generator_by_url_is_asked_what_it_serves(made, stranger, monkeypatch):
    monkeypatch.setenv("GENERATOR_KEY", "sk-very-secret")
    assert "in this process" in told(made, "generator")
    stranger.said = (200, json.dumps({"data": [{"id": "base-model"}, {"id": "a1"}, {"id": "llama:latest"}]}).encode())
    said = told(made, "generator", by_url(stranger.port, more='api_key_env = "GENERATOR_KEY"\n'))
    assert said.endswith("serves base-model, and 2 others")
    [(path, headers)] = stranger.asked
    assert (path, headers["Authorization"]) == ("/v1/models", "Bearer sk-very-secret")
    assert "serves llama" in told(made, "generator", by_url(stranger.port, "llama"))
    assert "does not serve 'base'" in wrong(EngineError, made, "generator", by_url(stranger.port, "base"))
    for body in (b"<html>", b"[]", b'{"data": 1}'):
        stranger.said = (200, body)
        assert "does not say what it serves" in told(made, "generator"), body
    stranger.said = (404, b"")
    assert "does not say what it serves" in told(made, "generator")


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [(401, EngineError, "the key is wrong or missing"), (403, EngineError, "the key may not"),
     (503, EngineBusy, "status 503"), (302, EngineError, "status 302")],
)  # fmt: skip
def test_generator_that_refuses_is_named_without_its_key(made, stranger, monkeypatch, status, kind, says):
    monkeypatch.setenv("GENERATOR_KEY", "sk-very-secret")
    stranger.said = (status, b"you sent sk-very-secret")
    found = wrong(kind, made, "generator", by_url(stranger.port, more='api_key_env = "GENERATOR_KEY"\n'))
    assert says in found
    assert "sk-very-secret" not in found


def test_generator_that_is_down_or_silent_or_without_a_key_is_named_soon(made, stranger, monkeypatch):
    assert "cannot be reached" in wrong(EngineBusy, made, "generator", by_url(free_port()))
    stranger.pause = 3.0
    monkeypatch.setattr(overview_serving, "_WAIT", 0.2)
    began = time.monotonic()
    assert "cannot be reached" in wrong(EngineBusy, made, "generator", by_url(stranger.port))
    assert time.monotonic() - began < 2
    monkeypatch.delenv("GENERATOR_KEY", raising=False)
    more = 'api_key_env = "GENERATOR_KEY"\n'
    assert "holds no key" in wrong(ConfigError, made, "generator", by_url(stranger.port, more=more))


def test_answering_reads_the_schemas_of_its_forms(made):
    assert "main as text" in told(made, "answering")
    said = '[variants.main]\n[variants.api]\nanswer = "json"\n[evaluation.manners.api]\nschema_file = "answer.json"\n'
    assert "answer.json cannot be read" in wrong(ConfigError, made, "answering", said)
    (made.folder / "answer.json").write_text('{"type": "object"}')
    assert "main as text, api as json" in told(made, "answering")


def test_access_counts_who_may_read_what_and_names_a_token_that_may_read_nothing(made):
    assert "there are no passages yet" in told(made, "access")
    made.write("plans.md", "---\naudience: board\n---\n# Plans\n\nThe bakery will be sold.")
    (made.folder / "twohands.toml").write_text('[sources.docs]\nurl = "docs"\n')
    hand = fast_hand(load(str(made.folder / "twohands.toml")))
    hand.documents("docs")
    hand.chunks("docs")
    own = '[sources.docs]\nurl = "docs"\n[access]\npublic = [{}]\n'
    own += '[serve]\ntokens = [{{ token_env = "T", groups = [{}] }}]\n'

    def of(public: str, groups: str) -> str:
        (made.folder / "twohands.toml").write_text(own.format(public, groups))
        return told(made, "access")

    assert "0 passages for everybody, 1 for groups, 3 without it" in of('"all"', '"board"')
    assert "1 passages for everybody, 0 for groups" in of('"board"', "")
    assert of('"all"', '"*"')
    made.write("plans.md", "---\naudience: [legal, board]\n---\n# Plans\n\nThe bakery will be sold.")
    hand.documents("docs")
    hand.chunks("docs")
    assert "0 passages for everybody, 1 for groups, 3 without it" in of('"all"', '"board"')
    assert "1 passages for everybody, 0 for groups" in of('"legal", "board"', "")
    own = own.replace("[access]\n", '[access]\nfield = "slice"\n')
    assert "0 passages for everybody, 4 for groups, 0 without it" in of("", '"docs"')
    own = own.replace('"slice"', '"doc_id"')
    assert "0 passages for everybody, 4 for groups, 0 without it" in of("", '"docs/plans.md"')
    own = own.replace('field = "doc_id"\n', "")
    with pytest.raises(ConfigError, match=r"T may read none of the 4 passages.*documents have board, legal"):
        of('"all"', '"staff"')


def test_checks_of_serving_import_no_torch(made):
    code = (
        "import sys\nfrom orchestration import overview_serving\nfrom orchestration.config import load\n"
        "for name, check in overview_serving.checks(load(sys.argv[1]), None):\n"
        "    if name != 'access':\n        check()\n"
        "print({'torch', 'transformers', 'lancedb', 'dagster'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(made.folder / "twohands.toml")]
    assert subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout == "set()\n"
