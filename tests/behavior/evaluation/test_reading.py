"""Held-out items from a dataset's rows and from files; evaluations kept in the lake."""

from __future__ import annotations

import json
from datetime import date

import pytest

from assets.behavior.dataset.rows import Example, Passage, example_table
from assets.behavior.evaluation import records, sets
from assets.behavior.evaluation.items import Kind
from assets.behavior.evaluation.reading import of_lines, of_rows, shown
from assets.errors import ConfigError, CorruptState
from orchestration.engines.lake import FolderLake
from tests.behavior.evaluation.test_report import report


def example(number: int, split: str = "test", kind: str = "correction") -> Example:
    said = "The passages do not say." if kind == "refusal" else f"Answer {number}. [1]"
    return Example(
        ({"role": "user", "content": "x"}, {"role": "assistant", "content": said}), (f"e{number}",), "ferry", kind,
        "format", date(2026, 11, 1), f"g{number}", split, f"Question {number}?", said,
        (Passage(1, "Ferry", "It leaves at 7."),),
    )  # fmt: skip


def test_test_rows_become_items(tmp_path):
    rows = [example(1), example(2, "train"), example(3, kind="refusal"), example(4, kind="rehearsal"), example(1)]
    items = of_rows(example_table(rows).to_pylist())
    assert sorted((i.kind, i.question) for i in items) == [
        (Kind.BEHAVIOR, "Question 1?"), (Kind.BEHAVIOR, "Question 3?"), (Kind.REFUSAL, "Question 3?"),
    ]  # fmt: skip
    one = next(item for item in items if item.question == "Question 1?")
    assert (one.references, one.passages) == (("Answer 1. [1]",), ("Ferry\n\nIt leaves at 7.",))
    assert (one.group, one.topic, one.interactions) == ("g1", "ferry", ("e1",))
    lake = FolderLake(tmp_path)
    assert sets.freeze(lake, "main", "s", items).digest == sets.freeze(lake, "main", "s", reversed(items)).digest


def test_questions_are_read_from_lines():
    lines = [
        {"question": "What does it cost?", "answers": ["4 euros"], "passages": ["Free.", "4 euros."], "gold": [2]},
        {"question": "Who steers?", "group": "ferry.md"},
        {"question": "Who steers?"},
    ]
    found = of_lines("\n\n".join(map(json.dumps, lines)), "evaluation.grounded")
    assert [(item.kind, item.gold, item.group) for item in found] == [
        (Kind.GROUNDED, (2,), ""), (Kind.REFUSAL, (), "ferry.md"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "{}", '{"question": 3}', '{"question": " "}', '{"question": "a", "answers": [""]}',
     '{"question": "a", "answer": "b"}', '{"question": "a", "answers": ["b"], "gold": [1]}',
     '{"question": "a", "answers": 4}'],
)  # fmt: skip
def test_line_that_is_no_question_is_named(line):
    with pytest.raises(ConfigError, match=r"evaluation\.grounded: line 2 is no question"):
        of_lines('{"question": "a"}\n' + line, "evaluation.grounded")


def test_questions_without_passages_get_what_is_retrieved():
    asked = of_lines('{"question": "a", "answers": ["4 Euros"]}\n{"question": "b", "passages": ["own"]}', "k")
    found = shown(asked, lambda question: ["nothing", "It is 4 euros, or 14 euros.", f"{question} 44 euros"])
    assert [(item.passages[-1], item.gold) for item in found] == [("a 44 euros", (2,)), ("own", ())]


def test_evaluation_is_kept_and_read_back(tmp_path):
    lake, made = FolderLake(tmp_path), report(["a", "b", "c"])
    name = records.save(lake, made, {"spring": "d1"})
    row = records.load(lake, "main", made.candidate)
    assert (row["action"], row["sets"], row["released"]) == ("refuse", {"spring": "d1"}, "base")
    assert {gate["name"] for gate in row["gates"]} == {gate.name for gate in made.verdict.reasons}
    assert row["changes"]["grounded"]["mean"] == made.comparison.changes["grounded"].mean
    assert lake.read_text(f"{name}.html").startswith("<!doctype html>")
    assert records.all_of(lake, "main") == [made.candidate]
    assert records.load(lake, "main", "nobody") is None
    lake.write_text(f"{name}.json", '{"candidate": "other", "action": "promote", "check": ""}')
    with pytest.raises(CorruptState, match="another candidate"):
        records.load(lake, "main", made.candidate)


def test_pages_that_quote_an_erased_set_are_deleted_and_the_numbers_stay(tmp_path):
    lake, made = FolderLake(tmp_path), report(["a", "b", "c"])
    name = records.save(lake, made, {"spring": "d1"})
    assert records.forget(lake, "main", ["autumn"]) == 0
    assert records.forget(lake, "main", ["spring"]) == 2
    assert (lake.read_text(f"{name}.html"), lake.read_text(f"{name}.md")) == (None, None)
    assert records.load(lake, "main", made.candidate)["action"] == "refuse"
    assert records.variants(lake) == ["main"]
