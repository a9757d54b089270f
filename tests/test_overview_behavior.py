"""`twohands status` and `twohands doctor` of the slow hand, over the real engines."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from assets.behavior.adapter.store import Adapters
from assets.decision.ledger import Decided
from assets.decision.spending.costs import Prices
from orchestration.assembly import open_the_lake
from orchestration.config import load
from orchestration.ledger import LakeLedger
from tests.behavior.adapter import made as adapters
from tests.test_cli import Project
from tests.test_cli_behavior import DAY, event

TODAY = datetime.now(UTC).date()
BUNDLED = Path(__file__).resolve().parents[1] / "models" / "tiny-reader"


def landed(folder) -> Project:
    made = Project(folder)
    made.configure('[behavior]\nlanding = "landing"\n')
    (made.folder / "landing").mkdir()
    return made


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """A built day, a later one that is not built, one from today, a bad line, a spend and a verdict."""
    made = landed(tmp_path_factory.mktemp("status"))
    landing = made.folder / "landing"
    rows = [event(1), event(8, variant="nosuch"), event(9, variant="nosuch")]
    (landing / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "not json\n")
    made.json("backfill", "--days", str(DAY))
    later = [f"{day}T00:00:00Z" for day in (DAY + timedelta(days=1), TODAY)]
    rows = [event(n, occurred_at=at, received_at=at) for n, at in enumerate(later, start=2)]
    (landing / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made.json("ingest")
    ledger = LakeLedger(open_the_lake(load(str(made.folder / "twohands.toml"))))
    now = datetime.now(UTC)
    ledger.append(Prices("EUR", 4.0).spend("gpu", 5_400, by="behavior/adapter", run="r1").entry(at=now))
    said = Decided(evidence_key="k", action="wait", sentence="No shift is shown.", evidence={"day": str(DAY)})
    ledger.append(said.entry(at=now, variant="main"))
    return made


def test_status_shows_days_quarantine_verdict_and_spend(project):
    facts = project.json("status")
    found, (main,) = facts["behavior"], facts["variants"]
    assert (found["files"], found["events"], found["quarantined"]) == (2, 5, 1)
    assert (found["first_day"], found["last_day"]) == (str(DAY), str(TODAY))
    assert found["dirty_days"] == [str(DAY + timedelta(days=1)), str(TODAY)]
    assert found["overdue_days"] == [str(DAY + timedelta(days=1))]
    assert (main["variant"], main["evidence"]) == ("main", None)
    assert (main["verdict"]["action"], main["verdict"]["day"]) == ("wait", str(DAY))
    assert main["verdict_is_old"] is True
    assert facts["spend"] == {
        "month": f"{TODAY:%Y-%m}", "spent": 6.0, "budget": 500, "currency": "EUR", "finetunes": 0,
    }  # fmt: skip
    text = project.run("status")[1]
    assert f"2 days to rebuild, 1 of them closed: {DAY + timedelta(days=1)}, {TODAY}" in text
    assert f"main: wait as of {DAY}, and days have changed since: No shift is shown." in text
    assert "6.00 of 500.00 EUR" in text


def test_status_and_doctor_tell_of_interactions_that_nobody_judges(project):
    said = "never judged: 2 interactions of variants that twohands.toml lacks: nosuch"
    assert project.json("status")["behavior"]["unknown_variants"] == {"nosuch": 2}
    assert said in project.run("status")[1].splitlines()
    (row,) = [row for row in project.json("doctor")["checks"] if row["name"] == "landing ledger"]
    assert (row["ok"], said in row["detail"]) == (True, True)


def test_status_says_nothing_of_variants_that_are_served(tmp_path):
    made = landed(tmp_path)
    made.configure('[behavior]\nlanding = "landing"\n[variants.main]\n[variants.nosuch]\n')
    (made.folder / "landing" / "a.jsonl").write_text(json.dumps(event(8, variant="nosuch")) + "\n")
    made.json("backfill", "--days", str(DAY))
    assert "never judged" not in made.run("status")[1]


def test_status_shows_adapters_and_which_are_retired(tmp_path):
    made = landed(tmp_path)
    settings = load(str(made.folder / "twohands.toml"))
    scratch = adapters.saved(tmp_path / "scratch")
    Adapters(settings.home / "adapters").publish(scratch, adapters.adapter())
    made.configure(f'[behavior]\nlanding = "landing"\n[base]\nmodel = "{BUNDLED}"\n')
    [main] = made.json("status")["variants"]
    assert (main["adapters"]["count"], main["adapters"]["released"], main["adapters"]["tainted_share"]) == (
        1,
        None,
        None,
    )
    assert f"made for base {adapters.BASE}" in main["adapters"]["retired"]["a" * 16]
    said = f"main: 1 adapter; the base alone answers; {'a' * 16} is retired: made for base {adapters.BASE}"
    assert said in made.run("status")[1]
    assert failing(made) == {}  # nothing is served that cannot answer
    made.configure('[behavior]\nlanding = "landing"\n[base]\nmodel = "nowhere"\n')
    assert "nowhere" in made.json("status")["variants"][0]["adapters"]["error"]
    assert set(failing(made)) == {"base", "adapters main"}


def test_status_tells_of_one_part_that_is_damaged_and_shows_the_others(tmp_path):
    made = landed(tmp_path)
    (made.folder / "landing" / "a.jsonl").write_text(json.dumps(event(1)) + "\n")
    made.json("ingest")
    (made.folder / ".twohands" / "lake" / "behavior" / "landing" / "ledger.parquet").write_bytes(b"PAR1 no more")
    facts = made.json("status")
    assert "ledger.parquet" in facts["behavior"]["error"]
    assert facts["spend"]["spent"] == 0
    assert "interactions: " in made.run("status")[1]


def test_status_imports_no_engine_of_the_slow_hand_and_no_torch(project):
    code = (
        "import sys; sys.argv = ['twohands', '--config', sys.argv[1], 'status']\n"
        "from orchestration.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print({'torch', 'transformers', 'duckdb', 'dbt', 'sklearn', 'dagster'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(project.folder / "twohands.toml")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.endswith("set()\n")


def failing(project: Project) -> dict[str, str]:
    code, out, _ = project.run("doctor", "--json")
    wrong = {row["name"]: row["detail"] for row in json.loads(out)["checks"] if not row["ok"]}
    assert code == (1 if wrong else 0)
    return wrong


def test_doctor_finds_nothing_wrong_with_the_slow_hand(project):
    assert failing(project) == {}
    names = [row["name"] for row in project.json("doctor")["checks"]]
    assert names[-9:] == [
        "landing", "landing ledger", "ledger", "warehouse", "dbt project", "questions", "decision main",
        "adapters main", "alerts log",
    ]  # fmt: skip


def test_doctor_names_questions_that_are_not_there(tmp_path):
    made = landed(tmp_path)
    made.configure('[adapter]\ndeclining = ["questions.jsonl"]\n')
    assert "questions.jsonl cannot be read" in failing(made)["questions"]


def test_doctor_looks_at_a_judges_anchors_and_key_and_asks_it_nothing(tmp_path, monkeypatch):
    made = landed(tmp_path)
    made.configure(
        '[evaluation.judge]\nurl = "http://127.0.0.1:9/v1"\nmodel = "m-2026-01-01"\nanchors = "anchors.jsonl"\n'
        'guideline = "Which is more polite?"\nkey_env = "OUR_JUDGE"\n'
    )
    monkeypatch.delenv("OUR_JUDGE", raising=False)
    assert "anchors.jsonl cannot be read" in failing(made)["judge"]
    anchor = {"question": "q", "A": "Please.", "B": "No.", "better": "A"}
    (tmp_path / "anchors.jsonl").write_text("".join(json.dumps(anchor) + "\n" for _ in range(20)))
    assert "OUR_JUDGE is not set" in failing(made)["judge"]
    monkeypatch.setenv("OUR_JUDGE", "a secret")
    assert failing(made) == {}
    assert "a secret" not in made.run("doctor")[1]


def test_doctor_names_what_is_wrong_with_the_slow_hand(tmp_path):
    made = landed(tmp_path)
    (made.folder / "landing" / "a.jsonl").write_text(json.dumps(event(1)) + "\n")
    made.json("ingest")
    made.configure('[behavior]\nlanding = "nowhere"\n[decision]\nbudget = { per_month = 3, per_gpu_hour = 4 }\n')
    home = made.folder / ".twohands"
    (part,) = (home / "lake" / "behavior" / "events").rglob("*.parquet")
    part.unlink()
    (home / "lake" / "ledger" / "2026-10").mkdir(parents=True)
    (home / "lake" / "ledger" / "2026-10" / "closed.parquet").write_bytes(b"PAR1")
    (home / "warehouse.duckdb").write_bytes(b"no database" * 1_000)
    wrong = failing(made)
    assert set(wrong) == {"landing", "landing ledger", "ledger", "warehouse", "decision main"}
    assert part.name in wrong["landing ledger"]
    assert "every verdict would be blocked" in wrong["decision main"]
    assert all("Next:" in detail for detail in wrong.values()), wrong


def test_doctor_says_who_has_the_warehouse_open(project):
    with duckdb.connect(str(project.folder / ".twohands" / "warehouse.duckdb")):
        wrong = failing(project)
    assert set(wrong) == {"warehouse"}
