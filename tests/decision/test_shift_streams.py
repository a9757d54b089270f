"""The benchmark's streams and measures (benchmarks/shift): what its numbers rest on."""

from __future__ import annotations

import json
from datetime import date, timedelta

import numpy as np
import pytest

from assets.errors import Final
from benchmarks.shift import measure, regret, stored
from benchmarks.shift.peers.base import Watcher, crossings, restarted, rows
from benchmarks.shift.peers.oracle import gains
from benchmarks.shift.streams import KINDS, MONITORED, REFERENCE, make


@pytest.mark.parametrize("kind", KINDS)
def test_stream_counts_are_possible_and_repeatable(kind):
    stream, again = make(kind, 3), make(kind, 3)
    for event, (n, s) in stream.counts.items():
        assert (s >= 0).all()
        assert (s <= n).all()
        np.testing.assert_array_equal(s, again.counts[event].S)
    assert stream.days == MONITORED
    assert (stream.change is not None) == KINDS[kind].shifts
    assert (stream.counts["fail"].n >= stream.counts["fail"].S + stream.counts["know"].S).all()


@pytest.mark.parametrize(("kind", "event"), [("fail_0.6", "fail"), ("schema", "schema_bad"), ("style", "style")])
def test_stream_follows_its_law_before_and_after_the_change(kind, event):
    stream = make(kind, 5, per_day=1_000_000)
    n, s = stream.counts[event]
    assert s.sum() / n.sum() == pytest.approx((n * stream.law[event].now).sum() / n.sum(), rel=1e-3)
    twin = make(kind, 5, per_day=1_000_000, shifted=False)
    after = slice(REFERENCE + 60, None)
    rate = [x.counts[event].S[after].sum() / x.counts[event].n[after].sum() for x in (twin, stream)]
    assert rate[1] > rate[0] * 1.1
    assert twin.change is None


def test_stale_documents_leak_into_failures_and_outages_do_not():
    for kind, leaks in (("stale_documents", True), ("index_outage", False)):
        stream = make(kind, 11, per_day=1_000_000)
        know, fail = (t.S.sum(1) / t.n.sum(1) for t in (stream.counts["know"], stream.counts["fail"]))
        high, low = know > np.quantile(know, 0.98), know < np.median(know)
        assert know[high].mean() > 1.5 * know[low].mean()
        assert (fail[high].mean() > fail[low].mean() + 0.005) == leaks


def test_rows_hold_every_labelled_interaction_and_residuals_average_to_nothing():
    stream = make("none", 2)
    found = rows(stream)
    assert len(found.day) == stream.counts["fail"].n.sum()
    assert (np.diff(found.day) >= 0).all()
    assert found.down.sum() == stream.counts["fail"].S.sum() + stream.counts["know"].S.sum()
    early = found.residual[found.day < REFERENCE]
    assert abs(np.nanmean(early)) < 0.01
    thinned = rows(stream, limit=10)
    assert np.bincount(thinned.day).max() <= 10


def test_rows_of_a_topic_that_the_reference_does_not_know_abstain():
    stream = make("new_topic", 2)
    found = rows(stream)
    assert np.isnan(found.residual).sum() == stream.counts["fail"].n[:, -1].sum()


def test_oracle_gains_fall_before_the_change_and_rise_after_it():
    found = gains(make("fail_0.6", 4))
    assert found[:60].mean() < 0 < found[60:].mean()


class _Fires(Watcher):
    """On the first day of every monitored stretch after `wait` days."""

    def firsts(self, stream, settings):
        return [int(wait) if stream.days > wait else None for wait in settings]


def test_restarted_waits_for_a_new_reference_after_each_trigger():
    found = restarted(_Fires(), make("none", 1), 10)
    assert found == list(range(10, MONITORED, 10 + 1 + REFERENCE))


def test_crossings_names_the_first_day_at_or_above_each_limit():
    assert crossings(np.array([1.0, np.nan, 3.0, 2.0, 5.0]), [1, 2, 3, 5, 6]) == [0, 2, 2, 4, None]


def test_delay_counts_days_of_changed_data_and_ignores_earlier_triggers():
    assert measure.delay([10, 60], 60) == 1
    assert measure.delay([10], 60) == measure.NEVER
    found = measure.delays([[10, 61], [], [64]], [60, 60, 60])
    assert (found.median, found.within, found.early) == (5, pytest.approx(2 / 3), pytest.approx(1 / 3))


def test_quiet_bounds_are_exact():
    found = measure.quiet([[]] * 59 + [[3, 40]], 1.0)
    assert (found.fired, found.share, found.rate) == (1, pytest.approx(1 / 60), pytest.approx(2 / 60))
    assert found.share_upper == pytest.approx(0.0766, abs=1e-3)  # Clopper-Pearson of 1 of 60
    assert found.rate_upper == pytest.approx(6.296 / 60, abs=1e-3)  # Garwood's bound of 2
    assert measure.clopper_pearson(0, 100) == pytest.approx(1 - 0.05**0.01)


@pytest.mark.parametrize(
    ("triggers", "change", "tunes", "spoiled"),
    [
        ([], None, 0, 0),
        ([5, 50], None, 2, 0),
        ([2], 2, 0, 1),  # the change's own day is paid for
        ([0, 3], 2, 1, 2),
        ([], 2, -1, 8),  # nobody paid for the fine-tune that was needed
        ([1], 2, 0, 8),  # too early: it mended nothing
    ],
)
def test_regret_pays_for_needless_fine_tunes_and_spoiled_answers(triggers, change, tunes, spoiled):
    prices = regret.Prices(gpu_hour=1, gpu_hours=100, failure=1)
    paid = regret.regret(triggers, change, [1.0] * 10, prices)
    assert paid == (100 * tunes, spoiled)


def test_stored_streams_come_back(tmp_path):
    stream = make("fail_1.2", 9, days=REFERENCE + 70)
    first = date(2025, 1, 1)
    lines = [
        {"day": str(first + timedelta(days=int(d))), "topic": f"t{z}", "event": e, "n": int(n[d, z]), "S": int(s[d, z])}
        for e, (n, s) in stream.counts.items()
        for d, z in zip(*np.nonzero(n), strict=True)
    ]
    (tmp_path / "one.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "truth.json").write_text(json.dumps({"one": str(first + timedelta(days=REFERENCE + 60))}))
    (found,) = stored.read(tmp_path)
    assert (found.kind, found.change, found.days) == ("one", 60, 70)
    for event, (n, s) in stream.counts.items():
        np.testing.assert_array_equal(found.counts[event].n, n)
        np.testing.assert_array_equal(found.counts[event].S, s)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(Final, match="no stream"):
        stored.read(empty)
