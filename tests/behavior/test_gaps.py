from __future__ import annotations

import json
from datetime import date

import pyarrow as pa
import pytest

from assets.behavior import gaps, preview

DAY = date(2026, 9, 1)


def row(kind="stale_passage", doc_id="handbook/a.md", topic="leave", failures=1, **more):
    known = {
        "variant": "main",
        "kind": kind,
        "doc_id": doc_id,
        "topic": topic,
        "failures": failures,
        "users": 1,
        "first_day": DAY,
        "last_day": DAY,
        "example_ids": '["i-1"]',
        "example_prompt": "How many days?",
    }
    return known | more


def table(*rows):
    return pa.Table.from_pylist(list(rows)) if rows else pa.Table.from_pylist([row()]).slice(0, 0)


@pytest.mark.parametrize(
    ("kind", "doc_id", "action"),
    [
        ("missing_document", None, "write a document about leave"),
        ("stale_passage", "handbook/a.md", "update handbook/a.md, or re-index: outdated text was shown"),
        ("retrieval_miss", "handbook/b.md", "make handbook/b.md findable: add the words people use"),
        ("retrieval_miss", None, "make the documents about leave findable: add the words people use"),
    ],
)
def test_report_says_what_to_do(kind, doc_id, action):
    assert [gap.action for gap in gaps.report(table(row(kind, doc_id)), 10)] == [action]


def test_report_ranks_by_failures_then_people_then_the_latest():
    rows = [
        row(doc_id="handbook/few.md", failures=2, users=2),
        row(doc_id="handbook/most.md", failures=9),
        row(doc_id="handbook/old.md", failures=2, users=1),
        row(doc_id="handbook/new.md", failures=2, users=1, last_day=date(2026, 9, 9)),
    ]
    expected = ["handbook/most.md", "handbook/few.md", "handbook/new.md", "handbook/old.md"]
    assert [gap.doc_id for gap in gaps.report(table(*rows), 10)] == expected
    assert [gap.doc_id for gap in gaps.report(table(*reversed(rows)), 10)] == expected
    assert [gap.doc_id for gap in gaps.report(table(*rows), 2)] == expected[:2]


def test_report_counts_a_document_once_whatever_variant_and_topic_met_it():
    rows = [
        row(failures=2, users=2, topic="leave", first_day=date(2026, 8, 1), example_ids='["a", "b"]'),
        row(failures=3, users=1, topic="travel", variant="legal", last_day=date(2026, 9, 5), example_ids='["c", "a"]'),
    ]
    (gap,) = gaps.report(table(*rows), 10)
    assert (gap.failures, gap.users, gap.topics, gap.variants) == (5, 2, ("leave", "travel"), ("legal", "main"))
    assert (gap.first_day, gap.last_day) == (date(2026, 8, 1), date(2026, 9, 5))
    assert gap.example_ids == ("c", "a", "b")


def test_report_keeps_missing_documents_of_different_topics_apart():
    rows = [row("missing_document", None, "leave"), row("missing_document", None, "travel")]
    assert {gap.action for gap in gaps.report(table(*rows), 10)} == {
        "write a document about leave",
        "write a document about travel",
    }


def test_report_survives_missing_values_and_broken_example_ids():
    broken = row(None, None, None, users=None, example_ids="[", example_prompt=None, variant=None)
    (gap,) = gaps.report(table(row(), broken), 10)[1:]
    assert (gap.users, gap.example_ids, gap.example_prompt, gap.doc_id) == (0, (), "", None)


def test_markdown_cannot_be_extended_by_what_people_wrote():
    evil = "a | b\n| 1 | <img src=x onerror=alert(1)> ![p](https://evil.example/x.png) `code` [l](j) \u202e &amp;"
    page = gaps.markdown(gaps.report(table(row(example_prompt=evil, topic="x\ny | z", doc_id=None)), 10))
    lines = page.splitlines()
    assert len(lines) == 3
    assert lines[2].count("|") == lines[0].count("|")
    assert "<img" not in page
    assert "://" not in page
    assert "![" not in page
    assert "\u202e" not in page
    assert "&amp;amp;" in page


def test_markdown_cuts_long_prompts():
    page = gaps.markdown(gaps.report(table(row(example_prompt="word " * 400)), 10))
    assert "…" in page
    assert len(page.splitlines()[2]) < 300


def test_markdown_of_nothing_says_so():
    assert gaps.markdown(gaps.report(table(), 10)) == "No answer failed for want of knowledge."


def test_as_json_is_what_json_can_hold():
    (entry,) = json.loads(json.dumps(gaps.as_json(gaps.report(table(row(failures=4)), 10))))
    assert entry["failures"] == 4
    assert entry["first_day"] == "2026-09-01"
    assert entry["doc_id"] == "handbook/a.md"


def test_markdown_without_quotes_names_interactions_and_repeats_no_prompt():
    found = gaps.report(table(row(example_ids='["i-1", "i-2"]', example_prompt="my secret")), 10)
    assert "my secret" in gaps.markdown(found)
    text = gaps.markdown(found, quote=False)
    assert ("i-1, i-2" in text, "my secret" in text) == (True, False)
    assert "my secret" not in str(preview.of_gaps(found, quote=False))
