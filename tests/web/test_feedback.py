from __future__ import annotations

import json
import threading
import time

import pytest

from assets.errors import DiskFull, EngineBusy
from orchestration.web.journal import Limits
from tests.web.world import error


def test_feedback_is_the_same_interaction_again_whole_and_later(world):
    one = world()
    id = one.ask(user="u-1").json()["id"]
    told = one.client.post("/v1/feedback", json={"id": id, "feedback": "down"}).json()
    assert (told["feedback"], told["corrected_response"]) == ("down", None)
    one.client.post("/v1/feedback", json={"id": id, "corrected_response": "At eight."})
    first, down, corrected = one.events()
    assert first["received_at"] < down["received_at"] < corrected["received_at"]
    assert corrected == {
        **first, "received_at": corrected["received_at"], "feedback": "down", "corrected_response": "At eight.",
    }  # fmt: skip


def test_feedback_finds_its_exchange_after_a_restart(world):
    id = world().ask().json()["id"]
    two = world()
    assert two.client.post("/v1/feedback", json={"id": id, "feedback": "up"}).status_code == 200
    assert [event["feedback"] for event in two.events() if event["id"] == id].count("up") == 1


def test_feedback_on_an_erased_interaction_is_gone_and_writes_nothing(world, monkeypatch):
    monkeypatch.setattr("orchestration.web.erasures.SECONDS", 0.0)
    gone: set[str] = set()
    one = world(erased=lambda: frozenset(gone))
    id, other = one.ask().json()["id"], one.ask().json()["id"]
    up = {"id": id, "feedback": "up"}
    assert one.client.post("/v1/feedback", json=up).status_code == 200
    gone.add(id)  # while it runs
    assert error(one.client.post("/v1/feedback", json=up)) == (410, "erased")
    assert len(one.events()) == 3
    assert one.client.post("/v1/feedback", json={**up, "id": other}).status_code == 200


def test_erasures_that_cannot_be_read_leave_the_known_ones_in_force(world, monkeypatch):
    monkeypatch.setattr("orchestration.web.erasures.SECONDS", 0.0)
    answers = [EngineBusy("the lake does not answer"), frozenset({"int-gone"})]

    def erased():
        found = answers.pop() if len(answers) > 1 else answers[0]
        if isinstance(found, Exception):
            raise found
        return found

    one = world(erased=erased)
    for _ in range(2):
        assert error(one.client.post("/v1/feedback", json={"id": "int-gone", "feedback": "up"})) == (410, "erased")
    assert one.client.post("/v1/feedback", json={"id": one.ask().json()["id"], "feedback": "up"}).status_code == 200


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"id": "int-none", "feedback": "up"}, (404, "unknown_interaction")),
        ({"id": "ID"}, (400, "invalid_request")),
        ({"id": "ID", "feedback": "maybe"}, (400, "invalid_request")),
        ({"id": "", "feedback": "up"}, (400, "invalid_request")),
        ({"feedback": "up"}, (400, "invalid_request")),
        ({"id": "ID", "corrected_response": "\ud800"}, (400, "invalid_request")),
        ({"id": "ID", "corrected_response": "a\0b"}, (400, "bad_question")),
        ({"id": "ID", "corrected_response": ""}, (400, "invalid_request")),
        ({"id": "ID", "feedback": "down", "corrected_response": " \u200b\n"}, (400, "invalid_request")),
    ],
)
def test_bad_feedback_is_refused_and_changes_nothing(world, body, expected):
    one = world()
    id = one.ask().json()["id"]
    body = {key: id if value == "ID" else value for key, value in body.items()}
    response = one.client.post("/v1/feedback", content=json.dumps(body), headers={"content-type": "application/json"})
    assert error(response) == expected
    assert len(one.events()) == 1


@pytest.mark.parametrize(
    ("correction", "said"),
    [
        (
            "a\0b",
            "this cannot be noted: a NUL character in a text. Expected: text in Unicode, without NUL. "
            "Next: send it as plain text.",
        ),
        (
            "",
            "corrected_response: received an empty text. Expected: the answer as it should be, or null, which takes a "
            "correction back. Next: write that answer, or send feedback alone.",
        ),
    ],
)
def test_correction_that_is_refused_says_why_and_what_to_do(world, correction, said):
    one = world()
    id = one.ask().json()["id"]
    told = one.client.post("/v1/feedback", json={"id": id, "corrected_response": correction})
    assert told.json()["error"]["message"] == said


def test_two_words_on_one_answer_lose_neither(world):
    one = world()
    id = one.ask().json()["id"]
    bodies = [{"id": id, "feedback": "up"}, {"id": id, "corrected_response": "At eight."}] * 10
    threads = [threading.Thread(target=one.client.post, args=("/v1/feedback",), kwargs={"json": b}) for b in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = max(one.events(), key=lambda event: event["received_at"])
    assert (last["feedback"], last["corrected_response"]) == ("up", "At eight.")


def test_answer_that_cannot_be_logged_is_not_given(world, monkeypatch):
    one = world()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("orchestration.web.segments.Segment.append", full)
    response = one.ask()
    assert error(response) == (503, "disk_full")
    assert response.headers["retry-after"]
    assert "ferry leaves" not in response.text
    asked = len(one.answering.askers)
    assert error(one.ask()) == (503, "disk_full")
    assert len(one.answering.askers) == asked, "the second one is refused before anything is generated"
    assert one.client.get("/healthz").status_code == 503
    monkeypatch.undo()
    time.sleep(one.journal.limits.pause_seconds)
    assert one.ask().status_code == 200
    assert one.client.get("/healthz").json()["status"] == "ok"


def test_stream_that_cannot_be_logged_says_so_and_does_not_end_well(world, monkeypatch):
    one = world()
    monkeypatch.setattr(one.journal, "append", lambda _: (_ for _ in ()).throw(DiskFull("full")))
    *_, last = one.stream()
    assert last["error"]["code"] == "disk_full"


def test_full_queue_is_a_503(world, monkeypatch):
    monkeypatch.setattr("orchestration.web.log.WAIT_SECONDS", 0.1)
    one = world(limits=Limits(backlog=0))
    assert error(one.ask()) == (503, "busy")


def test_more_questions_than_places_are_asked_to_come_again(world):
    one = world(settings={"concurrent": 1})
    one.answering.gate.clear()
    first: list = []
    thread = threading.Thread(target=lambda: first.append(one.ask()))
    thread.start()
    while not one.answering.askers:
        time.sleep(0.01)
    busy = one.ask()
    assert error(busy) == (503, "busy")
    assert busy.headers["retry-after"] == "2"
    one.answering.gate.set()
    thread.join()
    assert first[0].status_code == 200
    assert one.ask().status_code == 200


def test_degraded_server_says_so_and_goes_on(world):
    one = world()
    one.answering.trouble = ["rel-2: the adapter is not what was released"]
    told = one.client.get("/healthz")
    assert (told.status_code, told.json()["status"]) == (200, "degraded")
    assert told.json()["problems"] == one.answering.trouble


def test_metrics_count_what_happened(world):
    one = world()
    one.ask("refuse")
    id = one.ask("fall back").json()["id"]
    one.client.post("/v1/feedback", json={"id": id, "feedback": "down", "corrected_response": "x"})
    text = one.client.get("/metrics").text
    for line in ('twohands_refusals_total{variant="main"} 1.0', 'twohands_answers_total{variant="main"} 2.0',
                 'twohands_fallbacks_total{variant="main",why="no support"} 1.0', "twohands_corrections_total 1.0",
                 'twohands_feedback_total{feedback="down"} 1.0', "twohands_journal_events 3.0",
                 "twohands_journal_backlog 0.0", 'twohands_release_info{release="rel-1",variant="main"} 1.0',
                 'twohands_requests_total{route="/v1/feedback",status="200"} 1.0',
                 'twohands_requests_total{route="/v1/chat/completions",status="200"} 2.0'):  # fmt: skip
        assert line in text, line
