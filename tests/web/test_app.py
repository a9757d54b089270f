from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import ExitStack

import pytest
from starlette.testclient import TestClient

from assets.behavior.interactions import parse
from assets.errors import ConfigError, CorruptState, DiskFull, EngineBusy, ModelError, NothingPublished
from assets.serving.answers import Asker
from orchestration.settings_serve import ServeSettings
from orchestration.web.access import Access, Rates, is_local
from orchestration.web.answers import Turns, pieces
from orchestration.web.app import app
from orchestration.web.errors import Refused
from orchestration.web.journal import Journal, Limits
from tests.web.fakes import FERRY, SAFE, FakeAnswering, FakeLibrary, logged

STAFF, BOSS = "staff-token-0123456789", "boss-token-0123456789"
TOKENS = {
    "tokens": [
        {"token_env": "STAFF", "groups": ["staff"], "name": "intranet"},
        {"token_env": "BOSS", "groups": ["*"]},
    ]
}


class World:
    """One app over stand-ins, its folder, and a client of it."""

    def __init__(self, folder, stack, *, settings=None, limits=None, host="http://127.0.0.1:3001", variants=None):
        self.answering, self.folder = FakeAnswering(variants), folder
        self.journal = Journal(folder, limits or Limits())
        made = ServeSettings.model_validate(settings or {})
        access = Access(made, {"STAFF": STAFF, "BOSS": BOSS})
        app_ = app(self.answering, self.journal, made, library=FakeLibrary(), access=access)
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


@pytest.fixture
def world(tmp_path):
    with ExitStack() as stack:
        yield lambda **more: World(tmp_path / "landing", stack, **more)


def error(response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


# ---------------------------------------------------------------------------------------------------------- answers


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


# ---------------------------------------------------------------------------------------------------------- bad input


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


# ---------------------------------------------------------------------------------------------------------- feedback


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
    ],
)
def test_bad_feedback_is_refused_and_changes_nothing(world, body, expected):
    one = world()
    id = one.ask().json()["id"]
    body = {key: id if value == "ID" else value for key, value in body.items()}
    response = one.client.post("/v1/feedback", content=json.dumps(body), headers={"content-type": "application/json"})
    assert error(response) == expected
    assert len(one.events()) == 1


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


# ---------------------------------------------------------------------------------------------------------- faults


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


# ---------------------------------------------------------------------------------------------------------- access


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "ask.example.com"])  # noqa: S104
def test_server_for_strangers_needs_tokens(host):
    with pytest.raises(ConfigError, match=r"serve.host: .* anybody could ask.*Next: export"):
        Access(ServeSettings(host=host), {})
    assert not is_local(host)


@pytest.mark.parametrize("value", ["", "short", "has a space in the middle", "ünïcode-token-0123456789"])
def test_tokens_that_are_none_are_refused(value):
    with pytest.raises(ConfigError, match=r"serve.tokens: the environment variable 'STAFF'"):
        Access(ServeSettings.model_validate(TOKENS), {"STAFF": value, "BOSS": BOSS})


def test_two_clients_with_one_token_are_refused():
    with pytest.raises(ConfigError, match="the same token"):
        Access(ServeSettings.model_validate(TOKENS), {"STAFF": BOSS, "BOSS": BOSS})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("header", [{}, bearer("x" * 20), bearer(""), {"Authorization": f"Basic {STAFF}"}])
def test_nothing_is_told_without_a_valid_token(world, header):
    one = world(settings=TOKENS)
    for method, path in (("GET", "/v1/models"), ("GET", "/metrics"), ("GET", "/v1/passages/c-ferry"),
                         ("POST", "/v1/feedback"), ("POST", "/v1/chat/completions"), ("GET", "/nothing")):  # fmt: skip
        response = one.client.request(method, path, headers=header)
        assert error(response) == (401, "invalid_api_key"), path
        assert response.headers["www-authenticate"].startswith("Bearer")
    assert one.client.get("/", headers=header).status_code == 200
    one.answering.trouble = ["/home/x"]
    assert one.client.get("/healthz", headers=header).json() == {"status": "degraded"}


def test_token_says_who_asks_and_what_may_be_read(world):
    one = world(settings=TOKENS)
    staff = one.ask(headers=bearer(STAFF)).json()["twohands"]
    boss = one.ask(headers=bearer(BOSS), where={"audience": "managers"}).json()["twohands"]
    assert one.answering.askers == [Asker(frozenset({"staff"})), Asker(None)]
    assert [p["chunk_id"] for p in staff["passages"]] == ["c-ferry"]
    assert [p["chunk_id"] for p in boss["passages"]] == ["c-ferry", "c-safe"]
    assert {event["user"] for event in one.events()} == {"intranet", "BOSS"}
    hidden = one.client.get(f"/v1/passages/{SAFE.chunk_id}", headers=bearer(STAFF))
    absent = one.client.get("/v1/passages/c-none", headers=bearer(STAFF))
    assert hidden.status_code == absent.status_code == 404
    assert hidden.json() == absent.json()
    shown = one.client.get(f"/v1/passages/{SAFE.chunk_id}", headers=bearer(BOSS)).json()
    assert (shown["title"], shown["date"], shown["version"]) == ("<b>Safe</b>", "2026-11-01", "0123456789ab")


def test_rate_is_of_each_token(world):
    one = world(settings={**TOKENS, "questions_per_minute": 2})
    assert [one.ask(headers=bearer(STAFF)).status_code for _ in range(3)] == [200, 200, 429]
    limited = one.ask(headers=bearer(STAFF))
    assert error(limited) == (429, "rate_limit_exceeded")
    assert 1 <= int(limited.headers["retry-after"]) <= 30
    assert one.ask(headers=bearer(BOSS)).status_code == 200


def test_rate_comes_back_with_time():
    clock = [0.0]
    rates, client = Rates(60, lambda: clock[0]), Access(ServeSettings(), {}).client("")
    for _ in range(60):
        rates.take(client)
    with pytest.raises(Refused):
        rates.take(client)
    clock[0] = 1.0
    rates.take(client)


@pytest.mark.parametrize("host", ["evil.example:3001", "127.0.0.1.evil.example", "", "[::2]:3001"])
def test_other_host_names_are_refused_on_this_machine(world, host):
    assert error(world().client.get("/v1/models", headers={"host": host})) == (421, "wrong_host")


@pytest.mark.parametrize("host", ["localhost:3001", "127.0.0.1", "[::1]:3001", "LOCALHOST"])
def test_own_host_names_are_taken(world, host):
    assert world().client.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}]
)
def test_other_sites_may_not_use_the_server(world, headers):
    one = world()
    response = one.client.post("/v1/feedback", json={"id": "x", "feedback": "up"}, headers=headers)
    assert error(response) == (403, "cross_site")
    assert "access-control-allow-origin" not in response.headers
    form = one.client.post("/v1/feedback", data={"id": "x"})
    assert error(form) == (415, "not_json")


def test_every_answer_has_its_headers(world):
    one = world()
    for path in ("/", "/page/ask.js", "/v1/models", "/nothing"):
        headers = one.client.get(path).headers
        assert "script-src 'self';" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "cache-control" in headers
    assert error(one.client.get("/page/../app.py")) == (404, "not_found")
    assert error(one.client.get("/page/%2e%2e%2fapp.py")) == (404, "not_found")


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
