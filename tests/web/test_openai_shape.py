"""Answers as OpenAI's API documents them: what its clients read of a completion, of a stream, and of `usage`."""

from __future__ import annotations

import pytest

COMPLETION = {"id": str, "object": str, "created": int, "model": str, "choices": list, "usage": dict}
CHOICE = {"index": int, "message": dict, "finish_reason": str}
CHUNK = {"id": str, "object": str, "created": int, "model": str, "choices": list}
USAGE = {"prompt_tokens": 40, "completion_tokens": 7, "total_tokens": 47}


def has(value: dict, shape: dict[str, type]) -> None:
    for name, kind in shape.items():
        assert isinstance(value[name], kind), (name, value.get(name))


def test_completion_has_the_documented_fields_and_its_usage(world):
    told = world().ask().json()
    has(told, COMPLETION)
    [choice] = told["choices"]
    has(choice, CHOICE)
    assert (told["object"], choice["message"]["role"], choice["finish_reason"]) == (
        "chat.completion",
        "assistant",
        "stop",
    )
    assert told["usage"] == USAGE


def test_usage_is_left_out_where_the_engine_does_not_tell(world):
    one = world()
    one.answering.usage = None
    assert "usage" not in one.ask().json()
    *chunks, done = one.stream(stream_options={"include_usage": True})
    assert done == "[DONE]"
    assert all(chunk["choices"] and chunk["usage"] is None for chunk in chunks)


def test_stream_tells_its_usage_in_a_last_chunk_of_its_own(world):
    *chunks, last, usage, done = world().stream(stream_options={"include_usage": True})
    for chunk in (*chunks, last, usage):
        has(chunk, CHUNK)
        assert chunk["object"] == "chat.completion.chunk"
    assert done == "[DONE]"
    assert last["choices"][0]["finish_reason"] == "stop"
    assert (usage["choices"], usage["usage"]) == ([], USAGE)
    assert usage["id"] == last["id"]
    assert [chunk["usage"] for chunk in (*chunks, last)] == [None] * (len(chunks) + 1)


@pytest.mark.parametrize("options", [{}, {"stream_options": None}, {"stream_options": {"include_usage": False}}])
def test_stream_tells_no_usage_that_was_not_asked_for(world, options):
    *chunks, last, done = world().stream(**options)
    assert done == "[DONE]"
    assert last["choices"][0]["finish_reason"] == "stop"
    assert not any("usage" in chunk for chunk in (*chunks, last))
