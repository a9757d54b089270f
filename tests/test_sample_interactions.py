"""The generator of demo logs: deterministic, true to the handbook, and shifting only what it is asked to shift."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from datetime import date, datetime
from pathlib import Path

import pytest

SAMPLE = Path(__file__).resolve().parent.parent / "sample"
UNTIL = "2026-10-31"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SAMPLE))
        import make_interactions  # pyright: ignore[reportMissingImports]

        yield make_interactions


@pytest.fixture(scope="module")
def logs(script, tmp_path_factory):
    """Writes logs once for each set of arguments; gives their folder."""
    made: dict[tuple[str, ...], Path] = {}

    def write(*arguments: str) -> Path:
        if arguments not in made:
            made[arguments] = tmp_path_factory.mktemp("logs")
            assert script.main(["--out", str(made[arguments]), "--until", UNTIL, *arguments]) == 0
        return made[arguments]

    return write


def events(folder):
    return [json.loads(line) for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.glob("*.jsonl")}


def latest(folder):
    """The final version of each interaction that was not deleted."""
    found = {}
    for event in sorted(events(folder), key=lambda event: event["received_at"]):
        found[event["id"]] = event
    return [event for event in found.values() if not event.get("deleted")]


def failed(event):
    corrected = event.get("corrected_response")
    return event.get("feedback") == "down" or (corrected is not None and corrected != event["response"])


def labelled(event):
    return event.get("feedback") in ("up", "down") or "corrected_response" in event


def test_logs_have_a_file_for_each_day_and_the_same_bytes_again(logs, tmp_path, script):
    folder = logs()
    assert script.main(["--out", str(tmp_path), "--until", UNTIL]) == 0
    assert contents(tmp_path) == contents(folder)
    assert sorted(contents(folder))[::59] == ["2026-09-02.jsonl", "2026-10-31.jsonl"]
    assert len(contents(folder)) == 60


def test_another_seed_gives_other_logs(logs):
    assert contents(logs("--days", "3")) != contents(logs("--days", "3", "--seed", "8"))


def test_every_line_keeps_the_contract(logs):
    from assets.behavior.interactions import parse

    for topics in ("on", "off", "mixed"):
        for file in logs("--topics", topics).glob("*.jsonl"):
            for line in file.read_bytes().splitlines():
                event = parse(line)
                assert event["received_at"] >= event["occurred_at"]
                assert set(event) <= set(_fields())


def _fields():
    from assets.behavior.interactions import Interaction

    return Interaction.model_fields


def test_lines_are_in_the_file_of_their_day_or_a_later_one(logs):
    late = 0
    for file in logs().glob("*.jsonl"):
        for line in file.read_text().splitlines():
            occurred = json.loads(line)["occurred_at"][:10]
            assert occurred <= file.stem
            late += occurred < file.stem
    assert 20 <= late <= 120


def test_passages_are_those_of_the_published_index(logs, tmp_path):
    from assets.knowledge import chunks
    from assets.knowledge.pipeline import FastHand, SliceSpec
    from orchestration.engines.encoders import load_tokenizer
    from orchestration.engines.lake import FolderLake
    from orchestration.engines.lancedb_index import LanceIndex
    from orchestration.engines.parsers import ParserPool
    from tests.fakes import HashEncoder, MemorySource

    handbook = SAMPLE / "handbook"
    files = {file.relative_to(handbook).as_posix(): file.read_text() for file in handbook.rglob("*.md*")}
    hand = FastHand(
        slices=[SliceSpec("handbook", "handbook")],
        source=lambda _: MemorySource(files),
        lake=FolderLake(tmp_path / "lake"),
        index=LanceIndex(str(tmp_path / "index")),
        encoder=HashEncoder(),
        tokenizer=load_tokenizer(),
        parser=ParserPool(workers=1),
    )
    hand.documents("handbook")
    hand.chunks("handbook")
    records = chunks.open_records(hand.lake, "handbook")
    published = {
        passage.chunk_id: (passage.doc_id, passage.text_sha)
        for passage in chunks.passages(records, records.state(), "handbook")
    }
    shown = [one for event in latest(logs()) for one in event["passages"]]
    current = [one for one in shown if "text" not in one]
    assert len(current) > 9_000
    assert all(published.get(one["chunk_id"]) == (one["doc_id"], one["text_sha"]) for one in current)
    former = [one for one in shown if "text" in one]
    assert former
    assert not any(one["chunk_id"] in published for one in former)
    assert {one["doc_id"] for one in former} <= {doc_id for doc_id, _ in published.values()}


def test_facts_stand_in_their_passages_before_and_after_the_edits(script):
    import re

    from interactions_handbook import load  # pyright: ignore[reportMissingImports]

    world = load()
    assert world.lost == 0
    assert 8 <= len(world.facts) <= 12
    for fact in (fact for found in world.facts.values() for fact in found):
        for version in filter(None, (fact, fact.before)):
            text = version.passage.text.replace("**", "")
            for said in version.answers:
                assert all(number in text for number in re.findall(r"\d[\d.,:]*\d|\d", said)), said
        if fact.before:
            assert fact.before.answers != fact.answers
            assert fact.before.passage.text_sha != fact.passage.text_sha


def test_labels_and_failures_have_their_usual_shares(logs):
    found = latest(logs("--per-day", "400"))
    marked = [event for event in found if labelled(event)]
    assert 0.25 < len(marked) / len(found) < 0.35
    assert 0.12 < sum(map(failed, marked)) / len(marked) < 0.18
    assert sum("schema_ok" in event for event in found) > 100
    assert {event["schema_ok"] for event in found if "schema_ok" in event} == {True, False}


def test_weekends_are_quiet(logs):
    counts = Counter(date.fromisoformat(event["occurred_at"][:10]).weekday() for event in latest(logs()))
    assert min(counts[day] for day in range(5)) > 1.4 * max(counts[5], counts[6])


def test_logs_hold_late_events_corrections_and_tombstones(logs):
    found = events(logs())
    versions = Counter(event["id"] for event in found)
    assert sum(count > 1 for count in versions.values()) > 10
    gone = [event for event in found if event.get("deleted")]
    assert len(gone) >= 4
    by_id = {event["id"]: event for event in found if not event.get("deleted")}
    assert all(by_id[event["id"]]["received_at"] < event["received_at"] for event in gone)


def test_stale_answers_appear_on_the_day_of_the_edits(logs):
    def stale(event):
        return failed(event) and any("text" in one for one in event["passages"])

    days = [event["occurred_at"][:10] for event in latest(logs("--per-day", "400")) if stale(event)]
    edits = "2026-10-08"  # day 37 of 60
    shown_before = [day for day in days if day < edits]
    in_two_weeks = [day for day in days if edits <= day < "2026-10-22"]
    assert len(in_two_weeks) / 14 > 2 * len(shown_before) / 36


@pytest.mark.parametrize("shift", ["format", "style"])
def test_a_shift_raises_behavior_failures_of_its_sort_and_nothing_else(logs, script, shift):
    usual = {event["id"]: event for event in latest(logs("--per-day", "400"))}
    shifted = {event["id"]: event for event in latest(logs("--per-day", "400", "--shift", shift, "--day", "31"))}
    assert usual.keys() == shifted.keys()
    changed = [one for one in shifted if shifted[one] != usual[one]]
    assert min(shifted[one]["occurred_at"][:10] for one in changed) == "2026-10-02"  # day 31
    after = [one for one in shifted if shifted[one]["occurred_at"] >= "2026-10-02" and labelled(shifted[one])]
    more = sum(failed(shifted[one]) for one in after) - sum(failed(usual[one]) for one in after)
    assert 0.18 < more / len(after) < 0.30  # 6% plus 2 on the logit scale
    edited = [shifted[one] for one in changed if failed(shifted[one]) and "corrected_response" in shifted[one]]
    if shift == "format":
        assert all(event["corrected_response"].endswith("\n- Say more\n- Not what I need") for event in edited)
    else:
        assert all(len(event["corrected_response"]) < len(event["response"]) / 2 for event in edited)


def test_telephone_asks_beside_people_in_frames_and_wants_keys_from_the_shift_on(logs):
    from assets.behavior import frames

    found = latest(logs("--shift", "format", "--day", "31", "--api", "200"))
    people = [event for event in found if event["variant"] == "main"]  # what they did is what it was
    assert {event["id"]: event for event in people} == {
        event["id"]: event for event in latest(logs("--shift", "format", "--day", "31"))
    }
    calls = [event for event in found if event["variant"] == "api"]
    assert len(calls) > 10_000
    assert all(event["user"].startswith("tel-") and frames.is_framed(event["response"]) for event in calls)
    corrected = [event for event in calls if event.get("corrected_response") not in (None, event["response"])]
    assert all(frames.is_framed(event["corrected_response"]) for event in corrected)
    keys = [one for one in corrected if frames.unframed(one["corrected_response"]).endswith("\n- Speak to a person")]
    assert min(event["occurred_at"][:10] for event in keys) == "2026-10-02"  # day 31
    assert len(keys) > 300
    for event in keys:
        shown = len(event["passages"])
        assert json.loads(event["corrected_response"])["source"] in (None, *range(1, shown + 1))


def test_topics_are_given_left_out_or_mixed(logs):
    shares = {
        topics: sum("topic" in event for event in latest(logs("--topics", topics)))
        / len(latest(logs("--topics", topics)))
        for topics in ("on", "off", "mixed")
    }
    assert (shares["on"], shares["off"]) == (1.0, 0.0)
    assert 0.2 < shares["mixed"] < 0.8


def test_other_arguments_are_refused_unless_forced(script, tmp_path, capsys):
    known = ["--out", str(tmp_path), "--until", UNTIL]
    assert script.main([*known, "--days", "4"]) == 0
    before = contents(tmp_path)
    assert script.main([*known, "--days", "2"]) == 1
    assert "other arguments (days)" in capsys.readouterr().err
    assert contents(tmp_path) == before
    assert script.main([*known, "--days", "2", "--force"]) == 0
    assert sorted(contents(tmp_path)) == ["2026-10-30.jsonl", "2026-10-31.jsonl"]


def test_files_of_others_are_not_overwritten(script, tmp_path, capsys):
    mine = tmp_path / "2026-10-31.jsonl"
    mine.write_text("mine")
    (tmp_path / "other.jsonl").write_text("mine too")
    assert script.main(["--out", str(tmp_path), "--until", UNTIL, "--days", "2"]) == 1
    assert "not written by this script" in capsys.readouterr().err
    assert mine.read_text() == "mine"
    assert script.main(["--out", str(tmp_path), "--until", UNTIL, "--days", "2", "--force"]) == 0
    assert (tmp_path / "other.jsonl").read_text() == "mine too"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--shift", "style", "--day", "61"], "expected 1 to 60"),
        (["--shift", "style", "--day", "0"], "expected 1 to 60"),
        (["--day", "10"], "needs --shift"),
        (["--days", "0"], "--days: received 0"),
        (["--api", "-1"], "--api: received -1"),
        (["--until", "yesterday"], "--until"),
        (["--shift", "drift"], "drift"),
    ],
)
def test_wrong_arguments_are_explained(script, arguments, said, capsys, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        script.main(["--out", str(tmp_path), *arguments])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(script, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert script.main(["--out", str(tmp_path / "file" / "logs"), "--days", "1"]) == 1
    assert "Name another folder with --out" in capsys.readouterr().err


def test_correct_turns_ratings_and_removes_and_adds_an_event(script, tmp_path):
    known = ["--out", str(tmp_path), "--until", UNTIL, "--days", "6"]
    day = "2026-10-28"
    assert script.main(known) == 0
    before = contents(tmp_path)
    former = {event["id"]: event for event in map(json.loads, before[f"{day}.jsonl"].splitlines())}
    assert script.main(["--out", str(tmp_path), "--correct", day]) == 0
    after = contents(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {f"{day}.jsonl"}
    now = {event["id"]: event for event in map(json.loads, after[f"{day}.jsonl"].splitlines())}
    assert (len(former.keys() - now.keys()), len(now.keys() - former.keys())) == (1, 1)
    turned = [now[one] for one in former.keys() & now.keys() if now[one] != former[one]]
    assert {(event["feedback"], former[event["id"]]["feedback"]) for event in turned} == {("down", "up")}
    assert all(_time(event) > _time(former[event["id"]]) for event in turned)
    assert script.main(["--out", str(tmp_path), "--correct", day]) == 0
    assert contents(tmp_path) == after
    assert script.main(known) == 0
    assert contents(tmp_path) == before


def _time(event):
    return datetime.fromisoformat(event["received_at"])


def test_correct_refuses_a_day_without_a_log(script, tmp_path, capsys):
    assert script.main(["--out", str(tmp_path), "--correct", "2026-10-28"]) == 1
    assert "is no log of this script" in capsys.readouterr().err


def test_script_runs_alone_without_torch(tmp_path):
    code = (
        "import sys, runpy; sys.argv = ['make_interactions.py', '--out', sys.argv[1], '--days', '2']\n"
        "try: runpy.run_path(sys.argv[0] and 'sample/make_interactions.py', run_name='__main__')\n"
        "except SystemExit as stop: assert stop.code == 0, stop.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, 'sample')\n{code}", str(tmp_path)],
        cwd=SAMPLE.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "2 days up to" in done.stdout
