"""Alerts by e-mail over SMTP, with STARTTLS unless the settings say otherwise.

Certificates are verified against the system's authorities (SSL_CERT_FILE names others). A run has one Message-ID, so
that a mail which was sent twice after a kill is recognized as one.
"""

from __future__ import annotations

import os
import smtplib
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

from assets.errors import ConfigError, EngineBusy, EngineError
from assets.ports.alerts import Alert

_WHERE = "alerts.mail"
_SUBJECT = 120  # characters of what failed


@dataclass(frozen=True)
class MailSink:
    """One server and its recipients. `security` is starttls, tls or none; `password_env` the NAME of a variable."""

    host: str
    sender: str
    to: tuple[str, ...]
    port: int = 587
    security: str = "starttls"
    user: str = ""
    password_env: str = ""
    seconds: float = 20
    attempts: int = 2
    pause: float = 2
    name: str = "mail"

    def send(self, alert: Alert) -> None:
        """Returns when the server took it for every recipient."""
        message, problem = self._message(alert), ""
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(self.pause * 2 ** (attempt - 1))
            try:
                with self._session() as session:
                    refused = session.send_message(message)
            except _GoneAway as error:
                problem = str(error)
                continue
            if refused:
                raise self._refused(f"it does not take mail for {len(refused)} of {len(self.to)} recipients")
            return
        raise self._busy(f"did not take the alert ({problem}, {self.attempts} attempts)")

    def check(self) -> str:
        """Connects, secures the connection, logs in, and says nothing."""
        try:
            with self._session() as session:
                session.noop()
        except _GoneAway as error:
            raise self._busy(f"does not answer ({error})") from None
        return (
            f"{self.host}:{self.port} ({self.security}) lets {self.user or 'everybody'} in; {len(self.to)} recipients"
        )

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        """A session that may send. _GoneAway for what time can mend; errors of the vendor end here."""
        password = self._password()
        try:
            with self._opened() as session:
                if self.security == "starttls":
                    session.starttls(context=ssl.create_default_context())
                if self.user:
                    session.login(self.user, password)
                yield session
        except ssl.SSLCertVerificationError:
            raise self._refused("its certificate cannot be verified") from None
        except smtplib.SMTPAuthenticationError as error:
            if error.smtp_code < 500:
                raise _GoneAway(f"status {error.smtp_code} at the login") from None
            raise self._refused("the user or the password is wrong") from None  # it may repeat what was sent
        except smtplib.SMTPNotSupportedError:
            raise self._refused("it offers no STARTTLS, or no way to log in") from None
        except smtplib.SMTPRecipientsRefused as error:
            if all(code < 500 for code, _ in error.recipients.values()):
                raise _GoneAway("it takes no mail for the recipients now") from None
            raise self._refused("it does not take mail for the recipients") from None
        except smtplib.SMTPResponseException as error:
            if error.smtp_code < 500:
                raise _GoneAway(f"status {error.smtp_code}") from None
            raise self._refused(f"status {error.smtp_code}") from None
        except (smtplib.SMTPException, OSError) as error:
            raise _GoneAway(type(error).__name__) from None

    def _opened(self) -> smtplib.SMTP:
        if self.security == "tls":
            return smtplib.SMTP_SSL(self.host, self.port, timeout=self.seconds, context=ssl.create_default_context())
        return smtplib.SMTP(self.host, self.port, timeout=self.seconds)

    def _message(self, alert: Alert) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = " ".join(f"[twohands] {alert.what}".split())[:_SUBJECT]
        message["From"], message["To"] = self.sender, ", ".join(self.to)
        message["Date"] = format_datetime(datetime.fromisoformat(alert.at))
        message["Message-ID"] = f"<{alert.run}@{self.sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # nobody's holiday answers it
        message.set_content(alert.text())
        return message

    def _password(self) -> str:
        if not self.password_env:
            return ""
        value = os.environ.get(self.password_env, "")
        if not value:
            raise ConfigError(
                f"{_WHERE}.password_env: the variable {self.password_env} is not set",
                expected="the password in that environment variable, where `make run` is started",
                next_step=f"export {self.password_env}=...",
            )
        return value

    def _busy(self, what: str) -> EngineBusy:
        return EngineBusy(
            f"The mail server {self.host}:{self.port} {what}",
            expected=f"an answer within {self.seconds:g} s",
            next_step="`twohands alert --test` sends another one when it is up",
        )

    def _refused(self, why: str) -> EngineError:
        return EngineError(
            f"The mail server {self.host}:{self.port} refused the alert: {why}",
            expected=f"a server that takes mail from {self.sender}",
            next_step=f"check {_WHERE}: host, port, security, user, sender, to",
        )


class _GoneAway(Exception):
    """Something that time can mend; the message is safe to show."""
