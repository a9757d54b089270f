"""A real server process over stand-ins: `python -m tests.web.server FOLDER PORT`. Also drives it, for tests."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent


class Server:
    """One server on one port, over one folder; started, killed and started again."""

    MODULE = "tests.web.server"

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder.parent / "server.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.MODULE, str(self.folder), str(self.port)],
                cwd=ROOT, stdout=log, stderr=log,
                env={**os.environ, **environment},
            )  # fmt: skip
        self.up()

    def up(self) -> None:
        """Waits until it answers."""
        until = time.monotonic() + 120
        while True:
            try:
                if Client(self.port).get("/healthz")[0] == 200:  # open, with and without tokens
                    return
            except OSError:
                pass
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


class Client:
    """One kept connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def get(self, path: str) -> tuple[int, Any]:
        self._connection.request("GET", path)
        return self._read()

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        self._connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        return self._read()

    def ask(self, question: str = "When?") -> tuple[int, Any]:
        return self.post("/v1/chat/completions", {"messages": [{"role": "user", "content": question}]})

    def _read(self) -> tuple[int, Any]:
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())


class NotTaken(OSError):
    """The connection ended before the server had taken the request: it may be sent again, and nothing was lost."""


def taken(port: int, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
    """One request on a connection of its own: status and what was answered.

    The body is sent when the server asks for it (`100 Continue`): from then on it has taken the request, and whatever
    is raised is an answer that it owes. Before, it is NotTaken: a connection that still waits to be accepted is reset
    where a server stops listening, and no server can help that.
    """
    data = json.dumps(body).encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        try:
            connection.putrequest("POST", path)
            for name, value in (("content-type", "application/json"), ("content-length", str(len(data)))):
                connection.putheader(name, value)
            connection.putheader("expect", "100-continue")
            connection.endheaders()
            _wait_for_100(connection.sock)
        except (OSError, http.client.HTTPException) as error:
            raise NotTaken(f"{type(error).__name__}: {error}") from error
        connection.send(data)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _wait_for_100(sock: socket.socket) -> None:
    said = b""
    while not said.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            raise ConnectionError(f"ended after {said!r}")
        said += byte
    assert said.startswith(b"HTTP/1.1 100 "), said


def main() -> None:
    import uvicorn

    from orchestration.settings_serve import ServeSettings, TokenSettings
    from orchestration.web.app import app
    from orchestration.web.journal import Journal
    from tests.web.fakes import FakeAnswering, FakeLibrary

    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    tokens = (TokenSettings(token_env="ASK_TOKEN", groups=("staff",)),) if "ASK_TOKEN" in os.environ else ()
    settings = ServeSettings(concurrent=100, questions_per_minute=0, tokens=tokens)
    answering = FakeAnswering(["main", "api"])
    answering.pause = float(os.environ.get("PAUSE", "0"))  # seconds a word
    made = app(answering, Journal(folder), settings, library=FakeLibrary())
    uvicorn.run(made, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=10)


if __name__ == "__main__":
    main()
