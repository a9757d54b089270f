"""Who asks: bearer tokens, what their owners may read, and how often they may ask."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from assets.errors import ConfigError
from assets.serving.answers import Asker
from orchestration.settings_serve import EVERYTHING, ServeSettings, TokenSettings
from orchestration.web.errors import Refused

SHORTEST = 16  # characters of a token
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Client:
    """Whoever sent a request. `name` stands in the events as their user; None on this machine, without tokens."""

    name: str | None
    asker: Asker


HERE = Client(None, Asker(None))


class Access:
    """The tokens of [serve], read from the environment once. Without any, only this machine may be served."""

    def __init__(self, settings: ServeSettings, environment: Mapping[str, str] | None = None) -> None:
        values = os.environ if environment is None else environment
        self._tokens = [(_hash(_value(one, values)), _client(one)) for one in settings.tokens]
        if len({token for token, _ in self._tokens}) < len(self._tokens):
            raise ConfigError(
                "serve.tokens: two variables hold the same token",
                expected="a token of their own for everybody",
                next_step="make another one (`openssl rand -hex 32`)",
            )
        self.local = is_local(settings.host)
        if not self.local and not self._tokens:
            raise ConfigError(
                f"serve.host: received {settings.host!r} and no serve.tokens: anybody could ask",
                expected="a token for every client, or an address of this machine (127.0.0.1)",
                next_step='export ASK_TOKEN=$(openssl rand -hex 32), and set tokens = [{ token_env = "ASK_TOKEN" }]',
            )
        self.hosts = frozenset(LOCAL_NAMES | {settings.host, *settings.hosts}) if self.local else {*settings.hosts}

    @property
    def open(self) -> bool:
        """Whether no token is asked for."""
        return not self._tokens

    def client(self, authorization: str) -> Client:
        """The client of an Authorization header; Refused (401) where it has no valid token.

        Every token is compared, in constant time, whichever it is.
        """
        if self.open:
            return HERE
        scheme, _, token = authorization.partition(" ")
        given, found = _hash(token.strip()), None
        for known, client in self._tokens:
            if hmac.compare_digest(known, given):
                found = client
        if found is None or scheme.lower() != "bearer":
            why = "No valid bearer token was sent." if authorization else "A bearer token is needed."
            raise Refused(401, "invalid_api_key", f"{why} Next: send `Authorization: Bearer TOKEN`.")
        return found

    def names(self, host: str) -> bool:
        """Whether a Host header names this server. On this machine another name is a page that rebinds its DNS."""
        if not self.hosts:
            return True
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        return name.strip("[]").lower().rstrip(".") in self.hosts


class Rates:
    """Token buckets: how many questions a minute of each client, with as many at once. 0: no limit."""

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        self._per_minute, self._now = per_minute, now
        self._held: dict[str | None, tuple[float, float]] = {}

    def take(self, client: Client) -> None:
        """Counts one question; Refused (429) with the seconds to wait."""
        if not self._per_minute:
            return
        now, speed = self._now(), self._per_minute / 60
        held, at = self._held.get(client.name, (float(self._per_minute), now))
        held = min(float(self._per_minute), held + (now - at) * speed)
        if held < 1:
            self._held[client.name] = (held, now)
            wait = math.ceil((1 - held) / speed)
            raise Refused(
                429, "rate_limit_exceeded", f"More than {self._per_minute} questions a minute. Next: wait {wait} s.",
                retry_after=wait,
            )  # fmt: skip
        self._held[client.name] = (held - 1, now)


def is_local(host: str) -> bool:
    """Whether an address is of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _value(one: TokenSettings, environment: Mapping[str, str]) -> str:
    value = environment.get(one.token_env, "")
    if len(value) < SHORTEST or not value.isascii() or any(letter.isspace() for letter in value):
        what = "is not set" if not value else f"holds no token of {SHORTEST} or more visible ASCII characters"
        raise ConfigError(
            f"serve.tokens: the environment variable {one.token_env!r} {what}",
            expected="a long random token",
            next_step=f"export {one.token_env}=$(openssl rand -hex 32)",
        )
    return value


def _client(one: TokenSettings) -> Client:
    return Client(one.name or one.token_env, Asker(None if EVERYTHING in one.groups else frozenset(one.groups)))


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
