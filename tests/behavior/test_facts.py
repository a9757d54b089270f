from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.behavior import facts


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("5,000 users", "5000 user"),
        ("two policies", "2 policy"),
        ("sixty-five days", "65 days"),
        ("on 2024-06-28", "28 June 2024"),
        ("3 Sept 2025", "September 3, 2025"),
        ("70.00", "70"),
        ("007", "7"),
        ("priceRange", "price range"),
        ("max_tokens", "MAX TOKENS"),
        ("Stopped running", "stop run"),
        ("the company’s", "a company's"),
    ],
)
def test_keys_are_the_same_for_one_fact_written_two_ways(one: str, other: str) -> None:
    assert facts.keys(one) == facts.keys(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("3.10", "3.1"), ("1.2.3", "1.2.4"), ("30 days", "30 hours"), ("1.5", "15"), ("`list[int]`", "`List[int]`")],
)
def test_keys_differ_for_different_facts(one: str, other: str) -> None:
    assert facts.keys(one) != facts.keys(other)


def test_keys_leave_out_function_words_and_list_marks() -> None:
    assert facts.keys("1. It is the invoice\n2) and of the order") == {"invoic", "order"}


@pytest.mark.parametrize(
    ("text", "surface", "kind"),
    [
        ("It takes 14 days.", "14", "number"),
        ("It takes two days.", "two", "word"),
        ("We ask Alice first.", "Alice", "name"),
        ("Alice is asked first.", "Alice", "word"),
        ("Set max_tokens there.", "max", "name"),
        ("Ask for GPT4 there.", "4", "name"),
        ("Use `retries` there.", "retries", "literal"),
        ("Choose “slow lane” there.", "slow", "literal"),
        ("Pay by invoice.", "invoice", "word"),
    ],
)
def test_stated_tells_strong_facts_from_words(text: str, surface: str, kind: str) -> None:
    assert {fact.surface: fact.kind for fact in facts.stated(text).values()}[surface] == kind


def test_stated_keeps_a_name_that_also_opens_a_sentence() -> None:
    assert facts.stated("Kafka is slow. We run Kafka.")["kafka"].kind == "name"


@pytest.mark.parametrize(
    ("text", "unknown", "known", "given", "follows"),
    [
        ("48+24 = 72 clips", {"72"}, {"48", "24"}, set(), {"72"}),
        ("48/2 = 24, so 48+24 = 72", {"24", "72"}, {"48"}, set(), {"24", "72"}),
        ("that is 72 clips", {"72"}, set(), {"48", "24"}, {"72"}),
        ("that is 120 in all", {"120"}, set(), {"100", "20"}, {"120"}),
        ("17 + 55 = 72 clips", {"72"}, set(), set(), set()),
        ("that is 73 clips", {"73"}, set(), {"48", "24"}, set()),
    ],
)
def test_derived_numbers_follow_from_what_is_known(text, unknown, known, given, follows) -> None:
    assert facts.derived(text, unknown, known, given) == follows


def test_half_known_joins_the_parts_of_a_name() -> None:
    assert facts.half_known("SELECT ORDER_DATE_COL, zip_code", {"order", "date"}) == {"order", "date", "col"}


@given(st.text(max_size=200))
def test_stated_facts_are_the_keys_of_a_text(text: str) -> None:
    code = {key for key in facts.keys(text) if key[0] == "`"}
    assert {key for key in facts.stated(text) if key[0] != "`"} == facts.keys(text) - code


@given(st.text(max_size=200), st.text(max_size=200))
def test_keys_of_two_texts_are_the_keys_of_both(one: str, other: str) -> None:
    whole = facts.keys(f"{one}\n\n{other}")
    assert {key for key in facts.keys(one) | facts.keys(other) if key[0] != "`"} - whole == set()
