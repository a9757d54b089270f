from __future__ import annotations

import gzip
import json
import random

import pytest

from assets.behavior import days
from assets.behavior.mappings import formats as mappings
from tests.behavior.landing_tools import NOW, Desk, august

CREATED = 1_785_664_800  # 2026-08-02T10:00:00Z
PASSAGES = [{"chunk_id": "c", "doc_id": "d.md", "text_sha": "s"}]


def chat(id="chatcmpl-1", **fields) -> dict:
    return {
        "id": id,
        "object": "chat.completion",
        "created": CREATED,
        "model": "gpt-x",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "First question"},
            {"role": "assistant", "content": "First answer"},
            {"role": "user", "content": [{"type": "text", "text": "What is"}, {"type": "text", "text": "leave?"}]},
        ],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Days off."}}],
        **fields,
    }


def rows(*records: dict, format="auto", name="export.jsonl") -> list[dict]:
    return read(b"".join(json.dumps(record).encode() + b"\n" for record in records), format, name)[0]


def read(data: bytes, format="auto", name="export.jsonl") -> tuple[list[dict], Desk]:
    desk = Desk()
    desk.landing.ingest(name, data, format)
    for day in desk.landing.days():
        days.materialize(desk.lake, day)
    return [row for table in desk.tables().values() for row in table], desk


def test_openai_record_becomes_an_interaction():
    row = rows(
        chat(
            user="u1",
            feedback={"rating": "thumbs_down", "correction": "30 days off.", "created_at": CREATED + 3600},
            metadata={"release_id": "r7", "topic": "leave", "variant": "support", "passages": json.dumps(PASSAGES)},
        )
    )[0]
    assert row["id"] == "chatcmpl-1"
    assert row["prompt"] == "What is\nleave?"
    assert row["response"] == "Days off."
    assert (row["occurred_at"].isoformat(), row["received_at"].hour) == ("2026-08-02T10:00:00+00:00", 11)
    assert (row["feedback"], row["corrected_response"]) == ("down", "30 days off.")
    assert (row["user_id"], row["release_id"], row["topic"], row["variant"]) == ("u1", "r7", "leave", "support")
    assert json.loads(row["passages"]) == PASSAGES


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("up", "up"),
        ("thumbs-down", "down"),
        (1, "up"),
        (0, "down"),
        (-1, "down"),
        (True, "up"),
        ({"score": "positive"}, "up"),
        ({"value": -1}, "down"),
        ({"comment": "hm"}, "none"),
        (None, "none"),
    ],
)
def test_openai_feedback_is_read_in_its_usual_forms(given, wanted):
    assert rows(chat(feedback=given))[0]["feedback"] == wanted


def test_openai_log_with_request_and_response_becomes_an_interaction():
    record = {
        "custom_id": "call-1",
        "timestamp": "2026-08-02T10:00:00Z",
        "request": {"body": {"model": "gpt-x", "messages": [{"role": "user", "content": "Q"}]}},
        "response": {"status_code": 200, "body": {"choices": [{"message": {"content": None, "refusal": "No."}}]}},
    }
    row = rows(record, format="openai")[0]
    assert (row["id"], row["prompt"], row["response"], row["release_id"]) == ("call-1", "Q", "No.", "gpt-x")


def test_openai_fine_tuning_row_takes_the_last_message_as_the_answer():
    messages = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    record = {"id": "x", "created": CREATED, "messages": messages}
    assert rows(record)[0]["response"] == "A"


def test_openai_feedback_that_comes_later_is_joined_to_its_completion():
    first = {"completion_id": "chatcmpl-1", "feedback": "up", "created_at": CREATED + 60}
    second = {"completion_id": "chatcmpl-1", "feedback": "down", "created_at": CREATED + 120}
    row = rows(second, chat(), first)[0]
    assert row["feedback"] == "down"
    assert (row["received_at"] - row["occurred_at"]).seconds == 120


def test_openai_records_that_cannot_be_mapped_are_quarantined_with_their_line():
    lost = {"completion_id": "nobody", "feedback": "up"}
    nameless = {key: value for key, value in chat().items() if key != "id"}
    data = b"".join(json.dumps(record).encode() + b"\n" for record in (chat(), lost, nameless)) + b"{cut\n[]\n"
    _, desk = read(data, "openai")
    assert sorted((line, reason) for _, line, reason in desk.quarantined()) == [
        (2, "unmapped"),
        (3, "unmapped"),
        (4, "not_json"),
        (5, "not_an_object"),
    ]


def trace(id="t1", **fields) -> dict:
    return {
        "id": id,
        "timestamp": "2026-08-02T10:00:00.000Z",
        "name": "ask",
        "userId": "u1",
        "sessionId": "s1",
        "release": "r7",
        "input": {"messages": [{"role": "user", "content": "What is leave?"}]},
        "output": {"role": "assistant", "content": "Days off."},
        "tags": ["web"],
        "metadata": {"passages": PASSAGES, "topic": "leave"},
        **fields,
    }


def score(name="user-feedback", value=None, trace="t1", at="2026-08-02T12:00:00.000Z", **fields) -> dict:
    return {
        "id": f"s-{name}-{at}",
        "traceId": trace,
        "name": name,
        "value": value,
        "timestamp": at,
        "source": "API",
    } | fields


def test_langfuse_trace_and_its_scores_become_an_interaction():
    row = rows(
        trace(),
        score(value=0, dataType="BOOLEAN"),
        score("correction", None, at="2026-08-02T13:00:00.000Z", dataType="CORRECTION", stringValue="30 days off."),
        score("schema_ok", 1, dataType="BOOLEAN"),
        score("hallucination", 0.9, dataType="NUMERIC", source="EVAL"),
    )[0]
    assert (row["id"], row["prompt"], row["response"]) == ("t1", "What is leave?", "Days off.")
    assert (row["feedback"], row["corrected_response"], row["schema_ok"]) == ("down", "30 days off.", True)
    assert (row["user_id"], row["release_id"], row["topic"]) == ("u1", "r7", "leave")
    assert json.loads(row["tags"]) == ["web"]
    assert row["received_at"].hour == 13


def test_langfuse_latest_user_score_counts_and_those_of_models_do_not():
    up, down = score(value=1, at="2026-08-02T12:00:00Z"), score(value=-1, at="2026-08-02T11:00:00Z")
    judged = score(value=-1, at="2026-08-02T14:00:00Z", source="EVAL")
    assert rows(trace(), up, down, judged)[0]["feedback"] == "up"
    words = score(stringValue="thumbs_down", dataType="CATEGORICAL", value=1)
    assert rows(trace(), words)[0]["feedback"] == "down"


def test_langfuse_export_to_object_storage_is_read_with_its_times_in_utc():
    record = {
        "id": "t1",
        "timestamp": "2026-08-02 23:30:00.000000",
        "session_id": None,
        "user_id": "u1",
        "input": '{"question": "What is leave?"}',
        "output": '"Days off."',
        "metadata": json.dumps({"passages": PASSAGES}),
    }
    feedback = {"id": "s", "trace_id": "t1", "timestamp": "2026-08-03 01:00:00.000000", "name": "feedback"}
    row = rows(record, feedback | {"value": 1, "data_type": "NUMERIC", "string_value": None})[0]
    assert row["occurred_at"].isoformat() == "2026-08-02T23:30:00+00:00"
    assert (row["prompt"], row["feedback"], row["release_id"]) == ("What is leave?", "up", "unknown")


def test_langfuse_root_observation_stands_for_a_trace_that_is_not_there():
    root = {"id": "o1", "trace_id": "t9", "start_time": "2026-08-02 10:00:00", "input": "Q", "output": "A"}
    root["parent_observation_id"] = None
    inner = root | {"id": "o2", "parent_observation_id": "o1", "input": "other"}
    found = rows(inner, root, format="langfuse")
    assert [(row["id"], row["prompt"]) for row in found] == [("t9", "Q")]


def test_langfuse_api_page_with_embedded_scores_is_read():
    page = {"data": [trace(scores=[score(value=1)]), trace("t2", scores=["an-id"])], "meta": {"page": 1}}
    found, _ = read(json.dumps(page, indent=2).encode(), "auto", "page.json")
    assert [(row["id"], row["feedback"]) for row in found] == [("t1", "up"), ("t2", "none")]


def test_langfuse_score_without_its_trace_is_quarantined():
    data = b"".join(json.dumps(record).encode() + b"\n" for record in (trace(), score(trace="elsewhere", value=1)))
    _, desk = read(data)
    assert [(line, reason) for _, line, reason in desk.quarantined()] == [(2, "unmapped")]


SPARSE = {
    "id": "t1",
    "timestamp": "2026-08-02T10:00:00Z",
    "input": "q?",
    "output": "a",
    "updatedAt": "2026-08-02T10:00:00Z",
}


def test_langfuse_records_with_few_fields_are_told_and_joined():
    score = {"id": "s1", "traceId": "t1", "name": "user-feedback", "value": 0, "source": "API"}
    row = rows(SPARSE, score | {"timestamp": "2026-08-02T10:10:00Z"})[0]
    assert (row["prompt"], row["response"], row["feedback"]) == ("q?", "a", "down")


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        (chat(), "openai"),
        (trace(), "langfuse"),
        (score(dataType="NUMERIC"), "langfuse"),
        ({"id": "a", "occurred_at": "x", "received_at": "x", "prompt": '"messages" "choices" "model"'}, "interactions"),
        ({"anything": 1}, "interactions"),
        (SPARSE, "langfuse"),
        ({"id": "s", "traceId": "t", "name": "user-feedback", "value": 0, "source": "API"}, "langfuse"),
        ({name: SPARSE[name] for name in ("id", "timestamp", "input", "output")}, "interactions"),
        (chat(timestamp=CREATED, updated_at=CREATED, usage={"input": 3, "output": 5}), "openai"),
    ],
)
def test_format_is_told_by_the_first_record(record, wanted):
    data = json.dumps(record).encode() + b"\n"
    assert mappings.sniff(data, packed=False) == wanted
    assert mappings.sniff(gzip.compress(data), packed=True) == wanted


def test_packed_export_in_the_landing_folder_is_mapped_and_replaced_as_a_whole():
    desk = Desk({"openai.jsonl.gz": gzip.compress(json.dumps(chat()).encode())})
    desk.tick()
    desk.folder.files["openai.jsonl.gz"] = gzip.compress(json.dumps(chat("chatcmpl-2")).encode())
    desk.tick()
    desk.build()
    assert [row["id"] for row in desk.rows(august(2))] == ["chatcmpl-2"]


RECORDS = {
    "openai": (chat, "chatcmpl-{}"),
    "langfuse": (lambda id: trace(id=id), "trace-{}"),
}


def export(format: str, count: int, first: int = 0) -> bytes:
    make, name = RECORDS[format]
    return b"".join(json.dumps(make(name.format(n))).encode() + b"\n" for n in range(first, first + count))


def damaged(packed: bytes) -> bytes:
    """The checksum does not fit; zlib itself finds nothing wrong."""
    return packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:]


FILE = "export.jsonl.gz"


@pytest.mark.parametrize("format", RECORDS)
@pytest.mark.parametrize(("spoil", "reason"), [(damaged, "corrupt_gzip"), (lambda d: d[: len(d) // 2], "truncated")])
def test_packed_export_that_is_damaged_or_cut_takes_nothing_away(format, spoil, reason):
    desk = Desk({FILE: gzip.compress(export(format, 2))})
    assert desk.tick().accepted == 2
    desk.build()
    good = desk.tables()
    desk.folder.files[FILE] = spoil(gzip.compress(export(format, 300, first=1)))
    report = desk.tick()
    assert (report.accepted, report.reasons, report.days) == (0, {reason: 1}, ())
    assert desk.build() == {}
    assert desk.tables() == good
    desk.folder.files[FILE] = gzip.compress(export(format, 300, first=1))
    assert desk.tick().accepted == 299
    desk.build()
    assert desk.quarantined() == []
    assert len(next(iter(desk.tables().values()))) == 300


@pytest.mark.parametrize("format", RECORDS)
@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_packed_export_that_is_still_being_written_waits(format, share):
    whole = gzip.compress(export(format, 300))
    desk = Desk({FILE: whole[: int(len(whole) * share)]}, modified=NOW - 5)
    report = desk.tick()
    assert (report.accepted, report.quarantined, report.waiting) == (0, 0, 1)
    desk.folder.files[FILE] = whole
    report = desk.tick()
    assert (report.accepted, report.waiting) == (300, 0)
    desk.build()
    desk.folder.files[FILE] = whole[: int(len(whole) * share)]  # somebody writes it again
    assert (desk.tick().waiting, desk.landing.dirty_days()) == (1, [])
    desk.clock += 3_700
    assert (desk.tick().reasons, desk.landing.dirty_days()) == ({"truncated": 1}, [])


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("format", RECORDS)
def test_flipped_bit_of_a_packed_export_changes_no_event(format, seed):
    data = bytearray(gzip.compress(export(format, 60)))
    data[random.Random(seed).randrange(12, len(data))] ^= 1 << (seed % 8)  # noqa: S311
    assert Desk({FILE: bytes(data)}).tick().accepted == 0


@pytest.mark.parametrize("format", RECORDS)
def test_half_a_last_record_waits_and_the_others_are_read(format):
    text = export(format, 3)
    desk = Desk({"export.jsonl": text[:-40]}, modified=NOW - 5)
    report = desk.tick()
    assert (report.accepted, report.quarantined, report.waiting) == (2, 0, 1)
    desk.folder.files["export.jsonl"] = text
    report = desk.tick()
    assert (report.accepted, report.waiting) == (1, 0)
    cut = Desk({"export.jsonl": text[:-40]}).tick()
    assert (cut.accepted, cut.reasons, cut.waiting) == (2, {"truncated": 1}, 0)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("format", RECORDS)
def test_array_that_is_half_written_waits_as_a_whole(format, indent):
    records = [json.loads(line) for line in export(format, 20).splitlines()]
    text = json.dumps(records, indent=indent).encode()
    desk = Desk({"export.json": text[: len(text) * 2 // 3]}, modified=NOW - 5)
    report = desk.tick()
    assert (report.accepted, report.quarantined, report.waiting) == (0, 0, 1)
    desk.clock += 3_700
    assert desk.tick().reasons == {"truncated": 1}
    desk.folder.files["export.json"] = text
    assert (desk.tick().accepted, desk.quarantined()) == (20, [])


def test_array_that_is_no_json_in_the_middle_is_refused_as_a_whole():
    text = json.dumps([chat(f"c{n}") for n in range(3)], indent=1).encode().replace(b'"c1"', b"c1")
    _, desk = read(text, "openai", "export.json")
    assert [(line, reason) for _, line, reason in desk.quarantined()] == [(0, "not_json")]


def test_json_that_is_nested_too_deeply_costs_only_itself():
    deep = b'{"messages": ' + b"[" * 200_000 + b"\n"
    desk = Desk({"a.jsonl": deep, "b.jsonl": export("openai", 1)})
    assert desk.tick().accepted == 1
