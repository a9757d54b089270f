"""What an alert says, who is told, and the command that tries it."""

from __future__ import annotations

import json

import pytest

from assets.errors import SourceError
from orchestration import jobs
from orchestration.alerts import LONGEST, NEXT, Cause, alert, tell
from orchestration.config import load
from tests.contract import alert_servers as servers
from tests.test_cli import Project

MAIL = '[alerts.mail]\nhost = "h"\nsender = "a@b"\nto = ["a@b"]'
OURS = str(SourceError("there is no folder", expected="a folder", next_step="mount the disk"))


@pytest.mark.parametrize(
    ("causes", "otherwise", "why", "next_step"),
    [
        ([Cause("knowledge__documents", OURS)], "", "there is no folder. Expected: a folder.", "mount the disk"),
        ([Cause("a", "no next step")], "", "no next step", NEXT["decide"]),
        ([Cause("a", "Its words. Next: not ours", ours=False)], "", "Its words. Next: not ours", NEXT["decide"]),
        ([Cause("a", "first"), Cause("b", OURS)], "", "first", NEXT["decide"]),
        ([], "the process died", "the process died", NEXT["decide"]),
        ([], "", "Dagster gives no reason", NEXT["decide"]),
    ],
)  # fmt: skip
def test_alert_says_why_and_what_next(causes, otherwise, why, next_step):
    said = alert("r1", "decide", "main", causes, otherwise=otherwise)
    assert (said.why, said.next_step) == (why, next_step)


def test_alert_is_bounded_and_links_only_where_there_is_a_ui():
    said = alert("r1", "decide", "", [Cause("a", "x " * 5_000)], ui_url="http://ui")
    assert len(said.why) <= LONGEST + 4
    assert said.link == "http://ui/runs/r1"
    assert alert("r1", "decide", "", []).link == ""


def test_alert_of_assets_that_a_person_chose_has_no_job_to_name():
    assert alert("r1", "__ASSET_JOB", "", []).what == "A run of assets failed"


def test_every_job_has_a_next_step():
    made = [jobs.sync(), jobs.reconcile(), jobs.ingest(), jobs.rebuild(), jobs.report([]), jobs.decide(),
            jobs.finetune(), jobs.books(), jobs.release(), jobs.maintain]  # fmt: skip
    assert {job.name for job in made} == set(NEXT)


class Broken:
    name = "broken"

    def send(self, _: object) -> None:
        raise RuntimeError("with a secret")

    def check(self) -> str:
        return ""


def test_defect_of_a_sink_is_named_without_its_message():
    assert tell(alert("r1", "decide", "", []), [Broken()]) == {"broken": "RuntimeError"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('[alerts.webhook]\nurl = "http://u:p@h/x"', "alerts.webhook.url"),
        ("[alerts.webhook]\nseconds = 5", "one of url and url_env"),
        ('[alerts.webhook]\nurl = "http://h"\nurl_env = "HOOK"', "one of url and url_env"),
        ('[alerts.mail]\nhost = "h"\nsender = "a@b"\nto = []', "alerts.mail.to"),
        ('[alerts.mail]\nhost = "h"\nsender = "a@b\\nBcc: c@d"\nto = ["a@b"]', "alerts.mail.sender"),
        (f'{MAIL}\nuser = "u"', "both of user and password_env"),
        (f'{MAIL}\nuser = "u"\npassword_env = "P"\nsecurity = "none"', "in the clear"),
        ('[alerts]\nui_url = "javascript:x"', "alerts.ui_url"),
        ("[alerts]\nlogs = true", "Did you mean 'log'"),
    ],
)
def test_settings_that_could_not_work_are_refused(tmp_path, table, message):
    from assets.errors import ConfigError

    (tmp_path / "twohands.toml").write_text(f'[sources.docs]\nurl = "docs"\n{table}\n')
    with pytest.raises(ConfigError, match=message):
        load(str(tmp_path / "twohands.toml"))


def test_command_and_doctor_try_every_sink(tmp_path, monkeypatch):
    made = Project(tmp_path)
    with servers.web() as got:
        made.configure(f'[alerts.webhook]\nurl = "http://127.0.0.1:{got.port}/hook"\n')
        assert [(row["name"], row["ok"]) for row in made.json("alert")["sinks"]] == [("log", True), ("webhook", True)]
        assert got.bodies == []
        assert made.json("alert", "--test")["ok"]
        assert "This is a test" in got.bodies[0]["text"]
    code, out, _ = made.run("alert", "--test", "--json")
    rows = {row["name"]: row["ok"] for row in json.loads(out)["sinks"]}
    assert (code, rows) == (1, {"log": True, "webhook": False})
    lines = [row for row in json.loads(made.run("doctor", "--json")[1])["checks"] if row["name"].startswith("alerts")]
    assert [(row["name"], row["ok"]) for row in lines] == [("alerts log", True), ("alerts webhook", False)]


def test_nobody_is_told_where_nobody_is_configured(tmp_path):
    made = Project(tmp_path)
    made.configure("[alerts]\nlog = false\n")
    assert made.run("alert")[1] == "nobody is told: [alerts] of twohands.toml\n"
