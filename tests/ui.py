"""A real `twohands dev` over a project, and a real Chromium that looks at it."""

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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@contextmanager
def chromium() -> Iterator[Any]:
    """The machine's own browser; the test is skipped where there is none."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not program:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium; or set CHROMIUM)")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)  # a page of a busy machine takes longer than five seconds
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, headless=True, args=FLAGS)
        yield launched
        launched.close()


@contextmanager
def opened(browser: Any, server: Server, **viewport: int) -> Iterator[Any]:
    """A new page of the UI, as wide and high as `viewport` says."""
    server.query("mutation{setNuxSeen}")  # the first visit's pop-up would cover the page
    context = browser.new_context(viewport={"width": 1600, "height": 1000, **viewport})
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()


class Server:
    """The UI's address, its GraphQL, and the documents it serves."""

    def __init__(self, folder: Path, home: str = "home", *, asks: bool = True) -> None:
        self.folder, self.docs, self.log = folder, folder / "docs", folder / "server.log"
        self.home = folder / home
        self.port, self.ask_port = _free_port(), _free_port() if asks else 0  # 0: without the ask page
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "orchestration", "--config", str(self.folder / "twohands.toml"),
                   "--home", str(self.home), "dev", "--port", str(self.port)]  # fmt: skip
        # A server that a non-interactive shell starts ignores SIGINT; this gives it back its default.
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdout=self.log.open("wb"), stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "SERVE_PORT": str(self.ask_port)},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        self.wait(lambda: self.query("{version}"), 180, "the server to answer")

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
