"""Daily counts: every row of the table in counts.py's docstring, from rows and from tables."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.decision.counts import EMPTY, EVENTS, BadCounts, DailyCounts, from_rows, from_table

DAY = date(2026, 3, 1)


def row(offset=0, topic="ferry", event="fail", n=10, S=3, **more):  # noqa: N803 - the column's name
    return {"day": DAY + timedelta(days=offset), "topic": topic, "event": event, "n": n, "S": S, **more}


def table(rows) -> pa.Table:
    types = [
        ("day", pa.date32()),
        ("topic", pa.string()),
        ("event", pa.string()),
        ("n", pa.float64()),
        ("S", pa.float64()),
    ]
    return pa.Table.from_pylist(rows, pa.schema(types))


def same(one: DailyCounts, other: DailyCounts) -> bool:
    return (
        (one.first_day, one.topics, list(one.n)) == (other.first_day, other.topics, list(other.n))
        and all(np.array_equal(one.n[event], other.n[event]) for event in one.n)
        and all(np.array_equal(one.S[event], other.S[event]) for event in one.S)
    )


BOTH = pytest.mark.parametrize("read", [from_rows, lambda rows: from_table(table(rows))], ids=["rows", "table"])

cells = st.dictionaries(
    st.tuples(st.integers(0, 9), st.sampled_from(["a", "b", "é", "unassigned"]), st.sampled_from(EVENTS)),
    st.integers(0, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(cells, st.randoms(use_true_random=False))
def test_counts_do_not_depend_on_the_order_of_rows_or_on_duplicates(found, random):
    rows = [row(offset, topic, event, n, s) for (offset, topic, event), (n, s) in found.items()]
    shuffled = [*rows, *random.sample(rows, min(len(rows), 3))]
    random.shuffle(shuffled)
    first = from_rows(rows)
    assert same(from_rows(shuffled), first)
    assert same(from_table(table(shuffled)), first)
    assert from_rows(shuffled).digest() == first.digest()
    for (offset, topic, event), (n, s) in found.items():
        at = (DAY + timedelta(days=offset) - first.first_day).days, first.topics.index(topic)
        assert (first.n[event][at], first.S[event][at]) == (n, s)
    assert sum(part.sum() for part in first.n.values()) == sum(n for n, _ in found.values())


@BOTH
def test_counts_a_day_without_rows_is_a_day_of_zeros(read):
    found = read([row(0), row(3)])
    assert (found.days, found.last_day) == (4, DAY + timedelta(days=3))
    assert found.n["fail"][:, 0].tolist() == [10, 0, 0, 10]


@BOTH
def test_counts_no_interactions_are_no_evidence_and_no_identity(read):
    found = read([row(), row(1, n=0, S=0), row(topic="quiet", n=0, S=0)])
    assert found.topics == ("ferry", "quiet")
    assert found.digest() == read([row()]).digest()
    assert found.seen().topics == ("ferry",)


@BOTH
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"S": 11}, "S = 11 of n = 10"),
        ({"n": float("nan")}, "n = nan"),
        ({"S": float("nan")}, "S = nan"),
        ({"n": None}, "n = None"),
        ({"n": -1, "S": -2}, "n = -1"),
        ({"n": 10.5}, "n = 10.5"),
        ({"S": 2.5}, "S = 2.5"),
        ({"n": float("inf")}, "n = inf"),
        ({"event": "joy"}, "event 'joy'"),
        ({"event": None}, "event None"),
        ({"day": None}, "day None"),
    ],
    ids=str,
)
def test_counts_refuse_and_name_the_row(read, wrong, says):
    with pytest.raises(BadCounts) as caught:
        read([row(), row(1) | wrong])
    assert "row 2" in str(caught.value)
    assert says in str(caught.value)
    assert caught.value.expected


@BOTH
def test_counts_refuse_one_cell_with_two_counts(read):
    with pytest.raises(BadCounts, match=r"row 3: .* came twice: \(10, 3\), \(10, 4\)"):
        read([row(), row(1), row(S=4)])


EAST, WEST = (timezone(timedelta(hours=hours)) for hours in (5, -5))


@pytest.mark.parametrize(
    "day",
    [
        "2026-13-01", "yesterday", "", 20260301.5, 20260301, "1.3.2026", "20260301", "2026-03-01garbage", "2026-03-01T",
        "2026-03-01T23:30-05:00", "2026-03-01T23:30", "2026-03-01 00:00:01", "2026-03-01T00:00+05:00", ["2026-03-01"],
        b"2026-03-01", "２０２６-03-01", datetime(2026, 3, 1, 23, 30), datetime(2026, 3, 1, tzinfo=WEST),
        datetime(2026, 3, 1, 5, tzinfo=EAST),
    ],
    ids=str,
)  # fmt: skip
def test_counts_refuse_what_is_no_day_or_an_hour_of_one(day):
    with pytest.raises(BadCounts, match=r"row 1: day.*date such as.*write the UTC day"):
        from_rows([row() | {"day": day}])


@pytest.mark.parametrize(
    "day",
    [
        "2026-03-01", " 2026-03-01 ", "2026-03-01T00:00", "2026-03-01 00:00:00", "2026-03-01T00:00:00.000Z",
        "2026-03-01T00:00:00+00:00", datetime(2026, 3, 1), datetime(2026, 3, 1, tzinfo=UTC),
        np.datetime64("2026-03-01"),
    ],
    ids=str,
)  # fmt: skip
def test_counts_take_a_date_and_its_midnight(day):
    assert from_rows([row() | {"day": day}]).first_day == DAY


@pytest.mark.parametrize(
    "count",
    ["1_0", "1,0", "0x10", "１０", "1e400", b"10", [10], np.bool_(True), 1 + 0j, 10**400],
    ids=lambda one: str(one)[:9],
)
def test_counts_refuse_what_is_no_number_in_digits(count):
    with pytest.raises(BadCounts, match=r"row 1: n = .*whole interactions"):
        from_rows([row(n=count, S=0)])


@pytest.mark.parametrize("count", ["10", " 10 ", "10.0", "+1e1", 10.0, Decimal("10.0"), np.int32(10), np.float32(10)])
def test_counts_take_numbers_as_files_have_them(count):
    assert from_rows([row(n=count)]).n["fail"].tolist() == [[10]]


@pytest.mark.parametrize("topic", [["x"], {"x": 1}, float("nan"), 1.5, True, b"x"], ids=str)
def test_counts_refuse_a_topic_that_is_no_text(topic):
    with pytest.raises(BadCounts, match=r"row 1: topic .*a text.*write the name of the topic"):
        from_rows([row(topic=topic)])


def test_counts_take_a_whole_number_for_a_topic():
    assert from_rows([row(topic=7)]).topics == ("7",)


@pytest.mark.parametrize("key", ["day", "event", "n", "S"])
def test_counts_refuse_a_row_without_a_column(key):
    with pytest.raises(BadCounts, match=f"row 1 has no '{key}'"):
        from_rows([{name: value for name, value in row().items() if name != key}])


def test_counts_say_where_a_row_stands_as_the_reader_knows_it():
    with pytest.raises(BadCounts, match="line 7 of x"):
        from_rows([row(), row(n=-1)], lambda number: f"line {number + 5} of x")


def test_counts_refuse_a_true_for_a_number():
    with pytest.raises(BadCounts, match="n = True"):
        from_rows([row(n=True, S=0)])


def test_counts_take_texts_as_a_csv_has_them():
    assert same(
        from_rows([row(n="10", S="3.0", topic="") | {"day": "2026-03-01"}]), from_rows([row(topic="unassigned")])
    )


@BOTH
def test_counts_a_missing_topic_has_a_name(read):
    assert read([row(topic=None)]).topics == ("unassigned",)


@BOTH
@pytest.mark.parametrize("offset", [40_000, -600_000])
def test_counts_refuse_a_wrong_year_before_they_make_an_array(read, offset):
    with pytest.raises(BadCounts, match="days"):
        read([row(), row(offset)])


def test_counts_refuse_more_topics_than_fit():
    rows = [row(offset, topic=str(number), n=1, S=0) for number in range(6_000) for offset in (0, 36_000)][:12_000]
    with pytest.raises(BadCounts, match="6,000 topics"):
        from_rows(rows)


@BOTH
def test_counts_of_nothing_are_empty(read):
    assert (read([]).days, read([]).topics) == (0, ())


def test_between_cuts_and_fills_with_zeros():
    found = from_rows([row(0), row(2, n=7)]).between(DAY - timedelta(days=1), DAY + timedelta(days=4))
    assert found.n["fail"][:, 0].tolist() == [0, 10, 0, 7, 0, 0]
    assert found.between(DAY, DAY).n["fail"].tolist() == [[10]]
    assert found.between(DAY, DAY - timedelta(days=1)).days == 0
    assert EMPTY.between(DAY, DAY).days == 0  # of no event there are no days


@settings(max_examples=30, deadline=None)
@given(cells, st.permutations(["a", "b", "é", "unassigned", "never"]))
def test_ordered_moves_topics_and_changes_no_count(found, names):
    counts = from_rows([row(offset, topic, event, n, s) for (offset, topic, event), (n, s) in found.items()])
    moved = counts.ordered(names[:3])
    assert moved.topics[:3] == tuple(names[:3])
    assert moved.digest() == counts.digest()
    for topic in counts.topics:
        for event in counts.n:
            there = moved.n[event][:, moved.topics.index(topic)]
            assert there.tolist() == counts.n[event][:, counts.topics.index(topic)].tolist()


def test_digests_of_days_name_the_corrected_day():
    before, after = (from_rows([row(0), row(1, S=s), row(4)]).day_digests() for s in (3, 4))
    assert before.keys() == after.keys() == {DAY, DAY + timedelta(days=1), DAY + timedelta(days=4)}
    assert [day for day in before if before[day] != after[day]] == [DAY + timedelta(days=1)]
