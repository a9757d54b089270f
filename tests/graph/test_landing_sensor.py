from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import date, timedelta

import pytest

from orchestration.landing_sensor import Asked, Cursor, ask, read_cursor, requests, step
from orchestration.sensors import MAX_WAITS, RETRY_MOST, RETRY_SECONDS

DAY = date(2026, 11, 3)


@dataclass
class Pending:
    files: int = 0
    digest: str = ""
    youngest: float = 100.0
    now: float = 1_000.0


class Data:
    """Only what the sensor asks of `BehaviorData`."""

    def __init__(self, report: str = "", **dirty: str) -> None:
        self.report = report
        self.dirty = {date.fromisoformat(day.removeprefix("d").replace("_", "-")): key for day, key in dirty.items()}

    def dirty_inputs(self):
        return self.dirty

    def report_inputs(self):
        return self.report


def test_ask_asks_once_for_what_is_new():
    asked, now = ask(Asked(), "x", 0)
    assert now
    assert ask(asked, "x", 0)[1] is False
    assert ask(asked, "y", 0)[1] is True


def test_ask_tries_again_later_and_later():
    asked, _ = ask(Asked(), "x", 0)
    now, pauses = 0.0, []
    for _ in range(9):
        asked, again = ask(asked, "x", now)
        assert not again
        pauses.append(asked.retry_at - now)
        now = asked.retry_at
        asked, again = ask(asked, "x", now)
        assert again
    assert pauses[:3] == [RETRY_SECONDS, 2 * RETRY_SECONDS, 4 * RETRY_SECONDS]
    assert pauses[-1] == RETRY_MOST


def test_ask_forgets_what_is_done():
    asked, _ = ask(Asked(), "x", 0)
    asked, now = ask(asked, "", 0)
    assert (asked, now) == (Asked(), False)
    assert ask(asked, "x", 0)[1]


def test_requests_are_one_run_for_each_contiguous_range():
    days = [DAY, DAY + timedelta(1), DAY + timedelta(5)]
    found = requests(dict.fromkeys(days, "k"), 0)
    assert [
        (r.tags["dagster/asset_partition_range_start"], r.tags["dagster/asset_partition_range_end"]) for r in found
    ] == [
        ("2026-11-03", "2026-11-04"),
        ("2026-11-08", "2026-11-08"),
    ]
    assert len({request.run_key for request in found}) == 2


@pytest.mark.parametrize("change", [{DAY: "other"}, {DAY: "k", DAY + timedelta(1): "k"}])
def test_requests_have_another_key_when_the_inputs_change(change):
    before = {request.run_key for request in requests({DAY: "k"}, 0)}
    assert before.isdisjoint(request.run_key for request in requests(change, 0))
    assert before.isdisjoint(request.run_key for request in requests({DAY: "k"}, 1))


def test_step_ingests_first_and_rebuilds_then():
    data = Data(d2026_11_03="k")
    cursor, found, _ = step(Cursor(), Pending(1, "f"), data, 0.5)
    assert [request.job_name for request in found] == ["ingest_interactions"]
    cursor, found, _ = step(cursor, Pending(), data, 0.5)
    assert [request.job_name for request in found] == ["rebuild_days"]
    cursor, found, reason = step(cursor, Pending(), data, 0.5)
    assert (found, "1 days" in reason) == ([], True)
    _, found, reason = step(cursor, Pending(), Data(), 0.5)
    assert (found, reason) == ([], "every landed file is read and every day is built")


def test_step_asks_for_the_report_when_days_ask_for_nothing_now():
    """A run that ended before the report, and days that fail again and again: neither leaves the report old."""
    data = Data("marts", d2026_11_03="k")
    cursor, found, _ = step(Cursor(), Pending(), data, 0.5)
    assert [request.job_name for request in found] == ["rebuild_days"]
    cursor, found, _ = step(cursor, Pending(), data, 0.5)
    assert [(request.job_name, request.run_key) for request in found] == [("rebuild_report", "report:marts:0")]
    cursor, found, reason = step(cursor, Pending(), data, 0.5)
    assert (found, "1 days and the corpus report" in reason) == ([], True)
    _, found, _ = step(cursor, Pending(), Data(), 0.5)
    assert found == []


def test_step_asks_for_the_report_again_later_and_later():
    cursor, now, times = Cursor(), 1_000.0, []
    for _ in range(4):
        found = []
        while not found:
            cursor, found, _ = step(cursor, Pending(now=now), Data("marts"), 0.5)
            now += 1
        times.append((now, found[0].run_key))
    pauses = [after[0] - before[0] for before, after in itertools.pairwise(times)]
    assert [key for _, key in times] == [f"report:marts:{number}" for number in range(4)]
    assert pauses[0] >= RETRY_SECONDS
    assert pauses == sorted(pauses)
    assert pauses[2] > 3 * pauses[0]


def test_step_waits_for_a_file_that_is_being_written_but_not_for_ever():
    cursor, young = Cursor(), Pending(1, "f", youngest=0.1)
    for _ in range(MAX_WAITS):
        cursor, found, reason = step(cursor, young, Data(), 0.5)
        assert (found, reason) == ([], "a landed file is still being written")
    assert step(cursor, young, Data(), 0.5)[1]


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"ingest": {"other": 1}}'])
def test_unreadable_cursor_counts_as_none(text):
    assert read_cursor(text) == Cursor()
