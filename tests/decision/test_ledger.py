"""Entries and the facts that they record: what is written is what is read, and nothing else can be written."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.decision.ledger import (
    FACTS,
    Approval,
    BadEntry,
    Decided,
    Entry,
    Finished,
    Kind,
    Override,
    Request,
    Retraction,
    Spend,
)
from assets.errors import CorruptState

AT = datetime(2026, 11, 5, 12, 3, 1, 123456, tzinfo=UTC)
SPEND = {"what": "gpu", "seconds": 90.0, "amount": 0.1, "currency": "EUR", "by": "behavior/adapter", "run": "r1"}
FACT = {
    Kind.SPEND: (Spend(**SPEND), "spend:main:gpu:r1:behavior/adapter"),
    Kind.VERDICT: (
        Decided(
            evidence_key="k", action="wait", sentence="No shift.", reasons=("a",), evidence={"M": 2.5}, cost={"x": 1}
        ),
        "verdict:main:k:wait",
    ),
    Kind.APPROVAL: (Approval(verdict="verdict:main:k:propose", by="ann"), "approval:main:verdict:main:k:propose:yes"),
    Kind.RETRACTION: (
        Retraction(verdict="verdict:main:k:wait", why="corrected"),
        "retraction:main:verdict:main:k:wait",
    ),
    Kind.OVERRIDE: (Override(request_key="r9", by="ann", why="new brand"), "override:main:r9"),
    Kind.REQUEST: (
        Request(cause="verdict:main:k:finetune", run_key="r1", by="behavior_shifted", day="2026-11-04"),
        "request:main:verdict:main:k:finetune",
    ),
    Kind.FINISHED: (Finished(request="request:main:c", run="r1", outcome="done"), "finished:main:r1:request:main:c"),
}


def test_every_kind_has_a_fact():
    assert set(FACTS) == set(FACT) == set(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_fact_is_read_back_from_its_entry(kind):
    fact, id = FACT[kind]
    entry = Entry.parse(fact.entry(at=AT, variant="main").text(), "a file")
    assert (entry.id, entry.kind, entry.variant, entry.at) == (id, kind, "main", AT)
    assert FACTS[kind].of(entry) == fact


@pytest.mark.parametrize("kind", Kind)
def test_id_of_a_fact_holds_no_time_and_tells_variants_apart(kind):
    fact, _ = FACT[kind]
    later = fact.entry(at=AT + timedelta(days=400), variant="main")
    assert later.id == fact.entry(at=AT, variant="main").id
    assert later.id != fact.entry(at=AT, variant="legal").id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"what": "tpu"}, "what is 'tpu'.*encoder, cpu, gpu"),
        ({"seconds": -1.0}, "seconds is -1.0.*zero or more"),
        ({"seconds": float("nan")}, "seconds is nan"),
        ({"seconds": float("inf")}, "seconds is inf"),
        ({"seconds": True}, "seconds is True"),
        ({"seconds": "90"}, "seconds is '90'"),
        ({"amount": None}, "amount is None"),
        ({"currency": ""}, "currency is ''"),
        ({"run": ""}, "run is ''"),
        ({"by": 7}, "by is 7.*a text"),
    ],
)
def test_spend_that_is_none_is_refused(change, message):
    with pytest.raises(BadEntry, match=message):
        Spend(**(SPEND | change))


@pytest.mark.parametrize(
    ("fact", "fields", "message"),
    [
        (Override, {"request_key": "r", "by": "ann", "why": ""}, "why is ''"),
        (Approval, {"verdict": "v", "by": ""}, "by is ''"),
        (Finished, {"request": "q", "run": "r", "outcome": "well"}, "outcome is 'well'.*done, failed, canceled"),
        (Decided, {"evidence_key": "k", "action": "wait", "sentence": "s", "reasons": ["a"]}, "reasons is"),
        (Decided, {"evidence_key": "k", "action": "wait", "sentence": "s", "cost": 4}, "cost is 4"),
    ],
)
def test_fact_with_a_wrong_field_is_refused(fact, fields, message):
    with pytest.raises(BadEntry, match=message):
        fact(**fields)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": ""}, "an entry with the id ''"),
        ({"id": "x" * 401}, "1 to 400 characters"),
        ({"at": datetime(2026, 11, 5)}, "no time zone"),
        ({"kind": "gift"}, "one of spend, verdict"),
        ({"variant": "a:b"}, "the name of a variant"),
        ({"data": {"x": float("nan")}}, "not JSON"),
        ({"data": {"x": {1, 2}}}, "not JSON"),
        ({"data": {"x": np.int64(3)}}, "not JSON"),
    ],
)
def test_entry_that_could_not_be_stored_is_refused(change, message):
    fields = {"id": "a", "at": AT, "kind": Kind.VERDICT, "variant": "main", "data": {}} | change
    with pytest.raises(BadEntry, match=message):
        Entry(**fields)


def test_entry_copies_its_data_and_keeps_time_in_utc():
    reasons = ["a"]
    entry = Entry("a", AT.astimezone(timezone(timedelta(hours=5))), Kind.VERDICT, "main", {"reasons": reasons})
    reasons.append("b")
    assert entry.data == {"reasons": ["a"]}
    assert (entry.at, entry.at.tzinfo) == (AT, UTC)


def test_long_ids_are_hashed_and_stay_apart():
    longs = [Override(request_key="r" * 500 + str(n), by="ann", why="x").id("main") for n in range(2)]
    assert longs[0] != longs[1]
    assert all(id.startswith("override:main:sha256-") for id in longs)


def test_fields_of_a_newer_version_are_left_out_and_missing_ones_named():
    entry = FACT[Kind.SPEND][0].entry(at=AT)
    newer = Entry(entry.id, AT, Kind.SPEND, "", {**entry.data, "carbon": 3})
    assert Spend.of(newer) == FACT[Kind.SPEND][0]
    with pytest.raises(CorruptState, match=r"entry spend.*missing"):
        Spend.of(Entry(entry.id, AT, Kind.SPEND, "", {"what": "gpu"}))
    with pytest.raises(CorruptState, match="kind spend"):
        Approval.of(entry)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(
    id=st.text(min_size=1, max_size=60), at=st.datetimes(timezones=st.just(UTC)), data=st.dictionaries(st.text(), JSON)
)
def test_any_entry_is_parsed_to_what_it_was(id, at, data):
    entry = Entry(id, at, Kind.VERDICT, "main", data)
    assert Entry.parse(entry.text(), "a file") == entry


@given(data=st.data())
def test_entry_with_any_changed_value_is_refused(data):
    row = json.loads(FACT[Kind.SPEND][0].entry(at=AT, variant="main").text())
    name = data.draw(st.sampled_from(sorted(row)))
    value = data.draw(JSON.filter(lambda other: other != row[name] or type(other) is not type(row[name])))
    with pytest.raises(CorruptState, match="a file of the ledger is damaged"):
        Entry.parse(json.dumps(row | {name: value}), "a file")


def test_day_of_an_entry_is_utcs():
    entry = Entry("a", datetime(2026, 11, 1, 0, 30, tzinfo=timezone(timedelta(hours=2))), Kind.VERDICT)
    assert entry.at.date() == date(2026, 10, 31)
