"""`twohands shift`, `approve` and `finetune`: what they say, what they leave in the ledger, how they exit."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.behavior.pipeline import BUILT
from assets.behavior.schemas import DAILY, partition
from assets.decision.counts import DailyCounts
from assets.decision.ledger import Finished, Kind, Request
from orchestration.assembly import open_the_lake
from orchestration.config import load
from orchestration.engines.warehouse_marts import CANDIDATES
from orchestration.ledger import LakeLedger
from tests.decision.house import REFERENCE, shifted, steady
from tests.decision.streams import rows
from tests.test_cli import Project

DAYS = REFERENCE + 20  # the shift of the stream, 10 days after the reference, is shown by the last of them
LAST = datetime.now(UTC).date() - timedelta(days=3)  # the newest closed day
FIRST = LAST - timedelta(days=DAYS - 1)
FREEZE = ("--until", "candidates")  # what follows needs interactions, and a base
SETTINGS = '[behavior]\nlanding = "landing"\n[variants.main]\n[variants.stiff]\n[decision]\nmin_examples = 20\n'


class Decided(Project):
    """A project whose days are built: what the marts would hand to the lake, and the candidates in the warehouse."""

    def __init__(self, folder, stream: DailyCounts, more: str = "", *, candidates: bool = True) -> None:
        super().__init__(folder)
        (folder / "landing").mkdir()
        self.configure(SETTINGS + more)
        self.lake = open_the_lake(load(str(folder / "twohands.toml")))
        self.ledger = LakeLedger(self.lake)
        by_day: dict[str, list[dict]] = {}
        for row in rows(replace(stream, first_day=FIRST)):
            by_day.setdefault(row["day"], []).append({**row, "variant": "main", "day": date.fromisoformat(row["day"])})
        for day, found in by_day.items():
            file = folder / ".twohands" / "lake" / partition("daily", date.fromisoformat(day))
            file.parent.mkdir(parents=True)  # as `Lake.write`, without waiting for the disk
            pq.write_table(pa.Table.from_pylist(found, DAILY), file)
        self.lake.write_text(BUILT, "{}")
        if candidates:
            self.candidates()

    def candidates(self) -> None:
        """20 corrected candidates a day, where dbt would have built them."""
        texts = {"variant": "main", "topic": "t0000", "prompt": "p", "completion": "c", "passages": "[]"}
        found = [
            {**texts, "id": f"{day}-{n}", "day": day, "source": "correction", "interaction_ids": "[]"}
            for day in (FIRST + timedelta(days=number) for number in range(DAYS))
            for n in range(20)
        ]
        table = pa.Table.from_pylist(found, CANDIDATES)
        with duckdb.connect(str(self.folder / ".twohands" / "warehouse.duckdb")) as connection:
            connection.register("found", table)
            connection.execute("create table training_candidates as select * from found")

    def kinds(self) -> list[str]:
        """What the ledger holds, in its order."""
        return [str(entry.kind) for entry in self.ledger.entries()]

    def refused(self, code: int, *arguments: str) -> str:
        """What a command says that exits with this code and prints no result."""
        found, out, err = self.run(*arguments)
        assert (found, out) == (code, ""), err
        return err


@pytest.fixture
def calm(tmp_path):
    return Decided(tmp_path, steady(DAYS))


@pytest.fixture
def moved(tmp_path):
    return Decided(tmp_path, shifted(DAYS))


@pytest.fixture
def careful(tmp_path):
    return Decided(tmp_path, shifted(DAYS), "require_approval = true\n")


# ---------------------------------------------------------------------------------------------------------------- shift


def test_shift_prints_the_object_of_the_contract(moved):
    said = moved.json("shift")
    assert (said["variant"], said["day"], said["verdict"], said["event"]) == ("main", str(LAST), "finetune", "fail")
    assert said["fired"] <= said["day"]
    assert (said["threshold"], said["retracted"]) == (7_300, None)
    assert said["M"] > said["threshold"]
    assert said["gates"]["evidence"]["passed"]
    assert said["gates"]["examples"]["required"] == ">= 20"
    assert said["reason"].startswith("Behavior shifted around ")
    assert said["id"] == moved.ledger.entries([Kind.VERDICT])[0].id
    assert moved.json("shift") == said
    assert moved.kinds() == ["verdict"]


def test_shift_is_readable(calm):
    code, out, err = calm.run("shift")
    lines = out.splitlines()
    assert (code, err, lines[0]) == (0, "", "main: wait")
    assert lines[1].startswith("No shift of behavior is shown: evidence ")
    assert lines[2].startswith("highest M ")
    assert "(log scale)" in lines[2]
    assert f"closed days: {FIRST + timedelta(days=REFERENCE)} to {LAST}; release base" in lines[3]
    assert [line.split()[:2] for line in lines[4:] if line.startswith("  no ")] == [["no", "evidence"]]


def test_shift_before_the_first_day_waits(calm):
    code, out, _ = calm.run("shift", "--variant", "stiff")
    assert code == 0
    assert out.startswith("stiff: wait\nLearning what is usual: 0 of 28 reference days are closed.\n")


def test_shift_says_that_days_are_not_built_as_they_would_be_now(calm):
    calm.lake.write_text(BUILT, json.dumps({str(LAST): "another", str(LAST + timedelta(days=2)): "not closed"}))
    code, out, err = calm.run("shift", "--json")
    assert (code, json.loads(out)["verdict"]) == (0, "wait")
    assert err.startswith("Closed days are not built as they would be now (1)")
    assert f"Next: twohands backfill --days {LAST}..{LAST}" in err


@pytest.mark.parametrize("why", [(), ("--why", " ")])
def test_freeze_wants_a_reason(moved, why):
    assert "--freeze needs --why TEXT" in moved.refused(2, "shift", "--freeze", *why)
    assert moved.kinds() == []


def test_freeze_makes_the_newest_days_what_is_usual(moved):
    assert moved.json("shift")["verdict"] == "finetune"
    code, out, err = moved.run("shift", "--freeze", "--why", "a new brand voice", "--json")
    since = LAST - timedelta(days=REFERENCE - 1)
    assert (code, err) == (0, f"frozen: {since} to {LAST} are what is usual now\n")
    said = json.loads(out)
    assert (said["verdict"], said["M"], said["fired"]) == ("wait", 0, None)
    [override] = moved.ledger.entries([Kind.OVERRIDE])
    assert override.data["why"] == "a new brand voice"
    assert override.data["by"].endswith("command line)")
    assert moved.json("shift")["id"] == said["id"]


def test_shift_draws_the_evidence(moved, tmp_path):
    file = tmp_path / "evidence.png"
    said = moved.json("shift", "--figure", str(file))
    assert file.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert moved.json("shift") == said
    first = file.read_bytes()
    moved.json("shift", "--freeze", "--why", "a new brand voice", "--figure", str(tmp_path / "none.png"))
    assert not (tmp_path / "none.png").exists()
    assert (
        "none.png was not drawn: no day is monitored yet"
        in moved.run("shift", "--figure", str(tmp_path / "none.png"))[2]
    )
    assert file.read_bytes() == first


@pytest.mark.parametrize(
    ("name", "said"), [("evidence.jpg", "Expected a file that ends in .png"), ("no/e.png", "there is no folder")]
)
def test_figure_that_cannot_be_written_is_wrong_usage(moved, tmp_path, name, said):
    assert said in moved.refused(2, "shift", "--figure", str(tmp_path / name))
    assert moved.kinds() == []


@pytest.mark.parametrize(("command", "flag"), [("shift", "--freeze"), ("finetune", "--force")])
def test_reason_for_nothing_is_wrong_usage(moved, command, flag):
    assert f"--why is the reason for {flag}, which was not given" in moved.refused(2, command, "--why", "a demo")
    assert moved.kinds() == []


def test_contract_of_another_version_fails_and_says_how_to_go_on(moved):
    moved.json("shift")
    [name] = moved.lake.names("decision/contracts")
    moved.lake.write_text(name, moved.lake.read_text(name).replace('"schema": 1', '"schema": 2'))
    for command in ("shift", "finetune"):
        err = moved.refused(1, command)
        assert f"{name} has schema 2" in err
        assert "Next: use the version of Twohands that froze it, or freeze a new contract" in err
    assert moved.kinds() == ["verdict"]
    code, out, _ = moved.run("shift", "--freeze", "--why", "after an upgrade")
    assert (code, out.splitlines()[0]) == (0, "main: wait")


# -------------------------------------------------------------------------------------------------------------- approve


def test_approve_with_nothing_to_answer_is_refused(calm):
    assert "has no verdict to approve: There is no verdict yet. Expected:" in calm.refused(3, "approve")
    calm.json("shift")
    err = calm.refused(3, "approve", "--deny")
    assert "has no verdict to approve: No shift of behavior is shown" in err
    assert "Next: `twohands shift` shows what it waits for." in err
    assert calm.kinds() == ["verdict"]


def test_approved_proposal_is_acted_on_and_then_answered_no_more(careful):
    proposed = careful.json("shift")
    assert (proposed["verdict"], proposed["gates"]["approval"]["measured"]) == ("propose", "none")
    assert "no fine-tune of variant 'main': Behavior shifted" in careful.refused(3, "finetune")
    said = careful.json("approve", "--why", "I read ten of them")
    assert (said["answered"], said["granted"], said["verdict"]) == (proposed["id"], True, "finetune")
    [answer] = careful.ledger.entries([Kind.APPROVAL])
    assert (answer.data["why"], answer.data["granted"]) == ("I read ten of them", True)
    assert careful.json("finetune", *FREEZE)["cause"] == said["id"]
    assert "has no verdict to approve" in careful.refused(3, "approve")


def test_denied_proposal_blocks_until_the_person_changes_their_mind(careful):
    careful.json("shift")
    code, out, _ = careful.run("approve", "--deny", "--why", "a campaign, over on Friday")
    assert (code, out.splitlines()[0]) == (0, "main: blocked")
    assert "and a person decided against a fine-tune" in out
    assert "a person decided against a fine-tune" in careful.refused(3, "finetune")
    assert careful.json("shift")["verdict"] == "blocked"
    assert careful.json("approve")["verdict"] == "finetune"


# ------------------------------------------------------------------------------------------------------------- finetune


def test_finetune_without_a_verdict_that_asks_for_it_is_refused(calm):
    err = calm.refused(3, "finetune")
    assert "no fine-tune of variant 'main': No shift of behavior is shown" in err
    assert "Expected: a verdict `finetune`" in err
    assert "override it (--force --why TEXT)" in err
    assert calm.kinds() == ["verdict"]


def test_finetune_freezes_what_its_verdict_names_and_claims_it_once(moved):
    said = moved.json("finetune", *FREEZE)
    verdict, request = moved.ledger.entries()
    assert (said["request"], said["cause"], said["outcome"]) == (request.id, verdict.id, "stopped after candidates")
    assert request.data["cause"] == verdict.id
    assert said["days"] == [verdict.data["evidence"]["changed"], str(LAST)]
    days = (LAST - date.fromisoformat(said["days"][0])).days + 1
    assert (said["rows"], said["sources"]) == (20 * days, {"correction": 20 * days})
    assert moved.lake.read(said["stored_as"]).num_rows == said["rows"]
    assert moved.json("finetune", *FREEZE)["request"] == request.id  # it goes on, and claims nothing anew
    assert moved.kinds().count("request") == 1


def refused(project, *arguments: str):
    """What is printed of a fine-tune that was claimed, and then refused."""
    code, out, err = project.run("finetune", "--json", *arguments)
    assert code == 3, err
    return json.loads(out), err


def test_finetune_of_too_few_clean_rows_has_ended_and_released_nothing(moved):
    said, err = refused(moved)
    assert (said["outcome"], "adapter" in said) == ("refused", False)
    assert said["refused"].startswith("not enough: ")
    assert said["refused"] in err
    [ended] = map(Finished.of, moved.ledger.entries([Kind.FINISHED]))
    assert (ended.request, ended.outcome, ended.released) == (said["request"], "done", False)
    assert ended.detail.startswith("not enough: ")
    assert "counted anew after the fine-tune" in moved.refused(3, "finetune")
    assert moved.kinds().count("request") == 1


def test_finetune_is_readable(moved):
    code, out, err = moved.run("finetune", *FREEZE)
    assert code == 0
    assert out == "main: stopped after candidates\n"
    assert err.startswith("candidates: ")
    assert f"candidates of {moved.ledger.entries()[0].data['evidence']['changed']} to {LAST} frozen as behavior" in err


def test_finetune_that_finds_no_candidate_fails_and_goes_on_when_there_are_some(tmp_path):
    forced = Decided(tmp_path, shifted(DAYS), candidates=False)
    err = forced.refused(1, "finetune", "--force", "--why", "a demo")
    assert "no training candidate of variant 'main' between " in err
    assert forced.ledger.entries([Kind.FINISHED])[0].data["outcome"] == "failed"
    forced.candidates()
    assert refused(forced)[0]["cause"] == forced.ledger.entries([Kind.OVERRIDE])[0].id
    ends = [entry.data["outcome"] for entry in forced.ledger.entries([Kind.FINISHED])]
    assert (forced.kinds().count("request"), ends) == (1, ["failed", "done"])


def test_second_finetune_beside_one_that_runs_is_refused(moved):
    with moved.lake.lock("finetune-main", 0):
        assert "is under way in another process" in moved.refused(3, "finetune", "--force", "--why", "now")
    assert moved.kinds() == []


def claimed(project, run: str) -> Request:
    fact = Request(cause="override:main:x", run_key=run, by="somebody", day=str(LAST))
    project.ledger.append(fact.entry(at=datetime.now(UTC), variant="main"))
    return fact


def test_force_waits_for_a_run_that_is_under_way(moved):
    claimed(moved, "a-run-of-dagster")
    err = moved.refused(3, "finetune", "--force", "--why", "now")
    assert "a fine-tune of variant 'main' is under way: run a-run-of-dagster" in err
    assert moved.kinds().count("request") == 1


def test_force_does_not_wait_for_a_command_that_was_killed(moved):
    before = claimed(moved, "cli-dead")
    assert moved.json("finetune", "--force", "--why", "now", *FREEZE)["request"] != before.id("main")
    [ended] = map(Finished.of, moved.ledger.entries([Kind.FINISHED]))
    assert (ended.run, ended.outcome, ended.detail) == ("cli-dead", "failed", "its process ended without a word")


@pytest.mark.parametrize("why", [(), ("--why", " ")])
def test_force_wants_a_reason(calm, why):
    assert "--force needs --why TEXT" in calm.refused(2, "finetune", "--force", *why)
    assert calm.kinds() == []


def test_forced_finetune_is_an_override_in_the_ledger(calm):
    code, out, err = calm.run("finetune", "--force", "--why", "a new brand voice", *FREEZE, "--json")
    said = json.loads(out)
    assert code == 0
    assert calm.kinds() == ["verdict", "override", "request"]
    [overridden] = said["overridden"]  # which of the policy's conditions did not hold
    assert overridden.startswith("evidence: ")
    assert overridden.endswith("(>= 7,300)")
    assert f"overridden: {overridden}\n" in err
    override = calm.ledger.entries([Kind.OVERRIDE])[0]
    assert (said["cause"], override.data["why"]) == (override.id, "a new brand voice")
    assert (said["days"][1], said["rows"] > 0) == (str(LAST), True)
    assert calm.run("finetune", "--force", "--why", "a new brand voice", *FREEZE)[0] == 0
    assert calm.kinds().count("request") == 1  # said twice, it is still one


def test_force_before_the_first_closed_day_has_nothing_to_train_on(calm):
    err = calm.refused(1, "finetune", "--variant", "stiff", "--force", "--why", "a demo")
    assert "variant 'stiff' has no closed day up to" in err
    assert "Next: land logs" in err
    assert calm.kinds() == []


@pytest.mark.parametrize("command", ["shift", "approve", "finetune"])
def test_unknown_variant_is_wrong_usage(calm, command):
    err = calm.refused(2, command, "--variant", "mian")
    assert "Invalid value for --variant: received 'mian'. Valid variants are: main, stiff" in err
    assert calm.kinds() == []


def test_finetune_takes_over_from_a_run_that_failed(moved):
    """The blocked verdict says so: re-execute its run, or `twohands finetune`."""
    cause = moved.json("shift")["id"]
    at, run = datetime.now(UTC), "a-run-of-dagster"
    request = Request(cause=cause, run_key=run, by="behavior_shifted", day=str(LAST)).entry(at=at, variant="main")
    moved.ledger.append(request)
    assert "counted anew after the fine-tune" in moved.refused(3, "finetune")  # it is under way
    moved.ledger.append(
        Finished(request=request.id, run=run, outcome="failed", detail="killed").entry(at=at, variant="main")
    )
    assert moved.json("shift")["verdict"] == "blocked"
    assert refused(moved)[0]["request"] == request.id
    assert moved.json("shift")["verdict"] == "wait"
    assert moved.kinds().count("request") == 1
