"""Releases that move while people ask over HTTP: nobody waits for a restart, and nobody's request fails."""

from __future__ import annotations

import json
import threading

import pytest

from tests.web.fakes import logged
from tests.web.released import QUESTION, SAID, Released, house
from tests.web.server import taken

MOVES, CLIENTS = 24, 4


@pytest.fixture
def server(tmp_path):
    made = Released(tmp_path / "landing")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.kill()


def ask(server: Released, *, stream: bool = False) -> dict:
    """What `twohands` holds of an answer; an AssertionError for anything but a whole one."""
    body = {"messages": [{"role": "user", "content": QUESTION}], "stream": stream}
    status, said = taken(server.port, "/v1/chat/completions", body)
    assert status == 200, said
    if stream:
        *_, last, done, _ = said.split(b"\n\n")
        assert done == b"data: [DONE]", said
        said = last.removeprefix(b"data: ")
    return json.loads(said)["twohands"]


class Load:
    """Threads that ask all the time, every other one for streams."""

    def __init__(self, server: Released) -> None:
        self.server, self.going = server, True
        self.answers: list[dict] = []
        self.failed: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(n % 2 == 1,), daemon=True) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _run(self, stream: bool) -> None:
        while self.going:
            try:
                self.answers.append(ask(self.server, stream=stream))
            except Exception as error:  # noqa: BLE001 - what is counted here
                self.failed.append(f"{type(error).__name__}: {error}")

    def end(self) -> None:
        self.going = False
        for thread in self._threads:
            thread.join(60)


def test_release_that_moves_under_load_fails_no_request_and_holds_from_the_next_question_on(server):
    releases = house(server.folder)
    ids = {name: releases.promote(name) for name in ("left", "right")}
    names = {id: name for name, id in ids.items()}
    server.start()
    load, own = Load(server), []
    for move in range(MOVES):
        to = ids["left" if move % 2 == 0 else "right"]
        releases.releases.promote("main", to, why="back and forth", by="ann")
        own.append(ask(server))
        assert own[-1]["release_id"] == to, "of the first question after the move"
    load.end()
    assert load.failed == []
    for told in (*own, *load.answers):
        assert told["release_id"] == told["stamp"]["release"]
        name = names[told["release_id"]]
        assert (told["answer"], told["stamp"]["adapter"], told["fallback"]) == (SAID[name], name, "")
    assert {told["release_id"] for told in load.answers} == set(names)
    noted = {event["id"]: event["release_id"] for event in logged(server.folder)}
    assert noted == {told["interaction_id"]: told["release_id"] for told in (*own, *load.answers)}
