from __future__ import annotations

import pytest

from assets.behavior.dataset.eligibility import event_of, refused
from assets.behavior.dataset.rows import Reason

TABLE = [
    # source, there, verdict, schema_ok, reason
    ("correction", True, "behavior", None, None),
    ("correction", True, "behavior", False, None),  # the answer broke its schema; the correction is what teaches
    ("correction", True, "knowledge", None, Reason.KNOWLEDGE),
    ("correction", True, "unclear", None, Reason.UNCLEAR),
    ("correction", True, None, None, Reason.UNCLEAR),
    ("correction", False, "behavior", None, Reason.GONE),
    ("accepted", True, None, None, None),
    ("accepted", True, None, True, None),
    ("accepted", True, None, False, Reason.BROKEN_FORM),
    ("accepted", True, "behavior", None, Reason.FAILED_SINCE),
    ("accepted", True, "knowledge", None, Reason.FAILED_SINCE),
    ("accepted", False, None, None, Reason.GONE),
]


@pytest.mark.parametrize(("source", "there", "verdict", "schema_ok", "reason"), TABLE)
def test_eligibility_follows_the_attribution(source, there, verdict, schema_ok, reason):
    assert refused(source, there=there, verdict=verdict, schema_ok=schema_ok) is reason


@pytest.mark.parametrize(
    ("source", "kind", "event"),
    [("correction", "format", "format"), ("correction", None, "other"), ("accepted", None, "accepted")],
)
def test_event_is_what_was_corrected(source, kind, event):
    assert event_of(source, kind) == event
