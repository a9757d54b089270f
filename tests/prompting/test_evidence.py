"""Ranking, support words and the cache, with an encoder whose cosines are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.prompting import Passage, VectorCache, evidence, passage, support
from assets.prompting.cues import kind_match, stems, weights
from assets.prompting.evidence import KIND, OVERLAP, SUPPORT


class Letters:
    """Unit vectors of letter counts; counts what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        counts = np.array([[text.lower().count(c) for c in "abcdefghijklmnopqrstuvwxyz"] for text in texts], float)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)


HALLS = [
    Passage(1, "Bikes", "Bring your own lock. The stand is outside."),
    Passage(2, "Lockers", "A locker costs 4 euros a month. It is cleaned on Friday."),
]


def test_evidence_ranks_the_statement_that_shares_words_and_kind_first() -> None:
    best = evidence("What does a locker cost?", HALLS, Letters(), k=2)[0]
    assert (best.number, best.heading, best.sentence) == (2, "Lockers", "A locker costs 4 euros a month.")


def test_evidence_score_is_cosine_plus_overlap_plus_kind() -> None:
    def same(texts: Sequence[str]) -> np.ndarray:
        return np.tile([[1.0, 0.0]], (len(texts), 1))

    (found,) = evidence("What does a locker cost?", [Passage(1, "", "A locker costs 4 euros.")], same)
    assert found.score == pytest.approx(1 + OVERLAP + KIND)
    (found,) = evidence("Who is Anna?", [Passage(1, "", "a quiet zoo.")], same)
    assert found.score == pytest.approx(1 - KIND)


def test_evidence_brings_the_neighbor_of_a_leaning_sentence() -> None:
    found = evidence("When is the locker cleaned?", HALLS, Letters(), k=4)
    assert "A locker costs 4 euros a month. It is cleaned on Friday." in [e.sentence for e in found]


def test_evidence_leaves_out_what_a_better_statement_of_the_passage_contains() -> None:
    found = evidence("On which Friday is the locker cleaned?", [HALLS[1]], Letters(), k=5)
    texts = [e.sentence for e in found]
    assert not any(a != b and a in b and texts.index(b) < texts.index(a) for a in texts for b in texts)


@pytest.mark.parametrize("passages", [[], [Passage(1, "Empty", "")], [Passage(1, "Rule", "---")]])
def test_evidence_of_nothing_is_nothing(passages: list[Passage]) -> None:
    assert evidence("What?", passages, Letters()) == []


@given(st.permutations(range(4)))
def test_evidence_scores_do_not_depend_on_the_order_of_passages(order: list[int]) -> None:
    texts = ["A locker costs 4 euros.", "The stand is outside.", "Bring a lock.", "Quiet please, says the zoo."]
    found = evidence("What does a locker cost?", [Passage(i + 1, "", texts[i]) for i in order], Letters(), k=4)
    assert {e.sentence for e in found} == set(texts)
    assert [e.score for e in found] == sorted((e.score for e in found), reverse=True)
    assert found[0].number == 1


def test_evidence_embeds_questions_with_their_own_prompt() -> None:
    documents, questions = Letters(), Letters()
    evidence("Who?", HALLS, documents, embed_question=questions)
    assert questions.asked == ["Who?"]
    assert "Who?" not in documents.asked


def test_passage_takes_the_heading_path_off_the_text() -> None:
    made = passage(3, ("VPN", "Keys"), "VPN > Keys\n\nA key lives for 180 days.")
    assert made == Passage(3, "VPN > Keys", "A key lives for 180 days.")
    assert passage(1, (), "No heading.").text == "No heading."


def test_support_words_rise_with_the_score() -> None:
    limits = [limit for limit, _ in SUPPORT]
    assert limits == sorted(limits)
    assert [support(limit) for limit in limits] == [word for _, word in SUPPORT[1:]] + ["strong"]
    assert support(-1.0) == "none"


KINDS = [
    ("When is payday?", "It is on the 25th.", 1),
    ("When is payday?", "Ask your manager.", -1),
    ("Who signs?", "The head of department signs.", 1),
    ("Who signs?", "Contracts signed here stay valid.", -1),
    ("Who signs?", "Contracts go to Saoirse Devane.", 1),
    ("How much does it cost?", "It costs €4.", 1),
    ("How much does it cost?", "Ask inside.", -1),
    ("How many seats are there?", "It seats twelve.", 1),
    ("Where do I park?", "Park behind the mill.", 1),
    ("What is the e-mail address of the desk?", "Write to desk@a.example.", 1),
    ("Which extension has the desk?", "The desk has 444.", 1),
    ("Tell me about bikes", "Anything.", 0),
]


@pytest.mark.parametrize(("question", "statement", "expected"), KINDS)
def test_kind_match_knows_what_is_asked_for(question: str, statement: str, expected: int) -> None:
    assert kind_match(question, statement) == expected


def test_stems_join_the_forms_of_a_word_and_drop_the_common_ones() -> None:
    assert stems("How much do the lockers cost?") == stems("locker costs")
    assert stems("booked booking books") == ("book",) * 3
    assert stems("the of and") == ()


def test_weights_favor_rare_stems() -> None:
    found = weights(["mill", "open"], [{"open"}, {"open"}, {"mill"}])
    assert found["mill"] > found["open"]
    assert sum(found.values()) == pytest.approx(1)
    assert weights([], [{"a"}]) == {}


def test_vector_cache_embeds_a_text_once_and_forgets_the_oldest() -> None:
    letters = Letters()
    cache = VectorCache(letters, capacity=2)
    first = cache(["a", "b", "a"])
    assert letters.asked == ["a", "b"]
    assert np.array_equal(first[0], first[2])
    cache(["a"])
    cache(["c"])
    cache(["a", "b"])
    assert letters.asked == ["a", "b", "c", "b"]
    assert np.array_equal(cache(["b"])[0], letters(["b"])[0])


def test_vector_cache_of_nothing_is_empty() -> None:
    assert len(VectorCache(Letters())([])) == 0
