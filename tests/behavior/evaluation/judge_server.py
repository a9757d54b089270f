"""An OpenAI-compatible server on this machine that judges by a rule: for tests of the judge."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODEL, KEY = "judge-2026-08-01", "sk-very-secret"


class Server(ThreadingHTTPServer):
    """An OpenAI-compatible server: `answer` sees the two answers, `statuses` come first."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = kinder
        self.model, self.statuses, self.raw = MODEL, [], None
        self.asked, self.keys, self.lock = [], [], threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append((self.path, body))
            self.server.keys.append(self.headers["Authorization"])
            status = self.server.statuses.pop(0) if self.server.statuses else 200
        data = json.loads(body["messages"][1]["content"].split("\n\n")[1])
        text = self.server.answer(data["answer A"], data["answer B"])
        whole = json.dumps({"model": self.server.model, "choices": [{"message": {"content": text}}]}).encode()
        whole = whole if self.server.raw is None else self.server.raw
        if status != 200:
            whole = f"you sent {self.headers['Authorization']}".encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:1/stolen")
        self.send_header("Content-Length", str(len(whole)))
        self.end_headers()
        self.wfile.write(whole)

    def log_message(self, *_):
        pass


def kinder(a: str, b: str) -> str:
    return json.dumps({"verdict": "tie" if a.count("lease") == b.count("lease") else "A" if "lease" in a else "B"})
