from __future__ import annotations

import pytest

from assets.errors import ConfigError
from assets.serving.answers import Asker
from orchestration.settings_serve import ServeSettings
from orchestration.web.access import Access, Rates, is_local
from orchestration.web.errors import Refused
from tests.web.fakes import SAFE
from tests.web.world import BOSS, STAFF, TOKENS, error


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
    assert one.answering.askers == [Asker(frozenset({"staff", "user:intranet"})), Asker(None)]
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
