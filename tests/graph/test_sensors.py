from __future__ import annotations

import datetime
import json
from contextlib import nullcontext

import dagster as dg
import pytest

from assets.errors import SourceBusy
from assets.ports import Listing, SourceFile
from orchestration.sensors import MAX_WAITS, Seen, listing_digest, look, read_cursor, retry


def listing(*files: SourceFile, revision: str | None = None) -> Listing:
    return Listing(files, revision=revision)


OLD = SourceFile("a.md", 10, "s1", 1_000.0)
YOUNG = SourceFile("a.md", 11, "", 1_999.9)


def test_look_requests_what_changed():
    seen, action = look(Seen(), listing(OLD), 2_000, 0.5)
    assert (action, seen.generation) == ("request", 1)
    assert look(seen, listing(OLD), 2_000, 0.5) == (seen, "same")


def test_look_waits_for_a_file_that_is_being_written():
    seen, _ = look(Seen(), listing(OLD), 2_000, 0.5)
    waiting, action = look(seen, listing(YOUNG), 2_000, 0.5)
    assert (action, waiting.digest, waiting.waits) == ("wait", seen.digest, 1)
    settled, action = look(waiting, listing(YOUNG), 2_001, 0.5)
    assert (action, settled.generation, settled.waits) == ("request", 2, 0)


def test_look_does_not_wait_for_ever():
    seen = Seen("before", 1)
    for _ in range(MAX_WAITS):
        seen, action = look(seen, listing(YOUNG), 2_000, 0.5)
        assert action == "wait"
    assert look(seen, listing(YOUNG), 2_000, 0.5)[1] == "request"


def test_content_that_returns_is_a_new_generation():
    other = SourceFile("a.md", 12, "s2", 1_500.0)
    seen, keys = Seen(), []
    for now in (OLD, other, OLD):
        seen, _ = look(seen, listing(now), 2_000, 0.5)
        keys.append((seen.digest, seen.generation))
    assert keys[0][0] == keys[2][0]
    assert len(set(keys)) == 3


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        (listing(OLD), listing(SourceFile("a.md", 10, "", 1_000.0)), True),  # the stamp appears when it is settled
        (listing(OLD), listing(SourceFile("a.md", 11, "s1", 1_000.0)), False),
        (listing(OLD), listing(SourceFile("a.md", 10, "s1", 1_001.0)), False),
        (listing(OLD), listing(SourceFile("b.md", 10, "s1", 1_000.0)), False),
        (listing(OLD), listing(), False),
        (listing(OLD, revision="r1"), listing(SourceFile("a.md", 10, "s1", 9.0), revision="r2"), True),  # same blob
        (listing(OLD, revision="r1"), listing(SourceFile("a.md", 10, "s2", 1_000.0), revision="r1"), False),
    ],
)
def test_listing_digest_changes_with_the_content(one, two, same):
    assert (listing_digest(one) == listing_digest(two)) is same


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"docs": 3}', '{"docs": {"unknown": 1}}'])
def test_read_cursor_survives_what_it_does_not_know(text):
    assert read_cursor(text) == {}


def tick(graph, cursor=None, instance=None):
    sensor = graph.defs.resolve_sensor_def("content_changed")
    with (
        instance or dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(
            instance=instance, cursor=cursor, resources={"fast_hand": graph.hand}, definitions=graph.defs
        ) as context,
    ):
        return sensor.evaluate_tick(context)


def keys(result) -> list[str]:
    return [request.run_key for request in result.run_requests]


def test_first_tick_requests_every_slice(graph):
    result = tick(graph)
    assert [request.partition_key for request in result.run_requests] == ["docs", "notes"]


def test_quiet_tick_skips_and_says_why(graph):
    result = tick(graph, tick(graph).cursor)
    assert result.run_requests == []
    assert result.skip_message == "nothing changed in 2 of 2 slices"


def test_change_requests_its_own_slice_once(graph):
    cursor = tick(graph).cursor
    graph.sources["notes"].files["c.md"] += " More."
    changed = tick(graph, cursor)
    assert [request.partition_key for request in changed.run_requests] == ["notes"]
    assert tick(graph, changed.cursor).run_requests == []


def test_return_to_a_former_state_has_a_run_key_of_its_own(graph):
    first = tick(graph)
    before = dict(graph.sources["docs"].files)
    graph.sources["docs"].files["a.md"] = "# Other"
    second = tick(graph, first.cursor)
    graph.sources["docs"].files = before
    third = tick(graph, second.cursor)
    docs = [key for result in (first, second, third) for key in keys(result) if key.startswith("docs")]
    assert len(set(docs)) == 3


def test_source_that_cannot_be_listed_holds_up_no_other(graph, monkeypatch):
    def down():
        raise SourceBusy("The host does not answer")

    monkeypatch.setattr(graph.sources["docs"], "list", down)
    result = tick(graph)
    assert [request.partition_key for request in result.run_requests] == ["notes"]
    assert "docs" not in json.loads(result.cursor)
    again = tick(graph, result.cursor)
    assert "docs cannot be listed: The host does not answer" in again.skip_message


def test_tick_fails_when_no_source_can_be_listed(graph, monkeypatch):
    def down():
        raise SourceBusy("The host does not answer")

    for source in graph.sources.values():
        monkeypatch.setattr(source, "list", down)
    with pytest.raises(Exception, match="no source can be listed"):
        tick(graph)


FAILURE, SUCCESS = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS


def test_retry_waits_longer_after_each_failure():
    seen, pauses, now = Seen("d", 1), [], 1_000.0
    for _ in range(8):
        seen, again = retry(seen, FAILURE, now)
        assert not again
        pauses.append(seen.retry_at - now)
        assert retry(seen, FAILURE, seen.retry_at - 1) == (seen, False)
        now = seen.retry_at
        before = seen.key("docs")
        seen, again = retry(seen, FAILURE, now)
        assert again
        assert seen.key("docs") != before
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_retry_forgets_failures_after_a_success():
    assert retry(Seen("d", 3, failures=2, retry_at=9.0), SUCCESS, 10.0) == (Seen("d", 3), False)


@pytest.mark.parametrize("status", [None, dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED])
def test_retry_leaves_runs_alone_that_have_not_ended(status):
    assert retry(Seen("d", 1), status, 10.0) == (Seen("d", 1), False)


def test_run_keys_do_not_repeat_after_the_cursor_was_reset():
    first, _ = look(Seen(), listing(OLD), 2_000, 0.5)
    again, _ = look(Seen(), listing(OLD), 3_000, 0.5)
    assert first.key("docs") != again.key("docs")


def test_slice_whose_run_failed_is_requested_again(graph, monkeypatch):
    with dg.DagsterInstance.ephemeral() as instance:
        cursor = tick(graph, None, nullcontext(instance)).cursor
        with monkeypatch.context() as broken:
            broken.setattr(graph.sources["docs"], "read", lambda file: 1 / 0)
            assert not graph.run(instance, "docs").success
        planned = tick(graph, cursor, nullcontext(instance))
        assert planned.run_requests == []
        state = json.loads(planned.cursor)
        state["docs"]["retry_at"] = 1.0
        result = tick(graph, json.dumps(state), nullcontext(instance))
        assert [request.partition_key for request in result.run_requests] == ["docs"]


def test_nightly_reconciliation_requests_every_slice(graph):
    schedule = graph.defs.resolve_schedule_def("nightly_reconciliation")
    context = dg.build_schedule_context(
        scheduled_execution_time=datetime.datetime(2026, 1, 5, 3, tzinfo=datetime.UTC),
        repository_def=graph.defs.get_repository_def(),
    )
    data = schedule.evaluate_tick(context)
    assert [request.partition_key for request in data.run_requests] == ["docs", "notes"]
