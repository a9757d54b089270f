"""The sequential test: it agrees with the prototype, and keeps what its docstring promises."""

from __future__ import annotations

import json
import time
import tracemalloc
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.decision import baselines, shift
from assets.decision.config import ShiftConfig, restated
from assets.decision.counts import BadCounts, DailyCounts, from_rows
from assets.errors import ConfigError, CorruptState
from benchmarks.shift import ours, streams
from tests.decision import prototype
from tests.decision.streams import CONFIG, FIRST, PROTOTYPE, counts, rows

REFERENCE = 28


def frozen(found: DailyCounts, config: ShiftConfig = CONFIG) -> baselines.Contract:
    return baselines.freeze(found, config)


def without(found: DailyCounts, *events: str) -> DailyCounts:
    return replace(
        found,
        n={event: table for event, table in found.n.items() if event not in events},
        S={event: table for event, table in found.S.items() if event not in events},
    )


def until(found: DailyCounts, day: int) -> DailyCounts:
    return found.between(found.first_day, found.first_day + timedelta(days=day))


# ------------------------------------------------------------------------------------------------ the prototype

CASES = [
    # topics, a day, what moves, the rate of knowledge failures after the change
    (1, 100, {"fail": 0.6}, 0.08),
    (6, 10, {}, 0.08),
    (6, 100, {"fail": 0.3}, 0.4),
    (8, 3_000, {"schema_bad": 0.5, "style": -0.3}, 0.08),
    (3, 100_000, {"edit": 0.2}, 0.08),
    (70, 2_000, {"fail": 0.1}, 0.3),
]


@pytest.mark.parametrize(("topics", "per_day", "moved", "know"), CASES)
def test_evidence_agrees_with_the_prototype(topics, per_day, moved, know):
    found = counts(topics, days=28 + 90, topics=topics, per_day=per_day, shift=moved, know=know, leak=0.1)
    found.n["fail"][:28, -1] *= topics == 1  # a topic that is new
    found.S["fail"][:28, -1] *= topics == 1
    tables = {
        {"schema_bad": "schema"}.get(event, event): (found.n[event], found.S[event]) for event in PROTOTYPE.events
    }
    expected, parts, threshold = prototype.evidence(tables, (found.n["know"], found.S["know"]))
    evidence = shift.evidence(found, frozen(found, PROTOTYPE), PROTOTYPE)
    np.testing.assert_allclose(evidence.total, expected, rtol=1e-6)
    np.testing.assert_allclose(evidence.by_event["schema_bad"], parts["schema"], rtol=1e-6)
    watch = prototype.label_watch(found.n["labelled"], found.S["labelled"])
    np.testing.assert_allclose(evidence.label_watch, watch, rtol=1e-6)
    assert evidence.threshold == threshold


# ------------------------------------------------------------------------------------------------ pure function


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.sampled_from([3, 60, 2_000]), st.integers(29, 75))
def test_today_is_the_last_day_of_the_evidence(seed, topics, per_day, days):
    found = counts(seed, days=days, topics=topics, per_day=per_day, shift={"fail": 0.8}, know=0.3, label_rise=0.4)
    contract = frozen(found)
    whole = shift.evidence(found, contract, CONFIG)
    total, reading = shift.today(found, contract, CONFIG)
    assert total == pytest.approx(whole.total[-1], rel=1e-9)
    for event, part in whole.by_event.items():
        assert reading.shares[event] == pytest.approx(part[-1] / whole.total[-1], rel=1e-9, abs=1e-12)
    assert shift.changes(found, contract, CONFIG)[-1] == reading.changed


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000))
def test_evidence_does_not_depend_on_the_order_of_rows_or_topics(seed):
    random = Random(seed)  # noqa: S311 - an order of rows, no secret
    found = counts(seed, days=28 + 20, topics=4, per_day=60)
    lines: list[Any] = rows(found)
    names = dict(zip(found.topics, random.sample(found.topics, len(found.topics)), strict=True))
    renamed = [{**line, "topic": names[line["topic"]]} for line in lines]
    random.shuffle(lines)
    random.shuffle(renamed)
    first, again, other = (from_rows(given) for given in (rows(found), lines, renamed))
    one = shift.evidence(first, frozen(first), CONFIG)
    assert np.array_equal(one.total, shift.evidence(again, frozen(again), CONFIG).total)  # to the bit
    np.testing.assert_allclose(shift.evidence(other, frozen(other), CONFIG).total, one.total, rtol=1e-9)


def test_evidence_of_the_same_input_has_the_same_bits():
    one, two = (counts(7, per_day=500, shift={"fail": 0.5}, know=0.3) for _ in range(2))
    first, second = (shift.evidence(found, frozen(found), CONFIG) for found in (one, two))
    assert first.total.tobytes() == second.total.tobytes()
    assert first.label_watch.tobytes() == second.label_watch.tobytes()
    assert shift.today(one, frozen(one), CONFIG) == shift.today(two, frozen(two), CONFIG)


def test_evidence_of_a_day_does_not_know_later_days():
    found = counts(3, days=28 + 70, per_day=300, shift={"fail": 0.4}, know=0.25, label_rise=0.3)
    contract = frozen(found)
    whole = shift.evidence(found, contract, CONFIG)
    changes = shift.changes(found, contract, CONFIG)
    for day in (28, 41, 59, 84):
        seen = until(found, day)
        np.testing.assert_allclose(shift.evidence(seen, contract, CONFIG).total, whole.total[: day - 27], rtol=1e-9)
        assert shift.today(seen, contract, CONFIG)[1].changed == changes[day - 28]


def test_evidence_begins_where_it_is_told_to():
    found = counts(4, per_day=300, shift={"fail": 1.0})
    contract = frozen(found)
    since = FIRST + timedelta(days=60)
    later = shift.evidence(found, contract, CONFIG, since=since)
    assert (later.first_day, later.last_day, len(later.total)) == (since, found.last_day, 28)
    before_the_reference_ended = shift.evidence(found, contract, CONFIG, since=FIRST)
    assert before_the_reference_ended.first_day == contract.last_day + timedelta(days=1)


# ------------------------------------------------------------------------------------------------ the contract


def test_contract_comes_back_from_json_to_the_bit():
    found = counts(5, topics=7, per_day=90)
    contract = frozen(found)
    back = baselines.from_json(contract.to_json())
    assert back.to_json() == contract.to_json()
    assert back.digest == contract.digest
    for event, base in contract.events.items():
        for name in ("logit", "se", "known", "offsets", "day_effects", "n", "S"):
            assert getattr(back.events[event], name).tobytes() == getattr(base, name).tobytes()
    assert (
        shift.evidence(found, back, CONFIG).total.tobytes() == shift.evidence(found, contract, CONFIG).total.tobytes()
    )


@pytest.mark.parametrize("change", [{"schema": 99}, {"formulas": "0"}])
def test_contract_of_another_version_is_refused(change):
    text = json.dumps(json.loads(frozen(counts(5)).to_json()) | change)
    with pytest.raises(CorruptState, match="has schema") as caught:
        baselines.from_json(text, "decision/contracts/x.json")
    assert "decision/contracts/x.json" in str(caught.value)
    assert "freeze" in caught.value.next_step


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": 1, "formulas": "1"}', "null", '{"schema": 1'])
def test_contract_that_is_damaged_is_refused(text):
    with pytest.raises(CorruptState):
        baselines.from_json(text)


def test_contract_of_other_settings_is_refused():
    found = counts(5)
    with pytest.raises(BadCounts, match="frozen under other settings"):
        shift.evidence(found, frozen(found), replace(CONFIG, alpha=0.01))


def test_contract_needs_its_reference_days():
    with pytest.raises(BadCounts, match="27 days"):
        frozen(until(counts(5), 26))


def test_contract_does_not_depend_on_later_days():
    found = counts(5)
    assert frozen(found).to_json() == frozen(until(found, 27)).to_json()


def test_settings_whose_weights_do_not_sum_to_one_are_refused():
    with pytest.raises(ConfigError, match="sum to"):
        replace(CONFIG, new_task=0.5)


def test_restatements_cost_at_most_half_of_alpha():
    assert restated(7_300, 0) == 7_300
    assert sum(1 / restated(1, count) for count in range(1, 10_000)) == pytest.approx(0.5, rel=1e-3)


# ------------------------------------------------------------------------------------------------ abstaining


def test_evidence_of_one_topic():
    found = counts(1, topics=1, shift={"fail": 1.2})
    evidence = shift.evidence(found, frozen(found), CONFIG)
    assert evidence.fired() is not None
    assert shift.today(found, frozen(found), CONFIG)[1].topics.keys() == {"t0000"}


def test_evidence_of_no_monitored_day():
    found = until(counts(1), 27)
    evidence = shift.evidence(found, frozen(found), CONFIG)
    assert (len(evidence.total), evidence.fired(), evidence.last_day) == (0, None, FIRST + timedelta(days=27))
    total, reading = shift.today(found, frozen(found), CONFIG)
    assert (total, reading.changed, shift.changes(found, frozen(found), CONFIG)) == (0.0, None, [])


def test_days_without_interactions_add_only_starts():
    """A start counts 1 until there is something to see: after t empty days M grows by about t of them."""
    found = counts(2)
    for tables in (found.n, found.S):
        for table in tables.values():
            table[28:] = 0
    evidence = shift.evidence(found, frozen(found), CONFIG)
    days = np.arange(1, len(evidence.total) + 1)
    np.testing.assert_allclose(evidence.total, (1 - CONFIG.new_task) * 2 * ((days + 1) // 2) + CONFIG.new_task * days)


def test_evidence_of_an_empty_reference_tests_topics_as_new():
    found = counts(2, shift={"fail": 0.0})
    for tables in (found.n, found.S):
        for table in tables.values():
            table[:28] = 0
    evidence = shift.evidence(found, frozen(found), CONFIG)
    assert set(evidence.by_event) >= {"fail", shift.NEW_TASK}
    assert evidence.by_event["fail"].tolist() == [0.0] * 60
    assert evidence.by_event[shift.NEW_TASK][-1] < 1


@pytest.mark.parametrize("event", ["fail", "schema_bad", "style", "edit", "labelled", "know"])
def test_event_that_the_contract_lacks_abstains(event):
    found = counts(3, shift={"fail": 1.0, "schema_bad": 1.0})
    contract = frozen(without(found, event))
    assert event not in shift.evidence(found, contract, CONFIG).by_event
    both = without(found, event)
    np.testing.assert_array_equal(
        shift.evidence(found, contract, CONFIG).by_event["refusal"],
        shift.evidence(both, contract, CONFIG).by_event["refusal"],
    )


def test_event_that_ends_abstains():
    found = counts(3)
    assert "style" not in shift.evidence(without(found, "style"), frozen(found), CONFIG).by_event


def with_new_topic(failing: float) -> tuple[DailyCounts, baselines.Contract]:
    found = counts(8, topics=3)
    for event in found.n:
        found.n[event][:28, 2] = found.S[event][:28, 2] = 0
    found.n["fail"][28:, 2], found.S["fail"][28:, 2] = 20, round(20 * failing)
    return found, frozen(found)


def test_new_topics_feed_new_task_and_nothing_else():
    found, contract = with_new_topic(0.8)
    evidence = shift.evidence(found, contract, CONFIG)
    assert evidence.by_event[shift.NEW_TASK][-1] > evidence.threshold
    calm, contract = with_new_topic(0.2)
    quiet = shift.evidence(calm, contract, CONFIG)
    assert quiet.by_event[shift.NEW_TASK].max() < 1
    np.testing.assert_array_equal(quiet.by_event["fail"], evidence.by_event["fail"])
    assert "t0002" not in shift.today(found, contract, CONFIG)[1].topics


# ------------------------------------------------------------------------------------------------ leak and labels


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 10_000), st.floats(0.05, 0.6), st.floats(0, 0.15), st.floats(0, 1.5), st.sampled_from([50, 2_000])
)
def test_leak_and_label_bounds_never_raise_evidence(seed, know, leak, rise, per_day):
    found = counts(seed, per_day=per_day, know=know, leak=leak, label_rise=rise, days=28 + 40)
    free = replace(CONFIG, leak=0.0, selection=False)
    unbounded = shift.evidence(found, frozen(found, free), free).by_event["fail"]
    for config in (replace(CONFIG, selection=False), replace(CONFIG, leak=0.0), CONFIG):
        bounded = shift.evidence(found, frozen(found, config), config).by_event["fail"]
        assert (bounded <= unbounded * (1 + 1e-9)).all()


@pytest.mark.parametrize("seed", [12, 13])
def test_leak_bound_holds_what_stale_documents_would_fire(seed):
    found = counts(seed, per_day=2_000, know=0.45, leak=CONFIG.leak, days=28 + 50)
    free = replace(CONFIG, leak=0.0)
    assert shift.evidence(found, frozen(found, free), free).fired() is not None
    assert shift.evidence(found, frozen(found), CONFIG).fired() is None


@pytest.mark.parametrize("seed", [7_000, 7_001])
def test_leak_bound_sees_an_index_outage_within_days(seed):
    found, contract = ours.prepared(streams.make("index_outage_leak", seed, per_day=100_000))
    slow = replace(CONFIG, sudden=False)
    assert shift.evidence(found, frozen(found, slow), slow).fired() is not None
    assert shift.evidence(found, contract, CONFIG).fired() is None


def test_label_bound_holds_what_complaints_would_fire():
    found = counts(12, per_day=5_000, label_rise=0.6, days=28 + 50)
    free = replace(CONFIG, selection=False)
    evidence, bounded = shift.evidence(found, frozen(found, free), free), shift.evidence(found, frozen(found), CONFIG)
    assert evidence.by_event["fail"].max() > 1e6 * bounded.by_event["fail"].max()
    assert bounded.by_event["fail"].max() < CONFIG.threshold
    assert bounded.label_watch.max() > CONFIG.threshold  # and the watch sees it


# ------------------------------------------------------------------------------------------------ what it is for


@pytest.mark.parametrize("kind", ["none", "topic_mix", "stale_documents", "seasonality"])
def test_null_streams_stay_quiet(kind):
    fired = sum(
        shift.evidence(*ours.prepared(streams.make(kind, seed, days=28 + 120)), ours.CONFIG).fired() is not None
        for seed in range(400, 412)
    )
    assert fired <= 2  # 5% a year at most: three of twelve in 120 days would be no accident


@pytest.mark.parametrize(("kind", "within"), [("fail_1.2", 12), ("schema", 20), ("all", 20)])
def test_clear_shifts_are_found(kind, within):
    delays = []
    for seed in range(500, 506):
        stream = streams.make(kind, seed, days=28 + 110)
        found = shift.evidence(*ours.prepared(stream), ours.CONFIG)
        day = found.fired()
        assert day is not None
        delays.append((day - found.first_day).days - (stream.change or 0))
    assert 0 <= np.median(delays) <= within


def test_change_date_is_near_the_change():
    found = counts(6, days=28 + 60, change=28 + 30, per_day=400, shift={"fail": 1.0})
    _, reading = shift.today(found, frozen(found), CONFIG)
    assert reading.changed is not None
    assert abs((reading.changed - FIRST).days - 58) <= 4
    assert (reading.event, reading.size > 0) == ("fail", True)


def test_one_topic_that_moved_is_named():
    found = counts(9, days=28 + 60, topics=6, per_day=600)
    failing = np.random.default_rng(1).binomial(found.n["fail"][48:, 2].astype(int), 0.55)
    found.S["fail"][48:, 2] = failing
    _, reading = shift.today(found, frozen(found), CONFIG)
    assert max(reading.topics, key=lambda topic: reading.topics[topic]) == "t0002"


def test_today_of_thousands_of_topics_is_bounded_in_time_and_memory():
    random, days, topics = np.random.default_rng(0), 28 + 60, 5_000
    n = random.poisson(3.0, (days, topics)).astype(float)
    tables = {"fail": n, "know": n, "labelled": n * 3}
    had = {event: random.binomial(table.astype(int), 0.2).astype(float) for event, table in tables.items()}
    found = DailyCounts(FIRST, tuple(f"t{number:04}" for number in range(topics)), tables, had)
    contract = frozen(found)
    tracemalloc.start()
    began = time.process_time()
    total, _ = shift.today(found, contract, CONFIG)
    seconds = time.process_time() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.isfinite(total)
    assert seconds < 20
    assert peak < 400e6
