"""[evaluation] of twohands.toml: a manner with a schema and own checks, facts, a judge; and what is wrong with it."""

from __future__ import annotations

import json
import sys

import pytest

from assets.behavior.evaluation.items import Answer, Item, Kind
from assets.behavior.evaluation.metrics import score
from assets.errors import ConfigError
from orchestration.assembly import open_the_lake
from orchestration.assembly_dataset import held_out
from orchestration.assembly_evaluation import evaluations, judge, manner_of
from orchestration.config import load
from orchestration.questions import judged


@pytest.fixture
def settings(tmp_path):
    def write(text: str):
        (tmp_path / "twohands.toml").write_text('[sources.docs]\nurl = "docs"\n' + text)
        return load(str(tmp_path / "twohands.toml"))

    return write


def test_manner_is_read_with_its_schema_and_own_checks(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "answer.json").write_text(json.dumps({"type": "object", "required": ["answer"]}))
    (tmp_path / "house_checks_for_a_test.py").write_text("def short(text):\n    return len(text) < 30\n")
    found = settings(
        '[evaluation.manners.main]\nschema_file = "answer.json"\nformat = "json"\nmust_not = ["sorry"]\nmax_words = 9\n'
        'checks = ["house_checks_for_a_test:short"]\n'
    )
    item = Item("i", Kind.BEHAVIOR, "?", (), ('{"answer": "4"}',))
    parts = score([item], [Answer('{"answer": "4"}')], manner_of(found, "main"))
    names = ("schema", "style: format", "style: has no sorry", "style: length", "own: house_checks_for_a_test:short")
    assert [float(parts[name][0]) for name in (*names, "manner")] == [1] * 6


def test_without_the_table_answers_are_held_against_corrections(settings, tmp_path):
    found = settings("")
    assert (manner_of(found, "main").schema, judged(found), judge(found)) == (None, [], None)
    assert evaluations(found, open_the_lake(found))._margins.facts == 0.02


def test_facts_and_judge_are_read(settings, tmp_path):
    (tmp_path / "q.jsonl").write_text('{"question": "a", "answers": ["b"]}\n')
    (tmp_path / "a.jsonl").write_text('{"question": "q", "A": "x", "B": "y", "better": "tie"}\n')
    found = settings(
        '[evaluation]\nfacts = ["q.jsonl"]\nmargins = { facts = 0.1 }\n[evaluation.judge]\nurl = "http://127.0.0.1:9/v1"\n'
        'model = "m-1"\nguideline = "be kind"\nanchors = "a.jsonl"\n'
    )
    assert [item.question for item in judged(found)] == ["a"]
    assert [(item.question, item.answers) for item in held_out(found)] == [
        ("a", ("b",))
    ]  # nothing may be learnt from it
    assert judge(found).pin == judge(found).pin
    assert evaluations(found, open_the_lake(found))._margins.facts == 0.1


JUDGE = '[evaluation.judge]\nurl = "http://127.0.0.1:9/v1"\nmodel = "m-1"\nguideline = "g"\nanchors = "a.jsonl"\n'


def test_judge_and_its_anchors_are_part_of_the_rules(settings, tmp_path):
    """Nothing is read before rules are asked for, and no server nor key ever for them."""
    anchors = tmp_path / "a.jsonl"
    found = settings(JUDGE + 'key_env = "NO_SUCH_KEY"\n')
    made = evaluations(found, open_the_lake(found))
    with pytest.raises(ConfigError, match=r"evaluation\.judge\.anchors: .*a\.jsonl cannot be read"):
        made.settings("main")
    anchors.write_text("\n")
    with pytest.raises(ConfigError, match=r"evaluation\.judge\.anchors: the judge has no anchors"):
        made.settings("main")
    rules = [evaluations(settings(""), made.lake).settings("main")]
    for better in ("A", "B"):
        anchors.write_text(json.dumps({"question": "q", "A": "x", "B": "y", "better": better}))
        assert made.settings("main") == made.settings("main")
        rules.append(made.settings("main"))
    rules.append(evaluations(settings(JUDGE.replace("m-1", "m-2")), made.lake).settings("main"))
    assert len(set(rules)) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[evaluation]\nfacts = ["none.jsonl"]\n', r"evaluation\.facts: received 'none\.jsonl'"),
        ("[evaluation]\nresamples = 3\n", r"evaluation\.resamples: received 3"),
        ("[evaluation]\nmargin = 1\n", "Did you mean 'margins'"),
        ("[evaluation.manners.sales]\n", r"evaluation\.manners\.sales: no such variant\. Valid variants are: main"),
        ('[evaluation.manners.main]\nformat = "pdf"\n', r"evaluation\.manners\.main\.format"),
        ("[evaluation.judge]\nurl = 'http://x'\n", r"evaluation\.judge\.model: missing"),
    ],
)
def test_wrong_table_is_wrong_configuration(settings, text, message):
    with pytest.raises(ConfigError, match=message):
        settings(text)


@pytest.mark.parametrize(
    ("text", "files", "message"),
    [
        ('schema_file = "s.json"', {"s.json": "{"}, r"evaluation\.manners\.main\.schema_file: .* is no JSON"),
        ('schema_file = "s.json"', {"s.json": "[]"}, "holds a list"),
        ('schema_file = "s.json"', {}, "cannot be read"),
        ('schema_file = "s.json"', {"s.json": '{"type": 7}'}, "no JSON Schema"),
        ('checks = ["no_such_module_here:f"]', {}, r"evaluation\.manners\.main\.checks: .* cannot be loaded"),
        ('must = ["("]', {}, "no regular expression"),
    ],
)
def test_wrong_manner_names_its_key(settings, tmp_path, monkeypatch, text, files, message):
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name, held in files.items():
        (tmp_path / name).write_text(held)
    found = settings(f"[evaluation.manners.main]\n{text}\n")
    with pytest.raises(ConfigError, match=message):
        manner_of(found, "main")


@pytest.mark.parametrize("line", ["{", "{}", '{"question": "q", "A": "x", "B": "y", "better": "C"}'])
def test_anchor_that_is_none_is_named(settings, tmp_path, line):
    (tmp_path / "a.jsonl").write_text(line)
    with pytest.raises(ConfigError, match=r"evaluation\.judge\.anchors: line 1 is no anchor"):
        judge(settings(JUDGE))
