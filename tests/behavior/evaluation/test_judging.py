"""A judge in a trial: what it is asked, where its word is kept, and that an evaluation outlives whatever it does."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from assets.behavior.evaluation import judging, preview, records
from assets.behavior.evaluation.comparing import compare
from assets.behavior.evaluation.judge import Judge, Pair
from assets.behavior.evaluation.judging import Outcome
from assets.behavior.evaluation.manner import Manner
from assets.errors import ConfigError
from orchestration.assembly_evaluation import evaluations
from orchestration.cli_finetune import trial_json, trial_text
from orchestration.config import load
from orchestration.engines.chat_client import ChatClient
from tests.behavior.evaluation.judge_server import KEY, MODEL
from tests.behavior.evaluation.test_comparing import answers, items
from tests.behavior.evaluation.world import World, as_json, plain

ANCHORS = [Pair(f"x{n}", "In what form?", f"Room {n}.", f'{{"answer": "Room {n}."}}', better="B") for n in range(4)]


def likes_json(a: str, b: str) -> str:
    first, second = a.startswith("{"), b.startswith("{")
    return json.dumps({"verdict": "tie" if first == second else "A" if first else "B"})


def dislikes_json(a: str, b: str) -> str:
    return likes_json(b, a)


def judge(server, anchors=ANCHORS, url: str = "") -> Judge:
    client = ChatClient(url or server.url, MODEL, key_env="JUDGE_KEY", attempts=1, seconds=5)
    return Judge(client, "Answer as JSON.", anchors)


@pytest.fixture
def world(tmp_path, server):
    server.answer = likes_json
    made = World(tmp_path)
    made.judge = judge(server)
    return made


def pages(world) -> list[str]:
    return [world.lake.read_text(f"{records.name_of('main', 'a1')}.{ending}") or "" for ending in ("md", "html")]


# ------------------------------------------------------------------------------------------------ what it says is kept


def test_what_the_judge_says_of_a_trial_is_kept_and_shown(world, server):
    trial = world.tried(as_json)
    said = trial.row["judge"]
    assert (said["outcome"], said["wins"], said["ties"], said["losses"]) == ("judged", 200, 0, 0)
    assert (said["model"], said["pin"], said["agreement"]) == (MODEL, world.judge.pin, 1)
    assert said["preference"]["items"] == 200
    assert said["preference"]["low"] > 0.9
    assert len(server.asked) == 2 * (len(ANCHORS) + 200)  # of the manner, and nothing of facts and refusals
    for page in pages(world):
        assert "The judge prefers the candidate's answers: 200 wins, 0 ties, 0 losses." in page.replace("&#x27;", "'")
        assert "The gate does not read it." in page
        for number in (MODEL, world.judge.pin, "100.0%", "200, 0, 0", "+100.0 points"):
            assert number in page
    shown = preview.metadata(trial, pages(world)[0], "report.html")
    assert shown["judge"].startswith("judged: The judge prefers the candidate's answers")
    assert (shown["judge_mean"], list(shown)[-3:]) == (1.0, ["judge_mean", "judge_low", "judge_high"])


@pytest.mark.parametrize("asked", [True, False])
def test_terminal_says_what_the_judge_said(world, asked):
    world.judge = world.judge if asked else None
    trial = world.tried(as_json)
    value = trial_json(SimpleNamespace(behavior=SimpleNamespace(lake=world.lake)), trial)
    said = "judge: judged: The judge prefers the candidate's answers: 200 wins, 0 ties, 0 losses."
    assert (said in trial_text({"variant": "main", **value})) == asked


def test_judge_of_twohands_toml_is_asked_and_its_key_is_kept_nowhere(world, server, tmp_path):
    rows = ({"question": p.question, "A": p.first, "B": p.second, "better": p.better} for p in ANCHORS)
    (tmp_path / "anchors.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "twohands.toml").write_text(
        f'[sources.docs]\nurl = "docs"\n[evaluation]\nresamples = 1000\n[evaluation.judge]\nurl = "{server.url}"\n'
        f'model = "{MODEL}"\nkey_env = "JUDGE_KEY"\nguideline = "Answer as JSON."\nanchors = "anchors.jsonl"\n'
    )
    world.trials.evaluations = evaluations(load(str(tmp_path / "twohands.toml")), world.lake)
    trial = world.tried(as_json)
    assert (trial.row["judge"]["outcome"], trial.row["judge"]["wins"]) == ("judged", 200)
    assert set(server.keys) == {f"Bearer {KEY}"}
    files = [one for one in tmp_path.rglob("*") if one.is_file()]
    assert not [one.name for one in files if KEY.encode() in one.read_bytes()]


def test_without_a_judge_nothing_is_said_of_one(world):
    world.judge = None
    trial = world.tried(as_json)
    assert trial.row["judge"] is None
    assert not [page for page in pages(world) if "Judge" in page]
    assert not [name for name in preview.metadata(trial, "", "") if "judge" in name]


def test_evaluation_of_before_there_were_judges_is_shown(world):
    world.judge = None
    trial = world.tried(as_json)
    row = {name: value for name, value in trial.row.items() if name != "judge"}
    assert "judge" not in preview.metadata(replace(trial, row=row), "", "")


def test_judge_never_decides(world, server):
    server.answer = dislikes_json
    world.judge = judge(server, [replace(one, better="A") for one in ANCHORS])
    trial = world.tried(as_json)
    assert trial.promoted, trial.row["sentence"]
    assert trial.row["judge"]["losses"] == 200
    assert "prefers the answers of before" in trial.row["judge"]["sentence"]


def test_equal_answers_are_ties_and_nobody_is_asked(world, server):
    trial = world.tried(plain)
    said = trial.row["judge"]
    assert (said["wins"], said["ties"], said["losses"]) == (0, 200, 0)
    assert "prefers neither" in said["sentence"]
    assert len(server.asked) == 2 * len(ANCHORS)
    assert not trial.promoted


# ------------------------------------------------------------------------------------- an evaluation outlives its judge


def test_judge_that_disagrees_with_its_anchors_is_not_trusted_and_not_asked(world, server):
    server.answer = lambda a, b: dislikes_json(a, b) if "Room 0." in a else likes_json(a, b)
    trial = world.tried(as_json)
    said = trial.row["judge"]
    assert trial.promoted
    assert (said["outcome"], said["agreement"], "wins" in said) == ("not trusted", 0.75, False)
    assert "agrees with 3 of 4 anchors. Expected: at least 90%" in said["sentence"]
    assert len(server.asked) == 2 * len(ANCHORS)
    for page in pages(world):
        assert "Not to be trusted, and nothing was judged" in page
        assert "75.0%" in page


def _gone(world, server, patch):
    world.judge = judge(server, url="http://127.0.0.1:9/v1")


def _keyless(world, server, patch):
    patch.delenv("JUDGE_KEY")


def _refuses(world, server, patch):
    server.statuses = [401]


def _breaks_off(world, server, patch):
    server.statuses = [200] * 30 + [503]


def _chatters(world, server, patch):
    server.answer = lambda a, b: "Both A and B are fine."


def _nests(world, server, patch):
    server.answer = lambda a, b: "[" * 200_000


def _sends_html(world, server, patch):
    server.raw = b"<html>"


def _is_another(world, server, patch):
    server.model = "x" * 5_000


@pytest.mark.parametrize(
    ("happens", "outcome", "sentence", "next_step"),
    [
        (_gone, "failed", "did not answer (URLError, 1 attempts)", "when it answers, ask it again with `twohands eval"),
        (_keyless, "failed", "the variable JUDGE_KEY holds no key", "export JUDGE_KEY=; then ask it again"),
        (_refuses, "failed", "the key is wrong or missing", "check evaluation.judge: url, model, key_env; then ask"),
        (_breaks_off, "failed", "did not answer (status 503, 1 attempts)", "when it answers, ask it again"),
        (_chatters, "failed", "name neither A, B nor tie", "choose a model that follows instructions"),
        (_nests, "failed", "name neither A, B nor tie", "choose a model that follows instructions"),
        (_sends_html, "failed", "sent no chat completion", "check evaluation.judge.url"),
        (_is_another, "not trusted", "the judge answers as 'xxx", "pin the exact version"),
    ],
)
def test_evaluation_is_kept_whatever_the_judge_does(world, server, monkeypatch, happens, outcome, sentence, next_step):
    happens(world, server, monkeypatch)
    trial = world.tried(as_json)
    said = trial.row["judge"]
    assert trial.promoted, trial.row["sentence"]
    assert said["outcome"] == outcome
    assert sentence in said["sentence"]
    assert len(said["sentence"]) < 300
    assert said["next_step"].startswith(next_step)
    assert KEY not in json.dumps(trial.row)
    for page in pages(world):
        assert "Judge" in page
        assert outcome in page
        assert "next step" in page


def test_judge_that_failed_is_asked_again_on_request(world, server):
    server.statuses = [503]
    world.tried(as_json)
    assert world.trials.run("main", "a1").row["judge"]["outcome"] == "failed"  # found; nothing is generated
    assert len(world.generator.asked) == 2
    assert world.trials.run("main", "a1", again=True).row["judge"]["outcome"] == "judged"


def test_judge_with_wrong_anchors_is_told_before_anything_is_generated(world, monkeypatch):
    def wrong() -> Judge:
        raise ConfigError("evaluation.judge.anchors: anchors.jsonl cannot be read")

    monkeypatch.setattr(world.trials.evaluations, "_judge", wrong)
    with pytest.raises(ConfigError, match=r"evaluation\.judge\.anchors"):
        world.tried(as_json)
    assert world.generator.asked == []


# ------------------------------------------------------------------------------------------------------- the same rules


def test_same_judge_is_not_asked_about_the_same_trial_again(world, server):
    world.tried(as_json)
    before = len(server.asked)
    world.judge = judge(server)
    assert world.trials.run("main", "a1").found
    assert len(server.asked) == before


@pytest.mark.parametrize("what", ["anchors", "guideline", "model", "agreement", "none"])
def test_another_judge_evaluates_again(world, server, what):
    world.tried(as_json)
    if what == "model":
        server.model = "judge-2026-09-01"
    chat = ChatClient(server.url, server.model, key_env="JUDGE_KEY", attempts=1)
    guideline = "Be brief." if what == "guideline" else "Answer as JSON."
    other = Judge(chat, guideline, ANCHORS[what == "anchors" :], 0.5 if what == "agreement" else 0.9)
    world.judge = None if what == "none" else other
    trial = world.trials.run("main", "a1")
    assert not trial.found
    assert (trial.row["judge"] or {}).get("pin") == (None if what == "none" else other.pin)


# ------------------------------------------------------------------------------------------------- what it is shown


def test_pairs_are_of_the_manner_without_earlier_sets_and_evenly_drawn():
    held = items(30)
    found = compare(held, ("base", answers(held, plain)), ("a1", answers(held, as_json)), Manner(), resamples=100)
    shown = judging.pairs(found, but={"b3"})
    assert [one.id for one in shown] == sorted(f"b{n}" for n in range(30) if n != 3)
    assert (shown[0].first, shown[0].second) == (plain(held[0]).text, as_json(held[0]).text)
    assert (shown[0].question, shown[0].group) == (held[0].question, "g0")
    few = judging.pairs(found, most=10)
    assert len({one.id for one in few}) == 10
    assert few == judging.pairs(found, most=10)


def test_nothing_to_compare_asks_nobody(server):
    said = judging.asked(judge(server), [])
    assert (said.outcome, server.asked) == (Outcome.NOT_ASKED, [])
    assert judging.record(said)["outcome"] == "not asked"


def test_progress_tells_of_every_pair(server):
    server.answer, seen = likes_json, []
    shown = [Pair(f"p{n}", "?", f"{n}", f'{{"n": {n}}}') for n in range(3)]
    judging.asked(judge(server), shown, resamples=100, progress=lambda *told: seen.append(told))
    assert seen == [("judging", 1, 3), ("judging", 2, 3), ("judging", 3, 3)]


def test_judge_that_is_too_slow_is_waited_for_no_longer(server):
    server.answer, now = likes_json, iter(range(0, 10_000, 100))
    client = ChatClient(server.url, MODEL, key_env="JUDGE_KEY")
    slow = Judge(client, "Answer as JSON.", ANCHORS, limit=600, clock=lambda: next(now))
    shown = [Pair(f"p{n}", "?", f"{n}", f'{{"n": {n}}}') for n in range(9)]
    said = judging.asked(slow, shown, resamples=100)
    assert said.outcome is Outcome.FAILED
    assert "took longer than 600 s" in said.sentence
    assert len(server.asked) == 2 * (len(ANCHORS) + 2)
