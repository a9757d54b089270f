"""A chat model behind an OpenAI-compatible URL: the judge of an evaluation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from assets.behavior.evaluation.judge import Reply
from orchestration.engines.chat_http import Endpoint

MAX_BYTES = 1_000_000  # of a reply


class ChatClient:
    """One pinned model (assets Chat). `url` is that of the API, such as http://127.0.0.1:8000/v1."""

    def __init__(
        self, url: str, model: str, *, key_env: str = "", seconds: float = 60, attempts: int = 4, pause: float = 1
    ) -> None:
        hint = "; the evaluation does not need it"
        self.model, self._endpoint = model, Endpoint(url, key_env, seconds, attempts, pause, hint=hint)

    def complete(self, messages: Sequence[dict[str, str]]) -> Reply:
        """The reply, at temperature 0 and with a seed. EngineBusy when it does not come after all attempts."""
        body = {"model": self.model, "messages": list(messages), "temperature": 0, "seed": 0, "max_tokens": 64}
        return self._reply(self._endpoint.ask(body, _whole))

    def _reply(self, data: bytes) -> Reply:
        try:
            if len(data) > MAX_BYTES:
                raise ValueError("it is too long")
            row = json.loads(data)
            return Reply(str(row["choices"][0]["message"]["content"] or ""), str(row["model"]))
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise self._endpoint.nonsense(type(error).__name__) from error


def _whole(response: Any) -> bytes:
    with response:
        return response.read(MAX_BYTES + 1)
