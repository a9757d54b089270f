"""A chat model behind an OpenAI-compatible URL (vLLM, Ollama, a vendor): the judge of an evaluation.

The key is read from an environment variable, by its name, at each call; it is in no message, log or error.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

from assets.behavior.evaluation.judge import Reply
from assets.errors import ConfigError, EngineBusy, EngineError

MAX_BYTES = 1_000_000  # of a reply
_BUSY = (408, 409, 425, 429, 500, 502, 503, 504)


class ChatClient:
    """One pinned model (assets Chat). `url` is that of the API, such as http://127.0.0.1:8000/v1."""

    def __init__(
        self, url: str, model: str, *, key_env: str = "", seconds: float = 60, attempts: int = 4, pause: float = 1
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise ConfigError(
                f"evaluation.judge.url: received {parts.scheme}://{parts.hostname or ''}",
                expected="http(s)://host/v1, without a name or key in it",
                next_step="put the key into an environment variable, and its NAME into evaluation.judge.key_env",
            )
        self.model, self._url, self._key_env = model, url.rstrip("/"), key_env
        self._seconds, self._attempts, self._pause = seconds, attempts, pause

    def complete(self, messages: Sequence[dict[str, str]]) -> Reply:
        """The reply, at temperature 0 and with a seed. EngineBusy when it does not come after all attempts."""
        body = {"model": self.model, "messages": list(messages), "temperature": 0, "seed": 0, "max_tokens": 64}
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            f"{self._url}/chat/completions", json.dumps(body).encode(), self._headers(), method="POST"
        )
        problem = ""
        for attempt in range(self._attempts):
            if attempt:
                time.sleep(self._pause * 2 ** (attempt - 1))
            try:
                with _OPENER.open(request, timeout=self._seconds) as response:
                    return self._reply(response.read(MAX_BYTES + 1))
            except urllib.error.HTTPError as error:
                if error.code not in _BUSY:
                    raise self._refused(error.code) from None  # the response may repeat what was sent
                problem = f"status {error.code}"
            except (OSError, http.client.HTTPException) as error:
                problem = type(error).__name__
        raise EngineBusy(
            f"The judge at {self._url} did not answer ({problem}, {self._attempts} attempts)",
            expected=f"an answer within {self._seconds:g} s",
            next_step="run this again when it is up; the evaluation does not need it",
        )

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": "twohands"}
        if self._key_env:
            key = os.environ.get(self._key_env, "")
            if not key or not key.isascii() or not key.isprintable():
                raise ConfigError(
                    f"evaluation.judge.key_env: the variable {self._key_env} holds no key",
                    expected="the key in that environment variable",
                    next_step=f"export {self._key_env}=...",
                )
            headers["Authorization"] = f"Bearer {key}"
        return headers

    def _refused(self, code: int) -> EngineError:
        said = {401: "the key is wrong or missing", 403: "the key may not", 404: f"it has no model {self.model!r}"}
        return EngineError(
            f"The judge at {self._url} refused the request: {said.get(code, f'status {code}')}",
            expected="an OpenAI-compatible /chat/completions",
            next_step="check evaluation.judge: url, model, key_env",
        )

    def _reply(self, data: bytes) -> Reply:
        try:
            if len(data) > MAX_BYTES:
                raise ValueError("it is too long")
            row = json.loads(data)
            return Reply(str(row["choices"][0]["message"]["content"] or ""), str(row["model"]))
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise EngineError(
                f"The judge at {self._url} sent no chat completion ({type(error).__name__})",
                expected='{"model": ..., "choices": [{"message": {"content": ...}}]}',
                next_step="check evaluation.judge.url: it ends in /v1 for most servers",
            ) from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another address."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any) -> None:
        """None: the redirect itself is the answer, and is refused."""


_OPENER = urllib.request.build_opener(_NoRedirect())
