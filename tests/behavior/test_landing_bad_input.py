"""Everything a landing folder may be given: each its own reason, and the rest of the file loads."""

from __future__ import annotations

import gzip
import json
import logging
import random
import tracemalloc
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.behavior import days
from tests.behavior.landing_tools import NOW, Desk, august, event, line

GOOD = line(event("good"))


def raw(**fields) -> bytes:
    return json.dumps(event("bad", **fields), ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def without(name: str) -> bytes:
    record = event("bad")
    del record[name]
    return line(record)


BAD = {
    "cut": (line(event("bad"))[:-40] + b"\n", "truncated", ""),
    "binary": (b"\x89PNG\r\x1a\x00\x00\x01\x02IHDR\x07\x08\x0e\n", "binary", ""),
    "long": (line(event("bad", prompt="p" * 5000)), "line_too_long", "4,000"),
    "utf-16": (json.dumps(event("bad")).encode("utf-16-le") + b"\n", "wrong_encoding", "UTF-16"),
    "latin-1": (raw(prompt="caf\xe9").decode().encode("latin-1"), "wrong_encoding", ""),
    "duplicate key": (b'{"id": "x", ' + line(event("bad"))[1:], "duplicate_key", "id"),
    "duplicate key, spaced": (b'{"id" : "x", ' + line(event("bad"))[1:], "duplicate_key", "id"),
    "key twice in a passage": (line(event("bad")).replace(b'"doc_id"', b'"doc_id": 1, "doc_id"'), "duplicate_key", ""),
    "duplicate unknown key": (b'{"extra": 1, "extra": 2, ' + line(event("bad"))[1:], "duplicate_key", ""),
    "array": (b"[1, 2]\n", "not_an_object", ""),
    "number": (b"17\n", "not_an_object", ""),
    "words": (b"hello there\n", "not_json", ""),
    "two objects": (line(event("bad")).strip() + line(event("bad")), "not_json", ""),
    "no id": (without("id"), "missing_field", "id"),
    "empty id": (raw() .replace(b'"bad"', b'""'), "wrong_type", "id"),
    "no passages": (without("passages"), "missing_field", "passages"),
    "no prompt": (without("prompt"), "missing_field", "prompt"),
    "null response": (raw(response=None), "missing_field", "response"),
    "passage without sha": (raw(passages=[{"chunk_id": "c", "doc_id": "d"}]), "missing_field", "passages[0].text_sha"),
    "number as text": (raw(prompt=5), "wrong_type", "prompt"),
    "text as flag": (raw(schema_ok="yes"), "wrong_type", "schema_ok"),
    "other feedback": (raw(feedback="great"), "wrong_type", "feedback"),
    "unix time": (raw(occurred_at=1_785_000_000), "wrong_type", "occurred_at"),
    "no offset": (raw(occurred_at="2026-08-02T10:00:00"), "no_utc_offset", "occurred_at"),
    "30 February": (raw(occurred_at="2026-02-30T10:00:00Z"), "impossible_date", "occurred_at"),
    "hour 25": (raw(received_at="2026-02-20T25:00:00Z"), "impossible_date", "received_at"),
    "year 1": (raw(occurred_at="0001-01-01T00:00:00+14:00"), "too_old", ""),
    "future": (raw(occurred_at="2027-01-01T00:00:00Z", received_at="2027-01-01T00:00:00Z"), "future_dated", ""),
    "year 9999": (raw(occurred_at="9999-12-31T23:59:59-14:00"), "future_dated", ""),
    "skewed": (raw(received_at="2026-07-30T10:00:00Z"), "clock_skewed", ""),
    "escaped NUL": (raw(prompt="a\0b").replace(b"\0", b"\\u0000"), "nul", ""),
    "raw NUL": (line(event("bad", prompt="a!b")).replace(b"!", b"\0"), "nul", ""),
    "lone surrogate": (line(event("bad", prompt="\ud83d")), "lone_surrogate", ""),
    "lone low surrogate": (line(event("bad", prompt="\ude00 x")), "lone_surrogate", ""),
    "deep": (b'{"id": ' + b"[" * 3000 + b"\n", "not_json", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_line_is_quarantined_and_the_rest_of_the_file_loads(name):
    text, reason, detail = BAD[name]
    desk = Desk({"a.jsonl": GOOD + text + line(event("also"))}, line_bytes=4000)
    report = desk.tick()
    found = days.quarantined(desk.lake)
    assert [(row["file"], row["line"], row["reason"]) for row in found] == [("a.jsonl", 2, reason)]
    assert detail in str(found[0]["detail"])
    assert report.reasons == {reason: 1}
    desk.build()
    assert desk.ids() == {"08-02": ["also", "good"]}


@pytest.mark.parametrize("name", BAD)
def test_bad_line_among_many_bad_lines_has_the_same_reason(name):
    """The fast check of a whole batch and the strict one of a line agree."""
    text, reason, _ = BAD[name]
    desk = Desk({"a.jsonl": line(event("x", prompt='say "no": no\u2028')) + text + GOOD * 5}, line_bytes=4000)
    assert desk.tick().reasons == {reason: 1}


@pytest.mark.parametrize("name", BAD)
def test_bad_line_alone_in_its_file_is_quarantined(name):
    desk = Desk({"a.jsonl": BAD[name][0]}, line_bytes=4000)
    report = desk.tick()
    assert (report.accepted, report.reasons, report.days) == (0, {BAD[name][1]: 1}, ())


def test_a_future_dated_event_is_accepted_once_its_time_has_come():
    desk = Desk(
        {
            "a.jsonl": line(
                event("early", 2),
                {**event("late", 2), "occurred_at": "2026-09-22T10:00:00Z", "received_at": "2026-09-22T10:00:00Z"},
            )
        }
    )
    assert desk.tick().reasons == {"future_dated": 1}
    assert desk.tick().files == 0
    desk.clock = datetime(2026, 9, 22, 11, tzinfo=UTC).timestamp()
    desk.tick()
    desk.build()
    assert desk.ids() == {"08-02": ["early"], "09-22": ["late"]}
    assert desk.quarantined() == []


NASTY = [
    "'; DROP TABLE interactions; --",
    "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "My card is 4111 1111 1111 1111, mail jane.doe@example.com",
    "{{ config(materialized='table') }} {% raw %}",
    "=HYPERLINK(\"http://example.com\") \\u0000 is six characters; tab\there\r\nand a line",
    "\u202eright to left, \U0001f600, e\u0301, \u2028",
]  # fmt: skip


@pytest.mark.parametrize("text", NASTY)
def test_hostile_text_is_stored_as_it_is(text):
    desk = Desk(
        {"a.jsonl": line(event("a", prompt=text, response=text, topic=text, corrected_response=text, tags=[text]))}
    )
    assert desk.tick().quarantined == 0
    desk.build()
    row = desk.rows(august(2))[0]
    assert (row["prompt"], row["response"], row["topic"], row["corrected_response"]) == (text,) * 4
    assert json.loads(row["tags"]) == [text]


def test_what_a_refused_line_says_is_never_repeated(caplog):
    secret = "jane.doe@example.com"
    bad = [
        line(event("bad", feedback=secret)),
        line(event("bad", passages=[{secret: secret}])),
        line({**event("bad"), "occurred_at": secret}),
        line({**event(secret), "prompt": None}),
        b'{"' + secret.encode() + b'": 1, "' + secret.encode() + b'": 2}\n',
        line(event(secret))[:-9] + b"\n",
        secret.encode() + b"\n",
    ]
    with caplog.at_level(logging.DEBUG):
        desk = Desk({"a.jsonl": b"".join(bad)})
        report = desk.tick()
    assert report.quarantined == len(bad)
    kept = [desk.lake.stored[n].to_pylist() for n in desk.lake.names("behavior") if n.endswith(".parquet")]
    assert secret not in repr(kept) + caplog.text + repr(report)


def test_a_byte_order_mark_and_windows_line_ends_are_accepted():
    text = b"\xef\xbb\xbf" + line(event("a"), event("b")).replace(b"\n", b"\r\n")
    desk = Desk({"a.jsonl": text})
    assert desk.tick().accepted == 2
    desk.folder.files["a.jsonl"] += line(event("c"))
    assert desk.tick().accepted == 1
    assert desk.quarantined() == []


def test_keys_that_the_contract_lacks_are_ignored():
    extra = event("a", model={"name": "x", "k": [1, {"z": None}]}, score=float("inf"))
    extra["passages"][0]["score"] = 0.7
    desk = Desk({"a.jsonl": line(extra)})
    assert desk.tick().quarantined == 0
    desk.build()
    passages = json.loads(desk.rows(august(2))[0]["passages"])
    assert set(passages[0]) == {"chunk_id", "doc_id", "text_sha"}


def test_a_compressed_file_loads():
    desk = Desk({"a.jsonl.gz": gzip.compress(line(event("a"))) + gzip.compress(line(event("b"))) + b"\0" * 20})
    assert desk.tick().accepted == 2


def test_a_damaged_compressed_file_is_not_believed_and_its_last_good_version_stays():
    desk = Desk({"a.jsonl.gz": gzip.compress(line(event("good")))})
    assert desk.tick().accepted == 1
    desk.folder.files["a.jsonl.gz"] = _damaged()
    report = desk.tick()
    assert (report.accepted, report.reasons) == (0, {"corrupt_gzip": 1})
    desk.build()
    assert [row["id"] for row in desk.rows(august(2))] == ["good"]


@pytest.mark.parametrize("seed", range(25))
def test_a_flipped_bit_of_a_compressed_file_changes_no_event(seed):
    data = bytearray(gzip.compress(b"".join(line(event(f"e{i}", prompt=str(i * 7919) * 9)) for i in range(60))))
    place = random.Random(seed).randrange(12, len(data))  # noqa: S311
    data[place] ^= 1 << (seed % 8)
    assert Desk({"a.jsonl.gz": bytes(data)}).tick().accepted == 0


def _damaged() -> bytes:
    data = bytearray(gzip.compress(b"".join(line(event(f"e{i}", prompt=str(i * 7919) * 9)) for i in range(3000))))
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xff" * 40
    return bytes(data)


def test_a_file_that_is_gzip_by_name_only_is_refused():
    desk = Desk({"a.jsonl.gz": line(event("a"))})
    assert desk.tick().reasons == {"corrupt_gzip": 1}


def test_a_compressed_file_that_is_cut_waits_and_is_then_truncated():
    whole = gzip.compress(b"".join(line(event(f"e{i}", prompt=str(i * 7919) * 9)) for i in range(3000)))
    desk = Desk({"a.jsonl.gz": whole[: len(whole) // 2]}, modified=NOW - 5)
    first = desk.tick()
    assert (first.accepted, first.quarantined, first.waiting) == (0, 0, 1)  # its checksum is still to come
    desk.folder.files["a.jsonl.gz"] = whole
    assert desk.tick().waiting == 0
    desk.build()
    assert len(desk.rows(august(2))) == 3000
    cut = Desk({"a.jsonl.gz": whole[: len(whole) // 2]}).tick()
    assert (cut.accepted, cut.reasons) == (0, {"truncated": 1})


def test_a_compressed_file_that_is_cut_takes_no_event_of_its_last_whole_version_away():
    whole = gzip.compress(b"".join(line(event(f"e{i}", prompt=str(i * 7919) * 9)) for i in range(3000)))
    desk = Desk({"a.jsonl.gz": whole})
    desk.tick()
    desk.build()
    desk.folder.files["a.jsonl.gz"], desk.folder.modified = whole[: len(whole) // 2], NOW - 5
    assert (desk.tick().waiting, desk.landing.dirty_days()) == (1, [])
    desk.clock += 3_700
    assert (desk.tick().reasons, desk.landing.dirty_days()) == ({"truncated": 1}, [])
    desk.folder.files["a.jsonl.gz"] = gzip.compress(line(event("other")))
    desk.tick()
    desk.build()
    assert [row["id"] for row in desk.rows(august(2))] == ["other"]


def test_a_zip_bomb_is_refused_in_little_memory():
    bomb = gzip.compress(b"\0" * (400 << 20), 9)
    desk = Desk({"a.jsonl.gz": bomb})
    tracemalloc.start()
    report = desk.tick()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.reasons == {"inflates_too_much": 1}
    assert peak < 64 << 20


def test_a_huge_line_costs_little_more_than_its_file():
    data = GOOD + b'{"id": "' + b"x" * (100 << 20) + b'"}\n' + line(event("also"))
    desk = Desk({"a.jsonl": data})
    tracemalloc.start()
    report = desk.tick()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (report.accepted, report.reasons) == (2, {"line_too_long": 1})
    assert peak < 40 << 20
    assert desk.quarantined() == [("a.jsonl", 2, "line_too_long")]


def parquet(rows, **columns) -> bytes:
    table = pa.Table.from_pylist(rows)
    for name, column in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, column) if place >= 0 else table.append_column(name, column)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def test_a_parquet_file_comes_to_the_same_rows_as_json_lines():
    rows = [event("a", tags=["x"], feedback="up"), event("b", 3)]
    times = pa.array([datetime(2026, 8, d, 10, tzinfo=UTC) for d in (2, 3)], pa.timestamp("us", tz="Europe/Berlin"))
    texts = pa.array([json.dumps(row["passages"]) for row in rows])
    desk = Desk({"a.jsonl": line(*rows)})
    other = Desk({"a.parquet": parquet(rows, occurred_at=times, passages=texts)})
    desk.tick()
    assert other.tick().quarantined == 0
    assert [r.digest for r in desk.build().values()] == [r.digest for r in other.build().values()]
    assert desk.tables() == other.tables()


def test_a_parquet_file_with_wrong_columns_is_refused_by_name():
    desk = Desk({"a.parquet": parquet([{"id": "a", "text": "x"}])})
    assert desk.tick().reasons == {"wrong_columns": 1}
    assert "occurred_at" in str(days.quarantined(desk.lake)[0]["detail"])


@pytest.mark.parametrize("spoil", ["cut", "page"])
def test_a_parquet_file_that_is_damaged_takes_no_event_of_its_last_whole_version_away(spoil):
    rows = [event(f"e{n}", prompt=str(n * 7919) * 9) for n in range(2000)]
    desk = Desk({"a.parquet": parquet(rows)})
    desk.tick()
    desk.build()
    data = bytearray(parquet([*rows[:1000], event("new")]))
    bad = data[: len(data) // 2] if spoil == "cut" else data[:40] + b"\xff" * 20_000 + data[20_040:]
    desk.folder.files["a.parquet"] = bytes(bad)
    assert (desk.tick().reasons, desk.landing.dirty_days()) == ({"corrupt_parquet": 1}, [])
    desk.folder.files["a.parquet"] = bytes(data)
    assert desk.tick().accepted == 1
    desk.build()
    assert len(desk.rows(august(2))) == 1001


def test_a_parquet_row_that_breaks_the_contract_is_quarantined_by_its_number():
    naive = pa.array([datetime(2026, 8, 2)] * 2)
    desk = Desk({"a.parquet": parquet([event("a"), event("b")], received_at=naive)})
    desk.tick()
    assert desk.quarantined() == [("a.parquet", 1, "no_utc_offset"), ("a.parquet", 2, "no_utc_offset")]


def test_parquet_rows_are_read_together_and_keep_their_numbers(monkeypatch):
    from assets.behavior import events

    kept, keep = [], events.Collector._keep
    monkeypatch.setattr(
        events.Collector, "_keep", lambda self, *given: kept.append(len(given[0])) or keep(self, *given)
    )
    rows = [event(f"e{number}") for number in range(2_000)]
    rows[700]["received_at"] = rows[1_999]["received_at"] = "yesterday"
    desk = Desk({"a.parquet": parquet(rows)})
    assert desk.tick().accepted == 1_998
    assert [number for _, number, _ in desk.quarantined()] == [701, 2_000]
    assert (sum(kept), len(kept)) == (1_998, 4)  # not a table a row


def test_a_parquet_file_that_is_still_written_waits():
    whole = parquet([event("a")])
    desk = Desk({"a.parquet": whole[:-20]}, modified=NOW - 5)
    report = desk.tick()
    assert (report.quarantined, report.waiting) == (0, 1)
    desk.folder.files["a.parquet"] = whole
    assert desk.tick().accepted == 1
    assert Desk({"a.parquet": whole[:-20]}).tick().reasons == {"corrupt_parquet": 1}
