"""`twohands ledger`: what a month cost, and what is in the books."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from assets.decision.ledger import Decided, Override
from assets.decision.spending.costs import Prices
from orchestration.assembly import open_the_lake
from orchestration.cli import cli
from orchestration.config import load
from orchestration.ledger import LakeLedger

NOW = datetime.now(UTC)
OCTOBER = datetime(2025, 10, 31, 23, 59, tzinfo=UTC)


@pytest.fixture
def run(tmp_path):
    """Runs a command over a ledger with entries of October 2025 and of this month."""
    file = tmp_path / "twohands.toml"
    file.write_text('[sources.docs]\nurl = "docs"\n[decision]\nbudget = { currency = "CHF", per_cpu_hour = 1 }\n')
    ledger = LakeLedger(open_the_lake(load(str(file))))
    prices = Prices("CHF", per_gpu_hour=4.0, per_cpu_hour=1.0)
    ledger.append(prices.spend("gpu", 5_400, by="behavior/adapter", run="r1").entry(at=OCTOBER, variant="main"))
    ledger.append(Prices("EUR", 2.0).spend("gpu", 3_600, by="behavior/adapter", run="r0").entry(at=OCTOBER))
    ledger.append(Override(request_key="r1", by="ann", why="a new brand").entry(at=OCTOBER, variant="main"))
    ledger.append(
        Decided(evidence_key="k", action="wait", sentence="No shift of behavior is shown.").entry(
            at=NOW - timedelta(days=15), variant="main"
        )
    )
    ledger.append(prices.spend("encoder", 36, by="knowledge/sync:docs", run="r2").entry(at=NOW))

    def invoke(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(cli, ["--config", str(file), "ledger", *arguments])
        assert result.exit_code == code, result.output
        return result.output

    invoke.ledger = ledger
    return invoke


def test_ledger_prints_this_month(run):
    found = json.loads(run("--json"))
    assert (found["month"], found["currency"], found["budget"]) == (f"{NOW:%Y-%m}", "CHF", 500)
    assert found["spent"] == {"CHF": pytest.approx(0.01)}
    assert found["encoder_seconds"] == pytest.approx(36)
    assert found["avoided"] == {
        "since": str((NOW - timedelta(days=15)).date()),
        "weeks": 2,
        "weekly_schedule": 8.0,
        "spent": 0.0,
        "amount": 8.0,
        "finetune_costs": 4.0,
        "measured": 0,
    }
    [spend] = [entry for entry in found["entries"] if entry["kind"] == "spend"]
    assert (spend["data"]["what"], spend["data"]["seconds"], spend["variant"]) == ("encoder", 36, "")


def test_ledger_prints_another_month_and_kind(run):
    found = json.loads(run("--month", "2025-10", "--json"))
    assert found["spent"] == {"CHF": pytest.approx(6.0), "EUR": pytest.approx(2.0)}
    assert found["hours"]["gpu"] == pytest.approx(2.5)
    assert [entry["kind"] for entry in found["entries"]] == ["spend", "spend", "override"]
    only = json.loads(run("--month", "2025-10", "--kind", "override", "--json"))
    assert [entry["data"]["why"] for entry in only["entries"]] == ["a new brand"]
    assert only["spent"] == found["spent"]


def test_ledger_is_readable(run):
    text = run("--month", "2025-10")
    assert "2025-10: 6.00 of 500.00 CHF and 2.00 EUR spent; 2.50 h of gpu used" in text
    assert "one a week, 2 of 4.00 (expected, none was timed), would cost 8.00: 8.00 avoided" in text
    assert "2025-10-31 23:59:00  spend       main      90.0 min of gpu, 6.00 CHF: behavior/adapter" in text
    assert "ann overrode the policy: a new brand" in text


def test_ledger_says_that_nothing_was_monitored(tmp_path):
    (tmp_path / "twohands.toml").write_text('[sources.docs]\nurl = "docs"\n')
    result = CliRunner().invoke(cli, ["--config", str(tmp_path / "twohands.toml"), "ledger"])
    assert result.exit_code == 0
    assert "0.00 of 500.00 EUR spent; nothing used" in result.output
    assert "nothing was monitored yet" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--month", "2025-13"), "Expected a month, as in 2026-11"), (("--kind", "gift"), "'gift' is not one of")],
)
def test_ledger_refuses_what_is_no_month_or_kind(run, arguments, message):
    assert message in run(*arguments, code=2)
