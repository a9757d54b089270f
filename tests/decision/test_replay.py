"""The replay: the same words as production, no look ahead, and every row of the policy that a history can reach."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from assets.decision import replay_views
from assets.decision.config import ShiftConfig
from assets.decision.counts import EMPTY, DailyCounts, from_rows
from assets.decision.pipeline import Decision
from assets.decision.policy import Action, Rules, Verdict
from assets.decision.replay import Day, History, replay
from orchestration.engines.lake import open_lake
from orchestration.ledger import LakeLedger
from tests.decision.streams import CONFIG, FIRST, counts, rows

CLOSING = 3
CHANGE = 28 + 20
RULES = Rules(min_examples=60)
SHIFTED = counts(11, shift={"fail": 1.2}, change=CHANGE)  # 88 days
CALM = counts(12)


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def said(found: list[Day]) -> list[Action]:
    """The verdicts, each once for all days in a row."""
    return [found[0].verdict.action] + [
        b.verdict.action for a, b in pairwise(found) if a.verdict.action != b.verdict.action
    ]


@pytest.fixture(scope="module")
def shifted() -> list[Day]:
    return list(replay(SHIFTED, CONFIG, RULES))


def test_replay_says_learning_then_wait_then_finetune_and_learns_anew(shifted):
    assert [one.day for one in shifted] == [day(number) for number in range(SHIFTED.days)]
    assert said(shifted) == [Action.WAIT, Action.FINETUNE, Action.WAIT]
    assert "27 of 28 reference days" in shifted[26].verdict.sentence
    assert (shifted[27].evidence, shifted[27].verdict.reasons[0].passed) == (0, True)
    assert not any(one.fired for one in shifted[:CHANGE])
    done = next(number for number, one in enumerate(shifted) if one.verdict.action is Action.FINETUNE)
    spent = shifted[done]
    assert spent.fired is not None
    assert day(CHANGE) <= spent.fired <= spent.day
    assert spent.changed is not None
    assert abs((spent.changed - day(CHANGE)).days) <= 4
    assert spent.shares["fail"] > 0.9
    assert "1 of 28 reference days" in shifted[done + 1].verdict.sentence
    assert not any(one.fired for one in shifted[done + 1 :])  # what it consumed never fires again


def test_replay_evidence_is_kept_until_there_are_examples():
    patient = list(replay(SHIFTED, CONFIG, replace(RULES, min_examples=10_000)))
    assert said(patient) == [Action.WAIT]
    assert patient[-1].fired is not None
    assert "of 10000 corrected examples" in patient[-1].verdict.sentence


@pytest.mark.parametrize(
    ("rules", "expected", "sentence"),
    [
        ({"per_month": 3.0}, Action.BLOCKED, "exceed the month's budget (0.00 of 3.00 EUR"),
        ({"gpu_hours_per_month": 0.5}, Action.BLOCKED, "exceed the month's 0.5"),
        ({"value_per_failure": 0.0}, Action.PROPOSE, "approve it if it is worth more to you"),
        ({"require_approval": True}, Action.PROPOSE, "need approval here"),
    ],
)
def test_replay_policy_suppresses_what_evidence_shows(rules, expected, sentence):
    found = list(replay(SHIFTED, CONFIG, replace(RULES, **rules)))
    assert said(found) == [Action.WAIT, expected]
    assert sentence in found[-1].verdict.sentence


def test_replay_spend_of_a_month_stands_against_its_second_finetune():
    config, one_more = ShiftConfig(reference_days=7), replace(RULES, min_examples=20, cool_down_days=0)
    found = _then(
        counts(13, days=40, shift={"fail": 2.0}, change=8), counts(13, days=40, shift={"fail": 5.0}, change=8), 20
    )
    free = [one.day for one in replay(found, config, one_more) if one.verdict.action is Action.FINETUNE]
    assert [when.month for when in free] == [1, 1]
    poor = list(replay(found, config, replace(one_more, per_month=7.9)))
    done = [one.day for one in poor if one.verdict.action is Action.FINETUNE]
    assert done == [free[0], date(2026, 2, 1)]  # the next month has its own money
    assert "(4.00 of 7.90 EUR are spent)" in poor[(free[1] - FIRST).days].verdict.sentence


def _then(one: DailyCounts, other: DailyCounts, number: int) -> DailyCounts:
    """The days of one stream, and from this one on those of another."""
    n, s = (
        {event: np.where(np.arange(one.days)[:, None] < number, a[event], b[event]) for event in a}
        for a, b in ((one.n, other.n), (one.S, other.S))
    )
    return DailyCounts(FIRST, one.topics, n, s)


def test_replay_of_nothing_but_chance_waits():
    found = list(replay(CALM, CONFIG, RULES))
    assert said(found) == [Action.WAIT]
    assert 0 < max(one.evidence for one in found) < CONFIG.threshold


def test_replay_of_lost_knowledge_asks_for_the_corpus_and_never_for_a_finetune():
    found = list(replay(counts(14, per_day=300, know=0.35, change=CHANGE), CONFIG, RULES))
    assert said(found) == [Action.WAIT, Action.FIX_CORPUS]
    first = next(one for one in found if one.verdict.action is Action.FIX_CORPUS)
    assert day(CHANGE) <= first.day <= day(CHANGE + 10)
    assert "twohands gaps" in first.verdict.sentence


@pytest.mark.parametrize("length", [1, 20, 28, 29, CHANGE, CHANGE + 6, CHANGE + 25])
def test_replay_first_days_of_a_longer_history_read_the_same(shifted, length):
    short = SHIFTED.between(FIRST, day(length - 1))
    assert list(replay(short, CONFIG, RULES)) == shifted[:length]


def test_replay_guesses_the_change_as_it_looked_on_the_day():
    small, large = (counts(7, days=120, shift={"fail": size}, change=CHANGE) for size in (0.8, 3.5))
    slow = _then(small, large, CHANGE + 15)
    rules = replace(RULES, min_examples=10_000)
    guesses = {one.day: one.changed for one in replay(slow, CONFIG, rules) if one.fired}
    assert len(set(guesses.values())) > 1
    first = min(guesses)
    assert list(replay(slow.between(FIRST, first), CONFIG, rules))[-1].changed == guesses[first]


class Estimated:
    """What production asks the warehouse for, answered as a replay estimates it: from the counts."""

    def __init__(self, history: History) -> None:
        self._history = history

    def examples(self, variant: str, first: date, last: date) -> int:
        number = self._history.number
        return int(self._history.examples[number(first) : number(last) + 1].sum())

    def deploys(self, variant: str, first: date, last: date) -> tuple[()]:
        return ()


def production(folder, found: DailyCounts, config: ShiftConfig, rules: Rules, clock: list[date]) -> Decision:
    """Production over a lake that holds these counts; `clock` holds its today."""
    lake = open_lake(str(folder / "lake"), locks=folder / "locks")
    types = {"topic": pa.string(), "event": pa.string(), "n": pa.int64(), "S": pa.int64(), "variant": pa.string()}
    schema = pa.schema([("day", pa.date32()), *types.items()])
    by_day: dict[str, list[dict]] = {}
    for row in rows(found):
        value = row | {"day": date.fromisoformat(row["day"]), "variant": "main"}
        by_day.setdefault(row["day"], []).append(value)
    for name, part in by_day.items():
        lake.write(f"behavior/daily/day={name}", pa.Table.from_pylist(part, schema))
    lake.write_text("behavior/built.json", json.dumps(dict.fromkeys(by_day, "1")))
    return Decision(
        lake=lake,
        ledger=LakeLedger(lake),
        variants=("main",),
        config=lambda _: config,
        rules=lambda _: rules,
        measured=Estimated(History(found, config)),
        close_after_days=CLOSING,
        today=lambda: clock[0],
    )


def test_replay_says_what_production_says_word_for_word(tmp_path):
    rules = replace(RULES, require_approval=True)  # so that no fine-tune ends the comparison
    clock = [FIRST]
    decision = production(tmp_path, SHIFTED, CONFIG, rules, clock)
    expected = {one.day: one for one in replay(SHIFTED, CONFIG, rules)}
    seen = set()
    for number in (3, 26, 27, 28, 40, CHANGE + 2, CHANGE + 5, CHANGE + 9, SHIFTED.days - 1):
        clock[0] = day(number + CLOSING)
        made, one = decision.judge("main"), expected[day(number)]
        assert words(made.verdict) == words(one.verdict), number
        seen.add((one.verdict.action, one.changed is not None))
    assert seen == {(Action.WAIT, False), (Action.WAIT, True), (Action.PROPOSE, True)}


def words(verdict: Verdict) -> tuple:
    """All that a verdict says. Shares that are zero are left out, and where nothing fired the guess of a change is."""
    evidence = dict(verdict.evidence)
    if evidence["fired"] is None:
        del evidence["changed"]
    shares = {event: share for event, share in evidence.pop("shares").items() if share}
    return verdict.action, verdict.sentence, verdict.reasons, verdict.cost, evidence, shares


def test_replay_and_production_begin_a_new_contract_when_the_horizon_ends(tmp_path):
    config, clock = ShiftConfig(reference_days=14, horizon_days=30), [FIRST]
    decision = production(tmp_path, CALM, config, RULES, clock)
    found = list(replay(CALM, config, RULES))
    for number in (14, 43, 44, 45, 73, 74, 80):  # contracts end with 43 and 73
        clock[0] = day(number + CLOSING)
        made = decision.judge("main")
        assert made.record is not None
        assert words(made.verdict) == words(found[number].verdict), number
        since = 14 + 30 * ((number - 14) // 30)
        assert made.record.since == day(since), number


def test_replay_keeps_a_shift_that_waits_beyond_the_horizon_as_production_does(tmp_path):
    config, clock = ShiftConfig(reference_days=14, horizon_days=40), [FIRST]  # the horizon ends with day 53
    few = replace(RULES, min_examples=int(History(SHIFTED, config).examples[CHANGE:60].sum()))
    decision = production(tmp_path, SHIFTED, config, few, clock)
    found = list(replay(SHIFTED, config, few))
    for number in (52, 53, 54, 56, 58):
        clock[0] = day(number + CLOSING)
        made = decision.judge("main")
        assert made.record is not None
        assert words(made.verdict) == words(found[number].verdict), number
        assert (made.record.fired, made.record.since) == (found[number].fired, day(14)), number
    assert found[53].fired is not None
    assert "corrected examples are there since then" in found[58].verdict.sentence
    done = next(one for one in found if one.verdict.action is Action.FINETUNE)
    assert day(58) < done.day < day(64)
    assert f"1 of {config.reference_days} reference days" in found[(done.day - FIRST).days + 1].verdict.sentence


def test_replay_days_without_interactions_are_no_evidence():
    gone = range(CHANGE + 2, CHANGE + 5)
    kept = from_rows(row for row in rows(SHIFTED) if date.fromisoformat(row["day"]) not in map(day, gone))
    zeros = from_rows(
        row | ({"n": 0, "S": 0} if date.fromisoformat(row["day"]) in map(day, gone) else {}) for row in rows(SHIFTED)
    )
    found = list(replay(kept, CONFIG, RULES))
    assert found == list(replay(zeros, CONFIG, RULES))
    assert len(found) == SHIFTED.days
    assert Action.FINETUNE in said(found)


def test_replay_a_reference_that_is_mostly_missing_does_not_fire_on_chance():
    holes = from_rows(row for row in rows(CALM) if not day(2) <= date.fromisoformat(row["day"]) < day(26))
    assert not any(one.fired for one in replay(holes, CONFIG, RULES))


def test_replay_of_one_topic_finds_its_shift():
    found = list(replay(counts(15, topics=1, shift={"fail": 1.2}, change=CHANGE), CONFIG, RULES))
    assert Action.FINETUNE in said(found)


def test_replay_of_5000_topics_finds_the_shift_of_all_and_ends():
    found = counts(16, days=36, topics=5_000, per_day=20_000, shift={"fail": 1.2}, change=31)
    few = ("know", "labelled", "fail")
    many = DailyCounts(
        FIRST, found.topics, {event: found.n[event] for event in few}, {event: found.S[event] for event in few}
    )
    found = list(replay(many, CONFIG, RULES))
    assert [one.fired for one in found[:31]] == [None] * 31
    assert Action.FINETUNE in said(found)


def test_replay_a_topic_that_begins_later_is_no_shift():
    there = (np.arange(4) > 0) | (np.arange(CALM.days)[:, None] >= 60)
    n, s = ({event: table * there for event, table in part.items()} for part in (CALM.n, CALM.S))
    late = DailyCounts(FIRST, CALM.topics, n, s)
    assert said(list(replay(late, CONFIG, RULES))) == [Action.WAIT]


@pytest.mark.parametrize("event", ["know", "labelled", "fail", "schema_bad", "edit"])
def test_replay_of_one_event_alone_says_something_every_day(event):
    only = DailyCounts(FIRST, CALM.topics, {event: CALM.n[event]}, {event: CALM.S[event]})
    found = list(replay(only, CONFIG, RULES))
    assert len(found) == CALM.days
    assert said(found) == [Action.WAIT]


def test_replay_of_no_days_is_empty():
    assert list(replay(EMPTY, CONFIG, RULES)) == []


def test_replay_of_days_without_any_interaction_waits():
    empty = DailyCounts(FIRST, ("a",), {"fail": np.zeros((40, 1))}, {"fail": np.zeros((40, 1))})
    assert said(list(replay(empty, CONFIG, RULES))) == [Action.WAIT]


def test_examples_are_failures_that_were_edited():
    number = {"fail": 20.0, "edit": 7.0, "format": 5.0}
    table = {event: np.full((2, 1), n) for event, n in number.items()}
    found = DailyCounts(FIRST, ("a",), table, {"fail": np.array([[9.0], [3.0]]), "edit": table["edit"] * 0})
    assert History(found, CONFIG).examples.tolist() == [7, 3]
    without = DailyCounts(FIRST, ("a",), {"fail": table["fail"]}, {"fail": np.array([[9.0], [3.0]])})
    assert History(without, CONFIG).examples.tolist() == [9, 3]


def test_history_tries_another_threshold_on_the_same_trajectory(shifted):
    history = History(SHIFTED, CONFIG)
    strict = list(history.days(RULES, 365 / 0.001))
    usual = list(history.days(RULES))
    assert usual == shifted
    first = [next(one.fired for one in found if one.fired) for found in (usual, strict)]
    assert first[0] < first[1]
    assert strict[CHANGE].evidence == usual[CHANGE].evidence


# ---------------------------------------------------------------------------------------------------- what is shown


def test_row_holds_the_keys_that_replay_promises(shifted):
    for number, verdict in ((3, "wait"), ([one.verdict.action for one in shifted].index(Action.FINETUNE), "finetune")):
        row = shifted[number].row()
        assert list(row) == ["day", "M", "threshold", "fired", "verdict", "reason"]
        assert json.loads(json.dumps(row)) == row
        fired = verdict == "finetune"
        assert (row["day"], row["threshold"], row["fired"], row["verdict"]) == (
            str(day(number)),
            7300.0,
            fired,
            verdict,
        )


def test_text_has_a_line_for_each_run_of_days(shifted):
    head, *lines = replay_views.text(shifted).splitlines()
    assert head.split()[:2] == ["days", "n"]
    assert lines[0].startswith(f"{FIRST}..{day(26)}  27 ")
    assert sum(int(line.split()[1]) for line in lines) == SHIFTED.days
    assert next(line for line in lines if " finetune " in line).split()[1] == "1"


def test_text_of_a_ratio_beyond_ten_is_no_percentage(shifted):
    text = replay_views.text(shifted)
    assert " x " in text
    assert "0%" in text


def test_figure_shows_a_finetune_and_survives_any_history(shifted):
    drawn = {
        "shift": replay_views.figure(shifted, "t"),
        "no fine-tune": replay_views.figure(shifted[:CHANGE], "t"),
        "one day": replay_views.figure(shifted[:1], "t"),
    }
    assert all(png.startswith(b"\x89PNG") for png in drawn.values())
    red = (214, 39, 40)
    assert _count(drawn["shift"], red) > 200  # a line from top to bottom, not a mark alone
    assert _count(drawn["no fine-tune"], red) == 0


def _count(png: bytes, color: tuple[int, int, int]) -> int:
    """Pixels of a color."""
    import io

    from matplotlib.image import imread

    pixels = np.round(imread(io.BytesIO(png))[..., :3] * 255).astype(int)
    return int((np.abs(pixels - color).max(-1) <= 60).sum())
