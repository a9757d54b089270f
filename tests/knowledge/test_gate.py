from __future__ import annotations

import pytest

from assets.errors import ConfigError
from assets.knowledge.gate import Golden, Margins, Outcome, ask, judge, parse_golden
from assets.ports import Hit, Passage


def hit(doc_id: str, text: str = "") -> Hit:
    return Hit(Passage("c", doc_id, "s", "T", (), text, "sha"), 1.0)


@pytest.mark.parametrize(
    ("golden", "hits", "rank"),
    [
        (Golden("q", doc_id="d"), [hit("x"), hit("d")], 2),
        (Golden("q", doc_id="d"), [hit("x")], None),
        (Golden("q", text="Twelve  Days"), [hit("x", "it takes\ntwelve days at most")], 1),
        (Golden("q", text="twelve days"), [hit("x", "ten days")], None),
        (Golden("q", doc_id="d"), [hit("x")] * 10 + [hit("d")], None),
    ],
)
def test_rank_is_the_place_of_the_first_right_passage(golden, hits, rank):
    assert golden.rank(hits) == rank


def test_outcome_computes_recall_at_5_and_mrr():
    outcome = Outcome({"a": 1, "b": 4, "c": 8, "d": None})
    assert outcome.recall == pytest.approx(0.5)
    assert outcome.mrr == pytest.approx((1 + 1 / 4 + 1 / 8) / 4)


def test_ask_leaves_out_questions_whose_document_is_absent():
    golden = [Golden("here", doc_id="d"), Golden("gone", doc_id="e")]
    outcome = ask(golden, lambda _: [hit("d")], lambda doc: doc == "d")
    assert outcome.ranks == {golden[0].key: 1}
    assert outcome.absent == (golden[1].key,)


def ranks(*values: int | None) -> dict[str, int | None]:
    return {f"q{i}": value for i, value in enumerate(values)}


@pytest.mark.parametrize(
    ("now", "absent", "before", "passed"),
    [
        (ranks(1, 1, 1, 1), (), None, True),
        (ranks(1, 1, 1, 1), (), ranks(1, 1, 1, 1), True),
        (ranks(1, 1, 1, None), (), ranks(1, 1, 1, 1), False),  # recall fell by 0.25
        (ranks(2, 2, 2, 2), (), ranks(1, 1, 1, 1), False),  # recall is the same, MRR fell by 0.5
        (ranks(1, 1, 1, 1), (), ranks(None, 1, 1, 1), True),  # better
        (ranks(1, 1, 1), ("q3",), ranks(1, 1, 1, 1), True),  # a document was deleted: not compared
        (ranks(1), ("q1", "q2", "q3"), ranks(1, 1, 1, 1), False),  # most documents vanished
    ],
)
def test_judge_compares_what_both_versions_can_answer(now, absent, before, passed):
    result = judge(Outcome(now, absent), Outcome(before) if before else None, Margins())
    assert result.passed is passed, result.reason


def test_judge_tolerates_a_drop_within_the_margin():
    before = ranks(*[1] * 100)
    assert judge(Outcome(before | {"q0": None}), Outcome(before), Margins(recall_drop=0.02)).passed
    worse = judge(Outcome(before | {f"q{i}": None for i in range(3)}), Outcome(before), Margins(recall_drop=0.02))
    assert not worse.passed
    assert set(worse.worse) == {"q0", "q1", "q2"}


@pytest.mark.parametrize("line", ['{"question": "q"}', "{", '{"doc_id": "d"}', "[]", '{"question": 3, "doc_id": "d"}'])
def test_parse_golden_names_the_line(line):
    with pytest.raises(ConfigError, match=r"line 2 of golden\.jsonl"):
        parse_golden('{"question": "q", "doc_id": "d"}\n' + line, "golden.jsonl")
