"""What a record says of itself, before and after corrections."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from assets.decision import preview
from assets.decision.config import restated
from assets.decision.store import Record
from tests.decision.streams import CONFIG

C = CONFIG.threshold  # 7,300
SINCE = date(2026, 2, 2)


def record(restatements: int = 0, **more) -> Record:
    """Three monitored days: both M and the watch reach C on the second one, by far."""
    days = {"day": SINCE + timedelta(days=2), "since": SINCE, "total": (1.0, 5.5 * C, 2.0), "labels": (1.0, C, 5.5 * C)}
    known = {"variant": "main", "release": "base", "snapshot": "s", "contract": "c", "config": "f", "key": "k"}
    nothing = {"by_event": {}, "shares": {}, "topics": {}, "changed": None, "event": None, "size": 0.0, "days": {}}
    threshold = restated(C, restatements)
    return Record(**{**known, **days, **nothing, "restatements": restatements, "threshold": threshold, **more})


@pytest.mark.parametrize("restatements", [0, 1, 3])
def test_label_watch_is_held_against_the_threshold_of_an_unrevised_history(restatements):
    second = SINCE + timedelta(days=1)
    found = record(restatements)
    assert found.labels_moved == second
    assert found.fired == (second if restatements == 0 else None)  # M against the one that rose
    assert replace(found, labels=(1.0, C - 1, 0.0)).labels_moved is None


@pytest.mark.parametrize("restatements", [0, 1, 3])
def test_label_watch_is_shown_against_the_same_threshold(restatements):
    found = record(restatements)
    shown = preview.of_evidence(found.as_evidence(), threshold=found.threshold, restatements=restatements)
    assert shown["label_watch_of_threshold"] == pytest.approx(5.5)
    assert shown["M_of_threshold"] == pytest.approx(2 / restated(C, restatements))
