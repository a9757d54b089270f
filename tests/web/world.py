"""One app over stand-ins, in this process, and a client of it."""

from __future__ import annotations

import json

from starlette.testclient import TestClient

from orchestration.settings_serve import ServeSettings
from orchestration.web.access import Access
from orchestration.web.app import app
from orchestration.web.journal import Journal, Limits
from tests.web.fakes import FakeAnswering, FakeLibrary, logged

STAFF, BOSS = "staff-token-0123456789", "boss-token-0123456789"
TOKENS = {
    "tokens": [
        {"token_env": "STAFF", "groups": ["staff"], "name": "intranet"},
        {"token_env": "BOSS", "groups": ["*"]},
    ]
}


class World:
    """One app over stand-ins, its folder, and a client of it."""

    def __init__(self, folder, stack, *, settings=None, limits=None, host="http://127.0.0.1:3001", **more):
        self.answering, self.folder = FakeAnswering(more.pop("variants", None)), folder
        self.journal = Journal(folder, limits or Limits())
        made = ServeSettings.model_validate(settings or {})
        access = Access(made, {"STAFF": STAFF, "BOSS": BOSS})
        app_ = app(self.answering, self.journal, made, library=FakeLibrary(), access=access, **more)
        self.client = stack.enter_context(TestClient(app_, base_url=host, raise_server_exceptions=False))

    def ask(self, question="When?", **more):
        headers = more.pop("headers", {})
        body = {"model": "main", "messages": [{"role": "user", "content": question}], **more}
        return self.client.post("/v1/chat/completions", json=body, headers=headers)

    def stream(self, question="When?", **more):
        found = []
        for line in self.ask(question, stream=True, **more).text.split("\n\n"):
            if line:
                data = line.removeprefix("data: ")
                found.append(data if data == "[DONE]" else json.loads(data))
        return found

    def events(self):
        return logged(self.folder)


def error(response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]
