"""A real `twohands dev` over a small project, and a real Chromium that looks at it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


class Server:
    """The UI's address, its GraphQL, and the documents it serves."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.docs, self.log = folder, folder / "docs", folder / "server.log"
        self.port, self.ask_port = _free_port(), _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "orchestration", "--config", str(self.folder / "twohands.toml"),
                   "--home", str(self.folder / "home"), "dev", "--port", str(self.port)]  # fmt: skip
        # A server that a non-interactive shell starts ignores SIGINT; this gives it back its default.
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdout=self.log.open("wb"), stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "SERVE_PORT": str(self.ask_port)},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        self.wait(lambda: self.query("{version}"), 120, "the server to answer")

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)

    def query(self, query: str, **variables):
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)["data"]

    def runs(self) -> list[dict]:
        query = "{runsOrError{... on Runs{results{runId status jobName tags{key value}}}}}"
        return self.query(query)["runsOrError"]["results"]

    def wait(self, condition, seconds: float, what: str):
        """Polls until the condition holds; fails with the end of the server's log."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if found := condition():
                    return found
            except OSError:
                pass
            time.sleep(0.25)
        pytest.fail(f"waited {seconds:g} s for {what}\n{self.log.read_text()[-3000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="package")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ui")
    (folder / "docs").mkdir()
    for name, fact in (("ferry", "The ferry leaves at seven."), ("bakery", "Rye bread is baked on Fridays.")):
        (folder / "docs" / f"{name}.md").write_text(f"# {name.title()}\n\n{fact}\n")
    golden = [{"question": "when does the ferry leave", "doc_id": "docs/ferry.md"}] * 1
    golden.append({"question": "when is rye bread baked", "text": "baked on Fridays"})
    (folder / "golden.jsonl").write_text("".join(json.dumps(row) + "\n" for row in golden))
    (folder / "twohands.toml").write_text(
        '[sources.docs]\nurl = "docs"\n[index]\ngolden = "golden.jsonl"\n[behavior]\nlanding = "interactions"\n'
    )
    made = Server(folder)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="package")
def browser():
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium; or set CHROMIUM)")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)  # a page of a busy machine takes longer than five seconds
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser, server):
    server.query("mutation{setNuxSeen}")  # the first visit's pop-up would cover the page
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    yield opened
    context.close()
