"""What every alert sink does: an alert arrives whole, trouble is named with a next step, secrets are in no message."""

from __future__ import annotations

import email
import email.policy
import json
import logging
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pytest

from assets.errors import ConfigError, EngineBusy, EngineError, TwohandsError
from assets.ports.alerts import Alert, AlertSink
from orchestration.engines.alert_log import LOGGER, LogSink
from orchestration.engines.alert_mail import MailSink
from orchestration.engines.alert_webhook import WebhookSink
from tests.contract import alert_servers as servers

SECRET = servers.PASSWORD
ALERT = Alert(
    run="0b5e",
    job="sync_slices",
    partition="handbook",
    what="The job sync_slices (handbook) failed at knowledge/index",
    why='the gate said: recall fell from 0,98 to 0,71 "größer" 😀',
    next_step="open the run",
    link="http://127.0.0.1:3000/runs/0b5e",
    at="2026-11-02T10:00:00+00:00",
)


@pytest.fixture(scope="session")
def pem(tmp_path_factory):
    return servers.certificate(tmp_path_factory.mktemp("pem"))


@pytest.fixture(autouse=True)
def _trusted(pem, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("TOKEN", SECRET)


@dataclass
class World:
    """A sink, and what arrived as text."""

    sink: AlertSink
    arrived: Callable[[], list[str]]


def nowhere() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def webhook(port: int, **more) -> WebhookSink:
    return WebhookSink(f"http://127.0.0.1:{port}/hook/{SECRET}", token_env="TOKEN", seconds=2, pause=0, **more)


def mailer(port: int, **more) -> MailSink:
    known = {"user": "u", "password_env": "TOKEN", "security": "starttls", **more}
    return MailSink("localhost", "from@example.org", ("to@example.org",), port=port, seconds=2, pause=0, **known)


def read_mail(raw: bytes) -> str:
    said = email.message_from_bytes(raw, policy=email.policy.default)
    return f"{said['Subject']}\n{said.get_content()}"


@pytest.fixture(params=["log", "webhook", "mail"])
def world(request, caplog, pem):
    with ExitStack() as stack:
        if request.param == "log":
            caplog.set_level(logging.ERROR, LOGGER)
            yield World(LogSink(), lambda: [r.getMessage() for r in caplog.records if r.name == LOGGER])
        elif request.param == "webhook":
            got = stack.enter_context(servers.web())
            yield World(webhook(got.port), lambda: [json.dumps(one, ensure_ascii=False) for one in got.bodies])
        else:
            got = stack.enter_context(servers.mail(pem))
            yield World(mailer(got.port), lambda: [read_mail(raw) for raw in got.bodies])


def test_alert_arrives_whole_and_once(world):
    world.sink.send(ALERT)
    [said] = world.arrived()
    for part in (ALERT.what, ALERT.link, ALERT.next_step, "größer", "😀"):
        assert part in said


def test_check_says_how_it_is_and_sends_nothing(world):
    assert world.sink.check()
    assert world.arrived() == []


def test_secret_is_in_no_representation(world):
    assert SECRET not in repr(world.sink)


@pytest.mark.parametrize("sink", [webhook, mailer])
def test_absent_server_is_named_with_a_next_step_and_no_secret(sink):
    broken = sink(nowhere())
    for call in (lambda: broken.send(ALERT), broken.check):
        with pytest.raises(EngineBusy) as caught:
            call()
        assert "Next:" in str(caught.value)
        assert SECRET not in str(caught.value) + repr(caught.value.__cause__)


FORGED = replace(ALERT, what="a\r\nBcc: x@example.org\r\n\r\nforged", why="b\nERROR c\r\n.\r\nQUIT")


def test_message_with_line_breaks_stays_one_line_of_the_log(caplog):
    LogSink().send(FORGED)
    [record] = caplog.records
    assert "\n" not in record.getMessage()
    assert "\r" not in record.getMessage()


def test_message_with_line_breaks_adds_no_header_and_ends_no_mail(pem):
    with servers.mail(pem) as got:
        mailer(got.port).send(FORGED)
    [raw] = got.bodies
    said = email.message_from_bytes(raw, policy=email.policy.default)
    assert (said["Bcc"], "QUIT" in said.get_content()) == (None, True)


# ------------------------------------------------------------------------------------------------------- webhook


def test_webhook_sends_json_that_chat_services_show():
    with servers.web() as got:
        webhook(got.port).send(ALERT)
    [body], [headers] = got.bodies, got.headers
    assert body["text"] == ALERT.text()
    assert {body[name] for name in ("run", "job", "partition")} == {"0b5e", "sync_slices", "handbook"}
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert headers["content-type"].startswith("application/json")


def test_webhook_asks_again_while_the_server_is_busy():
    with servers.web(503, 429) as got:
        webhook(got.port).send(ALERT)
    assert (got.requests, len(got.bodies)) == (3, 1)


@pytest.mark.parametrize("code", [400, 401, 404, 302])
def test_webhook_that_is_refused_is_not_asked_again(code):
    with servers.web(code, code, code) as got, pytest.raises(EngineError, match=f"status {code}") as caught:
        webhook(got.port).send(ALERT)
    assert got.requests == 1  # a redirect is not followed either: it would carry the token elsewhere
    assert SECRET not in str(caught.value)


def test_webhook_address_from_a_variable(monkeypatch):
    with servers.web() as got:
        monkeypatch.setenv("HOOK", f"http://127.0.0.1:{got.port}/{SECRET}")
        sink = WebhookSink(url_env="HOOK", pause=0)
        sink.send(ALERT)
        assert SECRET not in repr(sink) + sink.check()
    assert len(got.bodies) == 1


@pytest.mark.parametrize(
    "value", ["", "no address", f"ftp://{SECRET}/x", f"http://u:{SECRET}@h/", f"http://h:x{SECRET}/"]
)
def test_webhook_variable_without_an_address_is_named_and_not_shown(monkeypatch, value):
    monkeypatch.setenv("HOOK", value)
    for call in (lambda: WebhookSink(url_env="HOOK").send(ALERT), WebhookSink(url_env="HOOK").check):
        with pytest.raises(ConfigError, match="HOOK") as caught:
            call()
        assert SECRET not in str(caught.value)


# ---------------------------------------------------------------------------------------------------------- mail


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_is_sent_over_a_secured_connection_with_the_password(pem, security):
    with servers.mail(pem, security=security) as got:
        mailer(got.port, security=security).send(ALERT)
    assert (len(got.bodies), got.in_the_clear, got.logins) == (1, False, [("u", SECRET)])


def test_mail_without_security_needs_no_login(pem):
    with servers.mail(pem, security="none") as got:
        mailer(got.port, security="none", user="", password_env="").send(ALERT)
    assert (len(got.bodies), got.in_the_clear, got.logins) == (1, True, [])


def test_mail_says_who_it_is_from_to_and_about_which_run(pem):
    with servers.mail(pem) as got:
        mailer(got.port).send(ALERT)
    said = email.message_from_bytes(got.bodies[0], policy=email.policy.default)
    assert (said["From"], said["To"]) == ("from@example.org", "to@example.org")
    assert said["Message-ID"] == "<0b5e@example.org>"
    assert said["Date"].datetime.isoformat() == ALERT.at
    assert said["Bcc"] is None


def test_mail_with_a_wrong_password_is_refused_without_showing_it(pem, monkeypatch):
    monkeypatch.setenv("TOKEN", "wrong-secret")
    with servers.mail(pem) as got:
        for call in (lambda: mailer(got.port).send(ALERT), mailer(got.port).check):
            with pytest.raises(EngineError, match="the user or the password is wrong") as caught:
                call()
            assert "wrong-secret" not in str(caught.value)
    assert got.requests == 2  # one each: trying again could lock the account


def test_mail_is_not_sent_to_a_server_whose_certificate_is_not_known(pem, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with servers.mail(pem) as got, pytest.raises(EngineError, match="certificate"):
        mailer(got.port).send(ALERT)
    assert (got.logins, got.bodies) == ([], [])


def test_mail_is_not_sent_in_the_clear_where_the_server_offers_no_starttls(pem):
    with servers.mail(pem, security="none") as got, pytest.raises(EngineError, match="offers no STARTTLS"):
        mailer(got.port).send(ALERT)
    assert (got.logins, got.bodies) == ([], [])


def test_mail_is_tried_again_when_the_server_asks_for_it(pem):
    with servers.mail(pem, 451) as got:
        mailer(got.port).send(ALERT)
    assert (got.requests, len(got.bodies)) == (2, 1)


def test_mail_to_a_recipient_that_is_refused_says_so(pem):
    with servers.mail(pem, 550) as got, pytest.raises(EngineError, match="recipients"):
        mailer(got.port).send(ALERT)
    assert (got.requests, got.bodies) == (1, [])


def test_mail_without_its_password_names_the_variable(pem, monkeypatch):
    monkeypatch.delenv("TOKEN")
    with pytest.raises(ConfigError, match="TOKEN") as caught:
        mailer(1).send(ALERT)
    assert isinstance(caught.value, TwohandsError)
