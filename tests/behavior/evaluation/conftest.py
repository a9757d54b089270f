"""What several tests of evaluations need."""

from __future__ import annotations

import threading

import pytest

from tests.behavior.evaluation.judge_server import KEY, Server


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    made = Server()
    threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()
