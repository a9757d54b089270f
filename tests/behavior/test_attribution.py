from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from assets.behavior import facts, frames
from assets.behavior.attribution import VERSION, Case, Holding, Shown, Verdict, attribute, attribute_day, shown
from assets.behavior.schemas import ATTRIBUTIONS, INTERACTIONS
from assets.fingerprints import sha256_text

DAY = datetime(2026, 3, 2, 12, tzinfo=UTC)


@dataclass
class DictCorpus:
    """Documents in a dict, doc_id -> passages; `former` holds texts of other times."""

    documents: Mapping[str, list[str]] = field(default_factory=dict)
    former: tuple[str, ...] = ()
    note: str = ""

    def text(self, sha: str) -> str | None:
        every = [*self.former, *(text for texts in self.documents.values() for text in texts)]
        return next((text for text in every if sha256_text(text) == sha), None)

    def current(self, doc_id: str) -> Mapping[str, str] | None:
        texts = self.documents.get(doc_id)
        return None if texts is None else {sha256_text(text): text for text in texts}

    def holding(self, facts_: Collection[str]) -> list[Holding]:
        rows = [(doc_id, text) for doc_id, texts in self.documents.items() for text in texts]
        found = [Holding(sha256_text(t), doc, facts.keys(t) & frozenset(facts_)) for doc, t in rows]
        return sorted((row for row in found if row.facts), key=lambda row: -len(row.facts))


OLD = "Refunds\n\nRefunds are paid within 30 days of the return by bank transfer."
NEW = "Refunds\n\nRefunds are paid within 14 days of the return by bank transfer."
SHIPPING = "Shipping\n\nParcels leave the Hamburg warehouse every weekday at noon."
QUESTION = "How long does a refund take?"


def show(text: str, doc_id: str | None = None) -> Shown:
    place = "handbook/shipping.md" if text == SHIPPING else "handbook/refunds.md"
    return Shown(doc_id or place, sha256_text(text))


def verdict(
    response: str, corrected: str | None, passages: tuple[Shown, ...], corpus: DictCorpus, **more: object
) -> Verdict:
    return attribute(Case(more.pop("prompt", QUESTION), response, corrected, passages, **more), corpus)  # type: ignore[arg-type]


BOTH = {"handbook/refunds.md": [NEW], "handbook/shipping.md": [SHIPPING]}


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("Within 14 days. [1]", "Within 14 days. [1]\n- Repeat\n- Speak to a person"),
        ("Within 14 days, by credit card. [1]", "Within 14 days. [1]"),
        ("Within 30 days. [1]", "Within 14 days. [1]"),
        ("Within 30 days. [1]", None),
    ],
)
def test_framed_texts_are_judged_by_what_was_said_in_them(said, wanted):
    shown, corpus = (show(NEW),), DictCorpus(BOTH)
    plain = verdict(said, wanted, shown, corpus, feedback="down")
    inside = None if wanted is None else frames.framed(wanted, 1)
    assert verdict(frames.framed(said, 1), inside, shown, corpus, feedback="down") == plain
    if wanted:  # who rewrites a text as JSON wants another format, and the other way round
        assert verdict(said, inside, shown, corpus).corrected_format == "json"
        assert verdict(frames.framed(said, 1), wanted, shown, corpus).produced_format == "json"


@pytest.mark.parametrize(
    ("response", "corrected", "passages", "documents", "expected"),
    [
        # the facts of the correction were not shown
        ("It takes 30 days.", "It takes 14 days.", (show(OLD),), BOTH, ("knowledge", "stale_passage")),
        ("It takes 30 days.", "It takes 14 days.", (show(SHIPPING),), BOTH, ("knowledge", "retrieval_miss")),
        ("The passages do not say.", "Refunds are paid within 14 days.", (), BOTH, ("knowledge", "retrieval_miss")),
        ("It takes 30 days.", "It takes 21 days.", (show(NEW),), BOTH, ("knowledge", "missing_document")),
        ("I don't know.", "Ask Maria in accounting.", (show(NEW),), BOTH, ("knowledge", "missing_document")),
        ("I don't know.", "Ask Maria in accounting.", (), {}, ("knowledge", "missing_document")),
        # they were, and the form was corrected
        ("It takes 14 days.", '{"days": 14}', (show(NEW),), BOTH, ("behavior", "format")),
        ('{"days": 14}', "Refunds are paid within 14 days.", (show(NEW),), BOTH, ("behavior", "format")),
        ("The passages do not say.", "It takes 14 days.", (show(NEW),), BOTH, ("behavior", "refusal")),
        ("It takes 14 days.", "I don't know.", (show(SHIPPING),), BOTH, ("behavior", "refusal")),
        ("It takes 45 days.", "It takes 14 days.", (show(NEW),), BOTH, ("behavior", "ungrounded")),
        (
            "It takes 14 days. Call Peter on Mondays.",
            "It takes 14 days.",
            (show(NEW),),
            BOTH,
            ("behavior", "ungrounded"),
        ),
        ("By bank transfer.", "Within 14 days.", (show(NEW),), BOTH, ("behavior", "task")),
        ("It takes 14 days.", "Happy to help! It takes 14 days.", (show(NEW),), BOTH, ("behavior", "style")),
        ("It takes 14 days, you know.", "It takes 14 days.", (show(NEW),), BOTH, ("behavior", "style")),
        # which passage it stands in is no fact of the answer
        ("It takes 14 days.", "It takes 14 days. [1]", (show(NEW),), BOTH, ("behavior", "style")),
        ("14 days [1].", '{"days": 14, "source": 2}', (show(SHIPPING), show(NEW)), BOTH, ("behavior", "format")),
        # nobody can tell
        ("It takes 14 days.", None, (show(NEW),), BOTH, ("unclear", None)),
        ("I don't know.", "No.", (show(NEW),), BOTH, ("unclear", None)),
        (
            "It takes 30 days.",
            "It takes 21 days.",
            (Shown("handbook/lost.md", "0" * 64),),
            BOTH,
            ("unclear", None),
        ),
    ],
)
def test_attribute_follows_its_truth_table(response, corrected, passages, documents, expected) -> None:
    feedback = "down" if corrected is None else "none"
    found = verdict(response, corrected, passages, DictCorpus(documents, (OLD,)), feedback=feedback)
    assert (found.verdict, found.kind) == expected


def test_attribute_names_the_document_to_fix_and_where_the_facts_stand() -> None:
    corpus = DictCorpus(BOTH, (OLD,))
    stale = verdict("It takes 30 days.", "It takes 14 days.", (show(OLD),), corpus)
    missed = verdict("The passages do not say.", "Within 14 days.", (show(SHIPPING),), corpus)
    assert stale.doc_id == missed.doc_id == "handbook/refunds.md"
    assert stale.evidence["superseded"] == [sha256_text(OLD)]
    assert stale.evidence["facts"]["newer_text"]["facts"] == ["14"]
    assert missed.evidence["facts"]["elsewhere"]["sha"] == sha256_text(NEW)
    assert "not shown" in missed.evidence["rule"]


def test_attribute_sees_a_document_that_changed_between_the_answer_and_its_correction() -> None:
    then, later = DictCorpus({"handbook/refunds.md": [OLD]}), DictCorpus({"handbook/refunds.md": [NEW]}, (OLD,))
    case = Case(QUESTION, "It takes 30 days.", "It takes 14 days.", (show(OLD),))
    assert attribute(case, then).kind == "missing_document"
    assert attribute(case, then, later).kind == "stale_passage"


def test_attribute_without_a_correction_finds_what_a_document_took_back() -> None:
    found = verdict("It takes 30 days.", None, (show(OLD),), DictCorpus(BOTH, (OLD,)), feedback="down")
    assert (found.verdict, found.kind, found.doc_id) == ("knowledge", "stale_passage", "handbook/refunds.md")
    assert found.evidence["withdrawn"] == ["30"]


def test_attribute_books_broken_output_as_format() -> None:
    found = verdict("{broken", None, (show(NEW),), DictCorpus(BOTH), feedback="down", schema_ok=False)
    assert (found.verdict, found.kind) == ("behavior", "format")


def test_attribute_leaves_what_did_not_fail() -> None:
    found = verdict("It takes 14 days.", "It takes 14 days.", (show(NEW),), DictCorpus(BOTH), feedback="up")
    assert (found.verdict, found.kind, found.edit, found.corrected_format) == (None, None, 0.0, "prose")


def test_attribute_takes_computed_numbers_for_known() -> None:
    prompt = "Natalia sold clips to 48 friends in April and half as many in May. How many did she sell?"
    right = "In May she sold 48/2 = 24 clips, so 48+24 = 72 clips."
    assert (
        verdict("She sold 96 clips.", right, (show(SHIPPING),), DictCorpus(BOTH), prompt=prompt).verdict == "behavior"
    )


def test_attribute_takes_an_edit_of_the_request_for_behavior() -> None:
    prompt = "Translate into English: Le patron de Lyon a signé le contrat hier."
    found = verdict(
        "The patron of Lyon signed.", "The boss of Lyon signed it yesterday.", (), DictCorpus(), prompt=prompt
    )
    assert found.verdict == "behavior"


def test_attribute_reads_sql_names_as_convention_and_values_as_facts() -> None:
    schema = "Table staff\n\nColumns: Full Name, City"
    corpus, passages = DictCorpus({"schema": [schema]}), (show(schema, "schema"),)
    before = "SELECT col1 FROM table WHERE col2 = 'Lyon'"
    named = "SELECT s.FULL_NAME_COL FROM staff AS s WHERE s.CITY_COL = 'Lyon'"
    assert verdict(before, named, passages, corpus, prompt="Who is in Lyon?").verdict == "behavior"
    wrong = named.replace("Lyon", "1789")
    assert verdict(before, wrong, passages, corpus, prompt="Who is in Lyon?").verdict == "knowledge"


def test_attribute_knows_a_schema_name_by_half_of_its_parts() -> None:
    schema = "Table staff\n\nColumns: Name, City"
    corpus, passages = DictCorpus({"schema": [schema]}), (show(schema, "schema"),)
    named = "SELECT XQ_NAME FROM staff WHERE ZR_CITY = 'Lyon'"
    found = verdict("SELECT col1 FROM t WHERE col2 = 'Lyon'", named, passages, corpus, prompt="Who lives in Lyon?")
    assert found.verdict == "behavior"


def test_attribute_does_not_look_up_what_the_request_said() -> None:
    found = verdict("Alice is.", "Alice is, in Lyon.", (show(SHIPPING),), DictCorpus(BOTH), prompt="Who is in Lyon?")
    assert (found.verdict, found.evidence["facts"]) == ("behavior", {})


def test_attribute_books_another_fact_of_the_same_passage_as_task_handling() -> None:
    both = "Refunds by bank transfer take 14 days, and exchanges take 30 days."
    corpus, before = DictCorpus({"handbook/refunds.md": [both]}), "Refunds by bank transfer take 30 days."
    assert verdict(before, before.replace("30", "14"), (show(both),), corpus).kind == "task"


def test_attribute_reads_the_text_that_the_interaction_carries() -> None:
    carried = Shown("elsewhere.md", "0" * 64, NEW)
    assert verdict("I don't know.", "It takes 14 days.", (carried,), DictCorpus()).kind == "refusal"


def test_attribute_passes_on_what_the_corpus_notes() -> None:
    corpus = DictCorpus(BOTH, (OLD,), note="the log begins later")
    assert verdict("It takes 30 days.", "It takes 14 days.", (show(OLD),), corpus).evidence["note"] == corpus.note


def test_shown_reads_passages_with_and_without_texts() -> None:
    rows = [{"chunk_id": "c", "doc_id": "d", "text_sha": "s"}, {"doc_id": "e", "text_sha": "t", "text": "T"}, {}, None]
    assert shown(json.dumps(rows)) == (Shown("d", "s"), Shown("e", "t", "T"))
    assert shown(None) == shown("[]") == ()


class OneHistory:
    """The same corpus at all times; remembers what it was asked."""

    def __init__(self, corpus: DictCorpus) -> None:
        self.corpus, self.asked = corpus, list[datetime]()

    def as_of(self, at: datetime) -> DictCorpus:
        self.asked.append(at)
        return self.corpus


def interactions(*rows: dict[str, object]) -> pa.Table:
    base = {"occurred_at": DAY, "received_at": DAY, "prompt": QUESTION, "response": "It takes 14 days.", "topic": "t"}
    given = [base | {"id": str(number), "feedback": "none", "passages": "[]"} | row for number, row in enumerate(rows)]
    return pa.Table.from_pylist(given, schema=INTERACTIONS)


def test_attribute_day_has_rows_for_what_failed_was_edited_or_has_no_topic() -> None:
    table = interactions(
        {"feedback": "up"},
        {"feedback": "down"},
        {"corrected_response": "It takes 14 days."},
        {"corrected_response": "It takes 9 days."},
        {"topic": None},
        {"topic": None, "feedback": "down"},
    )
    found = attribute_day(table, OneHistory(DictCorpus()), topics=lambda prompts: ["new"] * len(prompts))
    assert found.schema == ATTRIBUTIONS
    rows = {row["id"]: row for row in found.to_pylist()}
    assert {id_: (row["topic"], row["verdict"]) for id_, row in rows.items()} == {
        "1": (None, "unclear"),
        "2": (None, None),
        "3": (None, "knowledge"),
        "4": ("new", None),
        "5": ("new", "unclear"),
    }
    assert (rows["2"]["edit"], rows["2"]["evidence"]) == (0.0, None)
    assert json.loads(rows["3"]["evidence"])["facts"]["nowhere"] == ["9"]
    assert (rows["4"]["produced_format"], rows["4"]["version"]) == (None, VERSION)


def test_attribute_day_asks_topics_only_for_prompts_without_one() -> None:
    asked: list[str] = []
    table = interactions({"topic": None, "prompt": "A"}, {"feedback": "down"}, {"topic": None, "prompt": "B"})
    attribute_day(table, OneHistory(DictCorpus()), topics=lambda prompts: asked.extend(prompts) or ["x"] * len(prompts))
    assert asked == ["A", "B"]


def test_attribute_day_looks_at_the_documents_of_the_answer_and_of_its_correction() -> None:
    history, later = OneHistory(DictCorpus()), DAY + timedelta(days=3)
    attribute_day(interactions({"feedback": "down", "received_at": later}), history, topics=None)
    assert history.asked == [DAY, later]


def test_attribute_day_of_nothing_is_an_empty_table() -> None:
    assert attribute_day(interactions(), OneHistory(DictCorpus()), topics=None).equals(ATTRIBUTIONS.empty_table())
