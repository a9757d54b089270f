"""Questions of the gate and those that keep an adapter declining are different ones, and each file is read or named."""

import json

import pytest

from assets.errors import ConfigError
from orchestration.config import load
from orchestration.questions import judged, kept


@pytest.fixture
def settings(tmp_path):
    def made(facts, declining):
        for name, rows in (("facts", facts), ("declining", declining)):
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "twohands.toml").write_text(
            '[sources.docs]\nurl = "docs"\n[evaluation]\nfacts = ["facts.jsonl"]\n'
            '[adapter]\ndeclining = ["declining.jsonl"]\n'
        )
        return load(str(tmp_path / "twohands.toml"), str(tmp_path / "home"))

    return made


def row(question, group="", **more):
    return {"question": question, "answers": ["4 euros"], "passages": ["It costs 4 euros."], "group": group, **more}


def test_files_are_read_apart(settings):
    found = settings([row("what is the fee?", "a")], [row("what is the fine?", "b"), row("and the toll?", answers=[])])
    assert [item.question for item in judged(found)] == ["what is the fee?"]
    assert [bool(item.references) for item in kept(found)] == [True, False]


@pytest.mark.parametrize("again", [row("what is the fee?"), row("another one?", "a")])
@pytest.mark.parametrize("read", [judged, kept])
def test_question_or_group_of_the_gate_is_refused(settings, again, read):
    with pytest.raises(ConfigError) as caught:
        read(settings([row("what is the fee?", "a")], [again]))
    assert "1 of 1 questions of evaluation.facts are in adapter.declining too" in str(caught.value)
    assert "take them out of adapter.declining" in str(caught.value)


def test_same_question_about_other_passages_is_another_one(settings):
    found = settings([row("what is the fee?", "a")], [row("what is the fee?", "b", passages=["It is 4 euros here."])])
    assert len(judged(found)) == len(kept(found)) == 1


def test_question_of_the_gate_whose_passages_are_not_known_yet_is_refused_by_itself(settings):
    with pytest.raises(ConfigError, match=r"are in adapter\.declining too"):
        judged(settings([row("what is the fee?", passages=[])], [row("what is the fee?")]))


def test_question_without_passages_is_refused(settings):
    with pytest.raises(ConfigError, match=r"1 of 2 questions have no passages, 'how high\?' for one"):
        kept(settings([row("a?")], [row("how deep?"), row("how high?", passages=[])]))


def test_file_that_is_not_there_is_named(settings, tmp_path):
    found = settings([row("what is the fee?")], [])
    (tmp_path / "declining.jsonl").unlink()
    for read in (judged, kept):
        with pytest.raises(ConfigError, match=r"adapter\.declining: .*declining\.jsonl cannot be read"):
            read(found)


def test_line_that_is_no_question_is_named(settings, tmp_path):
    found = settings([], [row("how deep?")])
    (tmp_path / "declining.jsonl").write_text('{"question": "how deep?"}\n{"answer": 1}\n')
    with pytest.raises(ConfigError, match=r"adapter\.declining, declining\.jsonl: line 2 is no question"):
        kept(found)


def test_questions_of_the_sample_are_apart():
    found = load("twohands.toml")
    assert (len(judged(found)), len(kept(found))) == (2_376, 629)  # a question that two books leave open is one
