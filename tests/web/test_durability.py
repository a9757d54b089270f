"""A real server that is killed, restarted and starved of disk while people ask: nothing that was confirmed is lost."""

from __future__ import annotations

import http.client
import json
import resource
import threading
import time
from collections.abc import Callable

import pytest

from tests.web.fakes import logged
from tests.web.server import Client, NotTaken, Server, taken

BROKEN = (OSError, http.client.HTTPException)


@pytest.fixture
def server(tmp_path):
    made = Server(tmp_path / "landing")
    made.start()
    yield made
    if made.process is not None and made.process.poll() is None:
        made.kill()


class Load:
    """Clients that ask, every other one for streams, and give feedback all the time; each request has a connection of
    its own. `confirmed` holds (id, received_at or "") of what was, `broken` what the server took and did not answer."""

    def __init__(self, server: Server, clients: int = 8) -> None:
        self.server, self.going = server, True
        self.confirmed: list[tuple[str, str]] = []
        self.broken: list[str] = []
        self.statuses: set[int] = set()
        self._threads = [threading.Thread(target=self._run, args=(n % 2 == 1,), daemon=True) for n in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self, streams: bool) -> None:
        id = ""
        while self.going:
            try:
                id = "" if id and self._correct(id) else self._ask(streams)
            except NotTaken:
                time.sleep(0.02)
            except BROKEN as error:
                self.broken.append(f"{type(error).__name__}: {error}")

    def _ask(self, streams: bool) -> str:
        body = {"messages": [{"role": "user", "content": "When?"}], "stream": streams}
        status, said = taken(self.server.port, "/v1/chat/completions", body)
        self.statuses.add(status)
        if status != 200:
            return ""
        if streams and not said.endswith(b"data: [DONE]\n\n"):
            self.broken.append(f"a stream that ends in {said[-200:]!r}")
            return ""
        told = json.loads(said.split(b"\n")[0].removeprefix(b"data: "))
        self.confirmed.append((told["id"], ""))
        return told["id"]

    def _correct(self, id: str) -> bool:
        body = {"id": id, "feedback": "down", "corrected_response": "x"}
        status, said = taken(self.server.port, "/v1/feedback", body)
        self.statuses.add(status)
        if status == 200:
            self.confirmed.append((id, json.loads(said)["received_at"]))
        return True

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, self.server.log.read_text()
            time.sleep(0.01)

    def end(self) -> None:
        self.going = False
        for thread in self._threads:
            thread.join(60)

    def missing(self) -> set[tuple[str, str]]:
        events = logged(self.server.folder)
        there = {(e["id"], e["received_at"]) for e in events} | {(e["id"], "") for e in events}
        return set(self.confirmed) - there


def test_killed_server_loses_nothing_that_it_confirmed(server):
    load = Load(server)
    for _ in range(3):
        before = len(load.confirmed)
        load.until(lambda: len(load.confirmed) > before + 200)  # noqa: B023 - called before the next turn
        server.kill()
        server.start()
    answered = next(id for id, received in load.confirmed if not received)
    load.end()
    assert load.missing() == set()
    assert load.statuses == {200}
    assert Client(server.port).post("/v1/feedback", {"id": answered, "feedback": "up"})[0] == 200, "of before the kills"
    for path in server.folder.glob("served-*.jsonl"):
        assert path.read_bytes().endswith(b"\n"), "half lines are ended at the next start"


def test_server_that_is_restarted_under_load_fails_no_request_that_it_took(server):
    server.stop()
    server.start(PAUSE="0.05")  # answers take a third of a second: there are always some under way
    load = Load(server)
    for _ in range(3):
        before = len(load.confirmed)
        load.until(lambda: len(load.confirmed) > before + 50)  # noqa: B023
        server.stop()
        server.start(PAUSE="0.05")
    load.end()
    assert load.broken == []
    assert load.missing() == set()
    assert load.statuses == {200}


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="the file size of another process is limited on Linux")
def test_full_disk_is_told_and_the_server_goes_on_when_there_is_room(server):
    client = Client(server.port)
    while client.ask()[0] != 200:
        pass
    [path] = server.folder.iterdir()
    size = path.stat().st_size
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
    status, told = client.ask()
    assert (status, told["error"]["code"]) == (503, "disk_full")
    assert "Next: free some space" in told["error"]["message"]
    assert client.get("/healthz")[0] == 503
    assert path.stat().st_size == size, "half a line was taken back"
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    end = time.monotonic() + 30
    while client.ask()[0] != 200:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert client.get("/healthz")[1]["status"] == "ok"
    assert len(logged(server.folder)) == 2
