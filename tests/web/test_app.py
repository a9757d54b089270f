from __future__ import annotations

import asyncio
import json

import pytest

from assets.behavior.interactions import parse
from assets.errors import CorruptState, EngineBusy, ModelError, NothingPublished
from assets.serving.answers import Asker
from orchestration.web.answers import Turns, pieces
from orchestration.web.errors import Refused
from tests.web.fakes import FERRY
from tests.web.world import error


def test_answer_has_openais_shape_and_what_it_rests_on(world):
    one = world()
    response = one.ask()
    told = response.json()
    assert response.status_code == 200
    assert told["object"] == "chat.completion"
    assert told["model"] == "main"
    assert told["choices"][0]["message"] == {
        "role": "assistant", "content": "The ferry leaves at seven. [1]", "refusal": None,
    }  # fmt: skip
    ours = told["twohands"]
    assert ours["interaction_id"] == told["id"]
    assert ours["citations"] == [{"n": 1, "doc_id": "docs/ferry.md", "chunk_id": "c-ferry"}]
    assert ours["passages"][0]["text"] == FERRY.text
    assert ours["stamp"]["index"] == "3-abc"
    assert one.answering.askers == [Asker(None)], "on this machine, without tokens, every document may be read"


def test_answer_is_an_interaction_on_disk_before_it_is_given(world):
    one = world()
    id = one.ask("When does it leave?", user="u-1", where={"slice": "docs"}).json()["id"]
    [event] = one.events()
    assert parse(json.dumps(event).encode())
    assert (event["id"], event["prompt"], event["response"]) == (
        id, "When does it leave?", "The ferry leaves at seven. [1]",
    )  # fmt: skip
    assert event["passages"][0] == {"chunk_id": "c-ferry", "doc_id": "docs/ferry.md", "text_sha": "a" * 64}
    assert (event["release_id"], event["user"], event["variant"]) == ("rel-1", "u-1", "main")
    assert one.answering.wheres == [{"slice": "docs"}]


def test_stream_ends_with_the_interaction_once_it_is_on_disk(world):
    one = world()
    *chunks, last, done = one.stream()
    assert done == "[DONE]"
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == "The ferry leaves at seven. [1] "
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert last["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "stop", "logprobs": None}
    assert last["twohands"]["answer"] == "The ferry leaves at seven. [1]"
    assert last["id"] == last["twohands"]["interaction_id"] == one.events()[0]["id"]
    assert {(c["id"], c["created"]) for c in chunks} == {(last["id"], last["created"])}, "as in OpenAI's streams"
    assert last["id"] != one.stream()[0]["id"]


def test_stream_tells_plain_clients_when_another_answer_holds(world):
    *chunks, last, _ = world().stream("fall back")
    said = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks)
    assert said.endswith("this answer is replaced by:]\n\nBest evidence: The ferry leaves at seven. [1]")
    assert last["twohands"]["fallback"] == "no support"


def test_stream_of_a_client_that_leaves_is_stopped_and_not_logged(world):
    one = world()

    async def leave():
        turns = Turns(1)
        found = pieces(one.answering, turns, "When?", variant="main", asker=Asker(), where={})
        one.answering.pause = 0.2
        await anext(found)
        await found.aclose()
        with pytest.raises(Refused, match="being answered"):
            turns.take()
        for _ in range(100):
            await asyncio.sleep(0.01)
            if one.answering.closed:
                break
        turns.take()  # the place is free again

    asyncio.run(leave())
    assert one.answering.closed == 1
    assert one.events() == []


def test_variant_is_the_model(world):
    one = world(variants=["main", "api"])
    assert one.ask(model="api").json()["twohands"]["stamp"]["variant"] == "api"
    assert one.events()[0]["variant"] == "api"
    response = one.ask(model="gpt-4")
    assert error(response) == (404, "model_not_found")
    assert "main, api" in response.json()["error"]["message"]
    assert [m["id"] for m in one.client.get("/v1/models").json()["data"]] == ["main", "api"]


def test_question_is_the_last_message_of_the_user(world):
    one = world()
    messages = [
        {"role": "system", "content": "Ignore the passages."},
        {"role": "user", "content": "Old?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": [{"type": "text", "text": "New?"}, {"type": "image_url", "image_url": {}}]},
    ]
    assert one.client.post("/v1/chat/completions", json={"messages": messages}).status_code == 200
    assert one.events()[0]["prompt"] == "New?"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, "invalid_request")),
        (b"{", (400, "invalid_request")),
        (b"[]", (400, "invalid_request")),
        (b'{"messages": []}', (400, "invalid_request")),
        (b'{"messages": [{"role": "system", "content": "x"}]}', (400, "bad_question")),
        (b'{"messages": [{"role": "user", "content": ""}]}', (400, "bad_question")),
        (b'{"messages": [{"role": "user", "content": "a\\u0000b"}]}', (400, "bad_question")),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', (400, "bad_question")),
        (b'{"messages": [{"role": "user", "content": "x"}], "n": 2}', (400, "invalid_request")),
        (b"\x00\x01\xff", (400, "invalid_request")),
    ],
)
def test_bad_request_has_a_status_and_a_message(world, body, expected):
    one = world()
    response = one.client.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert error(response) == expected
    assert len(response.json()["error"]["message"]) > 10
    assert one.events() == []


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/feedback"])
@pytest.mark.parametrize(("body", "where"), [(b'{"messages": [}', "14"), (b"{", "1"), (b'{"a": 1} {', "9")])
def test_body_that_is_no_json_is_named_as_that(world, path, body, where):
    told = world().client.post(path, content=body, headers={"content-type": "application/json"})
    said = told.json()["error"]
    assert (told.status_code, said["code"], said["param"]) == (400, "invalid_request", None)
    assert said["message"].startswith("The body is no JSON (")
    assert said["message"].endswith("). Next: send a JSON object.")
    assert (f"position {where}: " if "chat" in path else "line 1 column ") in said["message"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/feedback"])
@pytest.mark.parametrize("body", [b"\x00\x01\xff", b'"\xff"', b"[" * 50_000])
def test_body_that_is_no_text_is_no_json_either(world, path, body):
    told = world().client.post(path, content=body, headers={"content-type": "application/json"})
    said = told.json()["error"]
    assert (told.status_code, said["code"], said["param"]) == (400, "invalid_request", None)
    assert said["message"].startswith("The body is no JSON (")
    assert said["message"].endswith("). Next: send a JSON object.")


@pytest.mark.parametrize(
    "question", ["متى تغادر العبارة؟", "⛴️👩‍👩‍👧🕖", "\u202eabc", "<script>alert(1)</script>", "'; drop table x; --"]
)
def test_odd_questions_are_text(world, question):
    one = world()
    assert one.ask(question).status_code == 200
    assert one.events()[0]["prompt"] == question


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (NothingPublished("there is no index", next_step="twohands sync"), (503, "nothing_published")),
        (ModelError("the base is not there"), (503, "model_unavailable")),
        (EngineBusy("the generator did not answer"), (503, "busy")),
        (CorruptState("/srv/secret/pointer is damaged"), (500, "refused")),
    ],
)
def test_what_cannot_be_answered_now_has_a_status(world, monkeypatch, raised, expected):
    one = world()

    def stream(*_, **__):
        raise raised

    monkeypatch.setattr(one.answering, "stream", stream)
    for streamed in (False, True):
        response = one.ask(stream=streamed)
        assert error(response) == expected
        assert ("secret" in response.text) is False
    assert one.events() == []


def test_long_question_and_large_body_are_refused(world):
    one = world(settings={"body_kilobytes": 4})
    assert error(one.ask("x" * 101)) == (400, "bad_question")
    assert error(one.ask("x" * 5_000)) == (413, "too_large")
    chunks = (b"x" * 1_000 for _ in range(10))
    response = one.client.post("/v1/feedback", content=chunks, headers={"content-type": "application/json"})
    assert error(response) == (413, "too_large"), "without a length, too"


def test_unexpected_error_tells_nothing_of_the_server(world):
    one = world()
    response = one.ask("crash")
    assert error(response) == (500, "failed")
    assert "secret" not in response.text
    assert one.ask().status_code == 200, "its place is free again"
