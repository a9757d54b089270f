"""An OpenAI-compatible API by URL (vLLM, Ollama, a vendor): how it is asked, asked again, and what its errors mean.

The key is read from an environment variable, by its name, at each call; it is in no message, log or error, and follows
no redirect.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from assets.errors import ConfigError, EngineBusy, EngineError

Read = TypeVar("Read")
_BUSY = (408, 409, 425, 429, 500, 502, 503, 504)
_UNKNOWN = (404, 405, 501)  # to a server that does not list its models
_MOST = 1_000_000  # bytes of such a list


@dataclass(frozen=True)
class Endpoint:
    """One API. `who` and `where` name it in errors: "The judge", and its table in twohands.toml. `key` is the name of
    the key's setting, `hint` what may be done while it does not answer."""

    url: str
    key_env: str = ""
    seconds: float = 60
    attempts: int = 4
    pause: float = 1
    who: str = "judge"
    where: str = "evaluation.judge"
    key: str = "key_env"
    hint: str = ""

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise ConfigError(
                f"{self.where}.url: received {parts.scheme}://{parts.hostname or ''}",
                expected="http(s)://host/v1, without a name or key in it",
                next_step=f"put the key into an environment variable, and its NAME into {self.where}.{self.key}",
            )
        object.__setattr__(self, "url", self.url.rstrip("/"))

    def ask(self, body: Mapping[str, Any], read: Callable[[Any], Read]) -> Read:
        """What `read` makes of the response to a chat completion. Asked again while the server is busy, or breaks off
        before `read` is done; EngineBusy when that does not help, EngineError where it refuses."""
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            f"{self.url}/chat/completions", json.dumps(body).encode(), self._headers(), method="POST"
        )
        problem = ""
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(self.pause * 2 ** (attempt - 1))
            try:
                return read(_OPENER.open(request, timeout=self.seconds))
            except urllib.error.HTTPError as error:
                if error.code not in _BUSY:
                    raise self._refused(error.code, str(body.get("model", ""))) from None  # it may repeat what was sent
                problem = f"status {error.code}"
            except (OSError, http.client.HTTPException) as error:
                problem = type(error).__name__
        raise self.busy(f"did not answer ({problem}, {self.attempts} attempts)")

    def models(self) -> list[str] | None:
        """The names of what it serves; None where it answers, and has no such list. Asked once; errors as of `ask`."""
        request = urllib.request.Request(f"{self.url}/models", headers=self._headers())  # noqa: S310 - as above
        try:
            with _OPENER.open(request, timeout=self.seconds) as response:
                return [str(row["id"]) for row in json.loads(response.read(_MOST))["data"]]
        except urllib.error.HTTPError as error:
            if error.code in _UNKNOWN:
                return None
            if error.code in _BUSY:
                raise self.busy(f"did not answer (status {error.code})") from None
            raise self._refused(error.code, "") from None
        except (OSError, http.client.HTTPException) as error:
            raise self.busy(f"cannot be reached ({type(error).__name__})") from None
        except (ValueError, KeyError, TypeError):
            return None

    def busy(self, what: str) -> EngineBusy:
        """It is not up, or broke off."""
        return EngineBusy(
            f"The {self.who} at {self.url} {what}",
            expected=f"an answer within {self.seconds:g} s",
            next_step=f"run this again when it is up{self.hint}",
        )

    def nonsense(self, why: str, next_step: str = "") -> EngineError:
        """It sent something else."""
        return EngineError(
            f"The {self.who} at {self.url} sent no chat completion ({why})",
            expected='{"model": ..., "choices": [{"message": {"content": ...}}]}',
            next_step=next_step or f"check {self.where}.url: it ends in /v1 for most servers",
        )

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": "twohands"}
        if self.key_env:
            key = os.environ.get(self.key_env, "")
            if not key or not key.isascii() or not key.isprintable():
                raise ConfigError(
                    f"{self.where}.{self.key}: the variable {self.key_env} holds no key",
                    expected="the key in that environment variable",
                    next_step=f"export {self.key_env}=...",
                )
            headers["Authorization"] = f"Bearer {key}"
        return headers

    def _refused(self, code: int, model: str) -> EngineError:
        said = {401: "the key is wrong or missing", 403: "the key may not", 404: f"it has no model {model!r}"}
        return EngineError(
            f"The {self.who} at {self.url} refused the request: {said.get(code, f'status {code}')}",
            expected="an OpenAI-compatible /chat/completions",
            next_step=f"check {self.where}: url, model, {self.key}",
        )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another address."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any) -> None:
        """None: the redirect itself is the answer, and is refused."""


_OPENER = urllib.request.build_opener(_NoRedirect())
