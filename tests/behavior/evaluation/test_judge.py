"""The judge against a server of its own: pinned, held against anchors, and never with its key in a message."""

from __future__ import annotations

import json

import pytest

from assets.behavior.evaluation.judge import Judge, JudgeChanged, Pair, parsed
from assets.errors import ConfigError, EngineBusy, EngineError
from orchestration.engines.chat_client import ChatClient
from tests.behavior.evaluation.judge_server import KEY, MODEL, kinder

ANCHORS = [Pair(f"x{n}", "Say it kindly.", "Go away.", "Please come in.", better="B") for n in range(5)]
PAIRS = [Pair(f"p{n}", "Say it kindly.", "Go away.", f"Please take seat {n}.", f"g{n}") for n in range(20)]


def client(server, **options) -> ChatClient:
    return ChatClient(server.url, MODEL, key_env="JUDGE_KEY", pause=0.001, attempts=3, **options)


def judge(server, anchors=ANCHORS) -> Judge:
    return Judge(client(server), "be kind", anchors)


def test_kinder_answers_are_preferred_in_both_orders(server):
    seen = []
    found = judge(server).judge(PAIRS, progress=lambda done, of: seen.append((done, of)))
    assert (found.preference.mean, found.contradicted, found.agreement, found.model) == (1, 0, 1, MODEL)
    assert (found.wins, found.ties, found.losses) == (20, 0, 0)
    assert found.preference.low > 0.5
    assert len(server.asked) == 2 * (len(ANCHORS) + len(PAIRS))
    assert seen[-1] == (20, 20)
    path, body = server.asked[0]
    assert (path, body["model"], body["temperature"]) == ("/v1/chat/completions", MODEL, 0)
    assert set(server.keys) == {f"Bearer {KEY}"}


def test_judge_that_prefers_the_first_answer_says_nothing(server):
    """Whatever is there: both orders contradict each other, and the anchors show it."""
    server.answer = lambda a, b: '{"verdict": "A"}'
    with pytest.raises(JudgeChanged, match="agrees with 0 of 5 anchors"):
        judge(server).judge(PAIRS)


def test_contradictions_count_as_ties(server):
    server.answer = lambda a, b: kinder(a, b) if "come in" in a + b else '{"verdict": "A"}'
    found = judge(server).judge(PAIRS)
    assert (found.preference.mean, found.contradicted, found.ties) == (0, 1, 20)


def test_another_version_under_the_same_address_is_noticed(server):
    server.model = "judge-2026-09-01"
    with pytest.raises(JudgeChanged, match="answers as 'judge-2026-09-01'"):
        judge(server).judge(PAIRS)


def test_judge_that_says_nothing_readable_is_refused(server):
    server.answer = lambda a, b: "I like both A and B."
    with pytest.raises(EngineError, match="name neither A, B nor tie"):
        judge(server).judge(PAIRS)


def test_pin_names_model_guideline_anchors_and_agreement(server):
    pins = {
        judge(server).pin,
        Judge(client(server), "be brief", ANCHORS).pin,
        judge(server, ANCHORS[:4]).pin,
        Judge(ChatClient(server.url, "other"), "be kind", ANCHORS).pin,
        Judge(client(server), "be kind", ANCHORS, 0.5).pin,
    }
    assert len(pins) == 5
    assert judge(server).pin in pins


@pytest.mark.parametrize("anchors", [[], PAIRS[:1]])
def test_judge_without_anchors_is_wrong_configuration(server, anchors):
    with pytest.raises(ConfigError, match="no anchors"):
        judge(server, anchors)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('{"verdict": "A"}', "A"),
        ('{"verdict": "b"}', "B"),
        ('```json\n{"verdict": "tie"}\n```', "tie"),
        ("B", "B"),
        ("Verdict: B. It is a kind answer.", "B"),
        ("A, although B is shorter", None),
        ('{"verdict": "C"}', None),
        ('{"winner": "A and B"}', None),
        ("", None),
        ("[" * 200_000, None),
    ],
)
def test_verdict_is_read_from_a_reply(text, verdict):
    assert parsed(text) == verdict


# ------------------------------------------------------------------------------------------------ the client


def asked(server, **options):
    data = json.dumps({"answer A": "", "answer B": ""})
    return client(server, **options).complete(
        [{"role": "system", "content": ""}, {"role": "user", "content": f"guideline\n\n{data}"}]
    )


def test_busy_server_is_asked_again(server):
    server.statuses = [429, 503]
    assert asked(server).model == MODEL
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("statuses", "error", "message", "calls"),
    [
        ([503] * 9, EngineBusy, r"status 503, 3 attempts", 3),
        ([401], EngineError, "the key is wrong", 1),
        ([404], EngineError, "it has no model", 1),
        ([302], EngineError, "status 302", 1),  # and the key does not travel
    ],
)
def test_refusals_are_told_apart_and_never_tell_the_key(server, statuses, error, message, calls):
    server.statuses = statuses
    with pytest.raises(error, match=message) as found:
        asked(server)
    assert len(server.asked) == calls
    assert found.value.__suppress_context__ is (error is EngineError)  # a response may repeat what was sent
    chain, told = found.value, ""
    while chain is not None:
        told += f"{chain!s} {chain!r}"
        chain = chain.__cause__
    assert KEY not in told


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b'{"choices": []}', b"x" * 1_000_001, b"\xff\xfe"])
def test_reply_that_is_none_is_refused(server, raw):
    server.raw = raw
    with pytest.raises(EngineError, match="sent no chat completion"):
        asked(server)


def test_server_that_is_not_there_is_busy():
    with pytest.raises(EngineBusy, match="URLError"):
        ChatClient("http://127.0.0.1:9/v1", MODEL, attempts=1).complete([])


@pytest.mark.parametrize("value", ["", "two\nlines", "schlüssel"])
def test_key_that_is_none_is_named_by_its_variable(server, monkeypatch, value):
    monkeypatch.setenv("JUDGE_KEY", value)
    with pytest.raises(ConfigError, match="JUDGE_KEY") as found:
        asked(server)
    assert not value or value not in str(found.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "localhost:8000", "http://user:secret@host/v1", "ftp://x"])
def test_address_that_is_none_is_wrong_configuration(url):
    with pytest.raises(ConfigError, match=r"evaluation\.judge\.url") as found:
        ChatClient(url, MODEL)
    assert "secret" not in str(found.value)
