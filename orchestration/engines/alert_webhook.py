"""Alerts as JSON by POST: {text, run, job, partition, what, why, next_step, link, at}.

`text` is the whole in words, which is all that chat services (Slack, Mattermost, Google Chat) look at. The address may
be a secret, so errors name its host alone; no redirect is followed, since it would carry the token elsewhere.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

from assets.errors import ConfigError, EngineBusy, EngineError
from assets.ports.alerts import Alert

_BUSY = (408, 409, 425, 429, 500, 502, 503, 504)
_WHERE = "alerts.webhook"


@dataclass(frozen=True)
class WebhookSink:
    """One address. `url_env` and `token_env` are NAMES of variables; the first stands for `url`."""

    url: str = field(default="", repr=False)
    url_env: str = ""
    token_env: str = ""
    seconds: float = 10
    attempts: int = 3
    pause: float = 1
    name: str = "webhook"

    def send(self, alert: Alert) -> None:
        """Returns at the first answer of the 200s. Asked again while the server is busy or away."""
        url = self._address()
        body = json.dumps({"text": alert.text(), **asdict(alert)}, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "twohands", **self._token()}
        request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 - the scheme was checked
        problem = ""
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(self.pause * 2 ** (attempt - 1))
            try:
                with _OPENER.open(request, timeout=self.seconds):
                    return
            except urllib.error.HTTPError as error:
                error.close()
                problem = f"status {error.code}"
                if error.code not in _BUSY:
                    raise EngineError(
                        f"The webhook at {_host(url)} refused the alert ({problem})",
                        expected="an address that takes JSON by POST",
                        next_step=f"check {self._setting()}, and token_env where it wants one",
                    ) from None  # it may repeat what was sent
            except (OSError, http.client.HTTPException) as error:
                problem = type(getattr(error, "reason", error)).__name__
        raise self._busy(url, f"did not take the alert ({problem}, {self.attempts} attempts)")

    def check(self) -> str:
        """Whether the address is set and its host takes a connection."""
        url, _ = self._address(), self._token()
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname or "", port), timeout=self.seconds).close()
        except OSError as error:
            raise self._busy(url, f"takes no connection ({type(error).__name__})") from None
        return f"{_host(url)} takes connections"

    def _busy(self, url: str, what: str) -> EngineBusy:
        return EngineBusy(
            f"The webhook at {_host(url)} {what}",
            expected=f"an answer within {self.seconds:g} s",
            next_step="`twohands alert --test` sends another one when it is up",
        )

    def _setting(self) -> str:
        return f"the variable {self.url_env}" if self.url_env else f"{_WHERE}.url"

    def _address(self) -> str:
        url = _variable(self.url_env, "url_env") if self.url_env else self.url
        try:
            parts = urlsplit(url)
            right = parts.scheme in ("http", "https") and parts.hostname and not parts.username and parts.port != 0
        except ValueError:
            right = False
        if not right:
            raise ConfigError(
                f"{_WHERE}.url_env: the variable {self.url_env} holds no address",
                expected="http(s)://host/..., without a name or password in it",
                next_step=f"export {self.url_env}=...",
            )
        return url

    def _token(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {_variable(self.token_env, 'token_env')}"} if self.token_env else {}


def _variable(name: str, key: str) -> str:
    value = os.environ.get(name, "")
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(
            f"{_WHERE}.{key}: the variable {name} is not set, or holds other than printable ASCII",
            expected="the value in that environment variable, where `make run` is started",
            next_step=f"export {name}=...",
        )
    return value


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to another address."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any) -> None:
        """None: the redirect itself is the answer, and is refused."""


_OPENER = urllib.request.build_opener(_NoRedirect())
